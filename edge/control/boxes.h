/*
 * What the controller knows of the boxes that providers told it of: it puts their states into the volatile
 * store, gives out generations, and asks the providers on behalf of the waker, the idle clock and the admin
 * API. Boxes of the static provider are not here.
 *
 * A change is announced after it is in the store and the epoch was bumped.
 */
#ifndef BOXEDGE_BOXES_H
#define BOXEDGE_BOXES_H

#include "loop.h"
#include "provider.h"
#include "store_thread.h"
#include "worker_links.h"

typedef struct boxes boxes_t;

typedef struct boxes_handlers {
    /* The store has `box` now; `old` is what it had (state BOX_UNKNOWN: nothing). */
    void (*changed)(void *owner, const store_box_t *box, const store_box_t *old);
    /* The provider's answer to boxes_resume. Where it is PROVIDER_OK the store has the box as running. */
    void (*resumed)(void *owner, str_t id, provider_result_t result, const char *sentence);
    /* Its provider spoke of the box: boxes_find has what it said, and the store will. */
    void (*heard)(void *owner, str_t id);
} boxes_handlers_t;

/* Boxes in all. */
#define BOXES_MAX 65536

/*
 * `known` are the boxes that the store has from before (`count`, copied): what their providers do not tell
 * again is gone with the next full listing. `conf` is acquired. Generations begin above `now_us` (wall
 * clock).
 */
boxes_t *boxes_new(loop_t *loop, const conf_t *conf, store_thread_t *store, worker_links_t *worker_links,
                   const store_box_t *known, size_t count, uint64_t now_us);
/* The providers are freed before it, since they tell it things. */
void boxes_free(boxes_t **boxes);
/* The store's thread is about to end: nothing is written or told from here on. */
void boxes_stop(boxes_t *boxes);
void boxes_set_conf(boxes_t *boxes, const conf_t *conf);
/* What providers tell; the owner is `boxes`. */
extern const provider_handlers_t boxes_provider_handlers;
/* The provider of its kind from now on; NULL: none any more, and its boxes are gone. */
void boxes_set_provider(boxes_t *boxes, box_provider_t kind, provider_t *provider);
/* Those who hear of changes; at most 4, each outlives `boxes` or is never freed before it. */
void boxes_listen(boxes_t *boxes, const boxes_handlers_t *handlers, void *owner);

/* NULL where no provider told of it. Valid until the loop turns. */
const store_box_t *boxes_find(const boxes_t *boxes, str_t id);
/* The same as the store has it, which is what workers see: NULL where it has nothing. */
const store_box_t *boxes_recorded(const boxes_t *boxes, str_t id);
/* Of when its provider's last word about it is, at the earliest: unix ms; an answer counts from its question
 * on. 0: none in the life of this controller. */
uint64_t boxes_heard_ms(const boxes_t *boxes, str_t id);
/*
 * A box of a control plane that is thought to run, and of which no word is from after `since_ms` (unix ms):
 * the next request asks the control plane before it goes there. False where it is no such box.
 */
bool boxes_doubt(boxes_t *boxes, str_t id, uint64_t since_ms);
/* The provider that has the box; NULL where none has. Valid until the loop turns. */
provider_t *boxes_provider(const boxes_t *boxes, str_t id);
/* Calls `each` for every box until it returns false; do not change boxes from it. */
void boxes_each(const boxes_t *boxes, bool (*each)(const store_box_t *, void *), void *arg);

/* Resumes a box, also one that only a control plane may know. Answered once by `resumed`, never from within.
 */
void boxes_resume(boxes_t *boxes, str_t id);
void boxes_pause(boxes_t *boxes, str_t id);
void boxes_look(boxes_t *boxes, str_t id);
/* These boxes ('\n' after each) were active in the last second: handed to the providers that want to know. */
void boxes_active(boxes_t *boxes, str_t ids);
/* The port was seen to listen in that generation; `done` comes after the store has it. `settles_at_ms` != 0
 * also moves the end of settling. */
void boxes_set_listening(boxes_t *boxes, str_t id, uint64_t generation, uint16_t port, uint64_t settles_at_ms,
                         void (*done)(void *arg), void *arg);
/* Calls `done` once the store has what the box (which boxes_find finds) is now; never from within. */
void boxes_when_recorded(boxes_t *boxes, str_t id, void (*done)(void *arg), void *arg);

#endif
