/*
 * The controller's table of the boxes that providers report. It writes their states to the volatile store,
 * assigns generations, and calls the providers for the wake coordinator, the idle clock and the admin API.
 * Boxes of the static provider are not part of it.
 *
 * Listeners get a change after the store has it and the epoch is bumped.
 */
#ifndef BOXEDGE_BOXES_H
#define BOXEDGE_BOXES_H

#include "loop.h"
#include "provider.h"
#include "store_thread.h"
#include "worker_links.h"

typedef struct boxes boxes_t;

typedef struct boxes_handlers {
    /* The store has `box` now; `old` is the previous record (BOX_UNKNOWN: none). */
    void (*changed)(void *owner, const store_box_t *box, const store_box_t *old);
    /* The provider's answer to boxes_request_resume. With PROVIDER_OK the store has the box as running. */
    void (*resumed)(void *owner, str_t id, provider_result_t result, const char *sentence);
    /* The provider reported the box: boxes_find returns the report, and the store will have it. */
    void (*reported)(void *owner, str_t id);
} boxes_handlers_t;

/* Maximum number of boxes. */
#define BOXES_MAX 65536

/*
 * `known` are the `count` boxes already in the store (copied). A full listing that omits one of them marks it
 * as gone. Takes a reference to `conf`. Generations begin above `now_us` (wall clock).
 */
boxes_t *boxes_new(loop_t *loop, const conf_t *conf, store_thread_t *store, worker_links_t *worker_links,
                   const store_box_t *known, size_t count, uint64_t now_us);
/* Free the providers first: they call `boxes`. */
void boxes_free(boxes_t **boxes);
/* Call before the store's thread ends: no writes and no callbacks from here on. */
void boxes_stop(boxes_t *boxes);
void boxes_set_conf(boxes_t *boxes, const conf_t *conf);
/* The handlers for providers; the owner is `boxes`. */
extern const provider_handlers_t boxes_provider_handlers;
/* Sets the provider of this kind. NULL removes it, and its boxes are gone. */
void boxes_set_provider(boxes_t *boxes, box_provider_t kind, provider_t *provider);
/* Adds a listener, at most 4. Each must be valid until boxes_stop, which ends all calls. */
void boxes_subscribe(boxes_t *boxes, const boxes_handlers_t *handlers, void *owner);

/* NULL for a box that no provider reported. Valid until the loop turns. */
const store_box_t *boxes_find(const boxes_t *boxes, str_t id);
/* The box as the store has it, which is the workers' view. NULL without a record. */
const store_box_t *boxes_recorded(const boxes_t *boxes, str_t id);
/* Earliest time (unix ms) to which the provider's last report can refer; for an answer, the time of its
 * question. 0: no report in the life of this controller. */
uint64_t boxes_reported_ms(const boxes_t *boxes, str_t id);
/* Deletes the record and the previews of a box that is gone at once, without the usual delay. */
void boxes_forget_gone(boxes_t *boxes, str_t id);
/*
 * Marks a running box of a control plane as doubted unless its last report is from after `since_ms` (unix
 * ms). The next request then asks the control plane before it goes to the box. False: no such box.
 */
bool boxes_doubt(boxes_t *boxes, str_t id, uint64_t since_ms);
/* The provider of the box, or NULL. Valid until the loop turns. */
provider_t *boxes_provider(const boxes_t *boxes, str_t id);
/* Calls `each` for every box until it returns false; do not change boxes from it. */
void boxes_each(const boxes_t *boxes, bool (*each)(const store_box_t *, void *), void *arg);

/* Resumes a box, also one that only a control plane may know. `resumed` answers once, never from within. */
void boxes_request_resume(boxes_t *boxes, str_t id);
void boxes_request_pause(boxes_t *boxes, str_t id);
void boxes_request_report(boxes_t *boxes, str_t id);
/* Passes boxes that were active in the last second ('\n' after each) to the providers that need them. */
void boxes_active(boxes_t *boxes, str_t ids);
/* Records that the port listens in this generation (`port` 0: none). `settles_at_ms` != 0 also moves the end
 * of settling. Calls `done` (NULL: none) after the store has it. */
void boxes_set_listening(boxes_t *boxes, str_t id, uint64_t generation, uint16_t port, uint64_t settles_at_ms,
                         void (*done)(void *arg), void *arg);
/* Calls `done` once the store has the current state of the box, which boxes_find must find. Never calls it
 * from within. */
void boxes_when_recorded(boxes_t *boxes, str_t id, void (*done)(void *arg), void *arg);

#endif
