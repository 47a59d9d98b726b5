/*
 * The controller's side of waking: one resume per box for any number of waiting workers, probes of ports, and
 * a memory of failures (docs/internals/wake.md, "Steps of a wake").
 */
#ifndef BOXEDGE_WAKE_COORDINATOR_H
#define BOXEDGE_WAKE_COORDINATOR_H

#include "box_ports_service.h"
#include "boxes.h"
#include "shm.h"
#include "wake_message.h"

/* Maximum number of boxes with waiters or a remembered failure, and of ports of one box. Beyond either the
 * answer is WAKE_BUSY. */
#define WAKE_COORDINATOR_BOXES_MAX 20000
#define WAKE_COORDINATOR_PORTS_MAX 32

typedef struct wake_coordinator wake_coordinator_t;

/* All must outlive it. */
wake_coordinator_t *wake_coordinator_new(loop_t *loop, const conf_t *conf, boxes_t *boxes,
                                         worker_links_t *worker_links, box_ports_service_t *listening,
                                         shm_wakes_t *counts);
void wake_coordinator_free(wake_coordinator_t **coordinator);
void wake_coordinator_set_conf(wake_coordinator_t *coordinator, const conf_t *conf);

/*
 * Worker `index` has requests that wait for "<id>-<port>". Resumes the box unless it runs, probes the port
 * until it listens, and answers with PROCESS_WOKEN. A repeated call is harmless and gets an answer too.
 * WAKE_WISH_WATCH only joins a wake under way. `came_ms` (loop_now) is the arrival of the newest request; 0:
 * no request, only bytes for the box. Returns true if a wake of the box is under way for them.
 */
bool wake_coordinator_request(wake_coordinator_t *coordinator, unsigned index, str_t label, wake_wish_t wish,
                              uint64_t came_ms);

/*
 * The operator starts or stops the box (a valid id) now. After a stop, requests from before it no longer
 * resume the box: waiting ones get WAKE_FAILED once the box is stopped, later ones immediately. New requests
 * wake it as usual.
 */
void wake_coordinator_order(wake_coordinator_t *coordinator, str_t id, bool runs);

#endif
