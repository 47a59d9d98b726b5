/*
 * The controller's answers about listening ports of a box (PROCESS_BOX_PORTS_REQUEST). The store's thread
 * reads /proc, and the box's provider gives a line of its log: once per box and generation for all requests.
 * An answer is valid for BOX_PORTS_FRESH_MS, so that a crashed dev server and a page that polls it cost next
 * to nothing.
 */
#ifndef BOXEDGE_BOX_PORTS_SERVICE_H
#define BOXEDGE_BOX_PORTS_SERVICE_H

#include "box_ports.h"
#include "boxes.h"

#define BOX_PORTS_FRESH_MS 2000
/* Time limit for the provider's line. Less than workers wait (REFUSED_WAIT_MS). */
#define BOX_PORTS_LINE_MS 250
/* Maximum remembered boxes and waiting questions; beyond either the answer is "unknown". */
#define BOX_PORTS_BOXES_MAX     64
#define BOX_PORTS_QUESTIONS_MAX 1024

typedef struct box_ports_service box_ports_service_t;

/* All must outlive it except the store's thread, which is freed first. Providers may be freed at any time. */
box_ports_service_t *box_ports_service_new(loop_t *loop, store_thread_t *store, const boxes_t *boxes,
                                           worker_links_t *worker_links);
void box_ports_service_free(box_ports_service_t **service);

/* "<id>-<port>" of that generation refused or closed a connection of worker `index`. Answers with
 * PROCESS_BOX_PORTS: the listening ports and the line. */
void box_ports_service_request(box_ports_service_t *service, unsigned index, str_t label,
                               uint64_t generation);

/* The listening ports of `box` if read in the last BOX_PORTS_FRESH_MS. Else NULL, and a read begins: call
 * again. Valid until the loop turns. */
const box_ports_t *box_ports_service_find(box_ports_service_t *service, const store_box_t *box);

#endif
