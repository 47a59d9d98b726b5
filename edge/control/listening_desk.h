/*
 * The controller's answers to what listens in a box (PROCESS_LISTENING): /proc is read on the store's thread,
 * and the box's provider is asked for the line of its log, once for each box and generation however many
 * ask. An answer holds for LISTENING_FRESH_MS, so that a crashed dev server and a page that polls it cost
 * next to nothing.
 */
#ifndef BOXEDGE_LISTENING_DESK_H
#define BOXEDGE_LISTENING_DESK_H

#include "boxes.h"
#include "listening.h"

#define LISTENING_FRESH_MS 2000
/* A provider that does not answer within it has no line to say. Less than workers wait (REFUSED_WAIT_MS). */
#define LISTENING_LINE_MS 250
/* Boxes that are remembered, and questions that wait; who comes when all of either are in use hears that
 * nothing is known. */
#define LISTENING_BOXES_MAX     64
#define LISTENING_QUESTIONS_MAX 1024

typedef struct listening_desk listening_desk_t;

/* All outlive it, but for the store's thread, which is freed before it. Providers may be freed at any time.
 */
listening_desk_t *listening_desk_new(loop_t *loop, store_thread_t *store, const boxes_t *boxes,
                                     worker_links_t *worker_links);
void listening_desk_free(listening_desk_t **desk);

/* "<id>-<port>" of that generation refused or closed a connection of worker `index`: PROCESS_LISTENS tells
 * what listens, and the line. */
void listening_desk_ask(listening_desk_t *desk, unsigned index, str_t label, uint64_t generation);

/* What listens in `box`, as far as it was read in the last LISTENING_FRESH_MS; else NULL, and it is read now:
 * look again. Valid until the loop turns. */
const listening_table_t *listening_desk_look(listening_desk_t *desk, const store_box_t *box);

#endif
