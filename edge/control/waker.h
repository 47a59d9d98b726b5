/*
 * The controller's side of waking: single flight for each box however many wait on however many workers,
 * probing of ports, and the memory of failures (docs/design.md, "Waking").
 */
#ifndef BOXEDGE_WAKER_H
#define BOXEDGE_WAKER_H

#include "boxes.h"
#include "listening_desk.h"
#include "shm.h"
#include "wake_message.h"

/* Boxes that are waited for or whose failure is remembered, and ports of one of them, at most; whoever asks
 * for more hears WAKE_BUSY. */
#define WAKER_BOXES_MAX 20000
#define WAKER_PORTS_MAX 32

typedef struct waker waker_t;

/* All outlive it. */
waker_t *waker_new(loop_t *loop, const conf_t *conf, boxes_t *boxes, worker_links_t *worker_links,
                   listening_desk_t *listening, shm_wakes_t *counts);
void waker_free(waker_t **waker);
void waker_set_conf(waker_t *waker, const conf_t *conf);

/*
 * Worker `index` has requests that wait for "<id>-<port>": the box is resumed unless it runs, the port is
 * probed until it listens, and the worker gets PROCESS_WOKEN. Asked again is harmless, and answered again.
 * WAKE_WISH_WATCH joins a wake that goes on, and begins none. `came_ms` (loop_now) is when the newest of the
 * requests came; 0: there is none, only bytes for the box. True where the box is being woken for them.
 */
bool waker_ask(waker_t *waker, unsigned index, str_t label, wake_wish_t wish, uint64_t came_ms);

/*
 * The operator starts or stops the box (a valid id) now. Requests that came before a stop do not have it
 * resumed any more: those that wait get WAKE_FAILED once it is stopped, and so do those that ask later. A
 * request that comes from now on wakes it as ever.
 */
void waker_order(waker_t *waker, str_t id, bool runs);

#endif
