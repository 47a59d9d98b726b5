/*
 * The controller's answers about listening ports of a box (PROCESS_LISTENING). The store's thread reads
 * /proc, and the box's provider gives a line of its log: once per box and generation for all askers. An
 * answer is valid for LISTENING_FRESH_MS, so that a crashed dev server and a page that polls it cost next to
 * nothing.
 */
#ifndef BOXEDGE_LISTENING_DESK_H
#define BOXEDGE_LISTENING_DESK_H

#include "boxes.h"
#include "listening.h"

#define LISTENING_FRESH_MS 2000
/* Time limit for the provider's line. Less than workers wait (REFUSED_WAIT_MS). */
#define LISTENING_LINE_MS 250
/* Maximum remembered boxes and waiting questions; beyond either the answer is "unknown". */
#define LISTENING_BOXES_MAX     64
#define LISTENING_QUESTIONS_MAX 1024

typedef struct listening_desk listening_desk_t;

/* All must outlive it except the store's thread, which is freed first. Providers may be freed at any time. */
listening_desk_t *listening_desk_new(loop_t *loop, store_thread_t *store, const boxes_t *boxes,
                                     worker_links_t *worker_links);
void listening_desk_free(listening_desk_t **desk);

/* "<id>-<port>" of that generation refused or closed a connection of worker `index`. Answers with
 * PROCESS_LISTENS: the listening ports and the line. */
void listening_desk_ask(listening_desk_t *desk, unsigned index, str_t label, uint64_t generation);

/* The listening ports of `box` if read in the last LISTENING_FRESH_MS. Else NULL, and a read begins: call
 * again. Valid until the loop turns. */
const listening_table_t *listening_desk_look(listening_desk_t *desk, const store_box_t *box);

#endif
