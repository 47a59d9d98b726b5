/*
 * The controller's side of waking: one resume per box for any number of waiting workers, probes of ports, and
 * a memory of failures (docs/design.md, "Waking").
 */
#ifndef BOXEDGE_WAKER_H
#define BOXEDGE_WAKER_H

#include "boxes.h"
#include "listening_desk.h"
#include "shm.h"
#include "wake_message.h"

/* Maximum number of boxes with waiters or a remembered failure, and of ports of one box. Beyond either the
 * answer is WAKE_BUSY. */
#define WAKER_BOXES_MAX 20000
#define WAKER_PORTS_MAX 32

typedef struct waker waker_t;

/* All must outlive it. */
waker_t *waker_new(loop_t *loop, const conf_t *conf, boxes_t *boxes, worker_links_t *worker_links,
                   listening_desk_t *listening, shm_wakes_t *counts);
void waker_free(waker_t **waker);
void waker_set_conf(waker_t *waker, const conf_t *conf);

/*
 * Worker `index` has requests that wait for "<id>-<port>". Resumes the box unless it runs, probes the port
 * until it listens, and answers with PROCESS_WOKEN. A repeated call is harmless and gets an answer too.
 * WAKE_WISH_WATCH only joins a wake under way. `came_ms` (loop_now) is the arrival of the newest request; 0:
 * no request, only bytes for the box. Returns true if a wake of the box is under way for them.
 */
bool waker_ask(waker_t *waker, unsigned index, str_t label, wake_wish_t wish, uint64_t came_ms);

/*
 * The operator starts or stops the box (a valid id) now. After a stop, requests from before it no longer
 * resume the box: waiting ones get WAKE_FAILED once the box is stopped, later ones at once. New requests wake
 * it as usual.
 */
void waker_order(waker_t *waker, str_t id, bool runs);

#endif
