/*
 * The thread of the controller that works on the store, so that its loop never waits for a disk. Jobs are
 * done in the order in which they were added; changes of previews that wait next to each other are committed
 * together, with one sync. Before a job's `done` runs, what it changed is on disk and the shared epoch was
 * bumped, so that an acknowledged change is seen by every worker's next request.
 */
#ifndef BOXEDGE_STORE_THREAD_H
#define BOXEDGE_STORE_THREAD_H

#include "loop.h"
#include "shm.h"
#include "store.h"

/* Jobs that wait, at most. */
#define STORE_JOBS_MAX 4096
/* Changes in one commit, at most. */
#define STORE_BATCH_MAX 256

typedef struct store_thread store_thread_t;

typedef struct store_job store_job_t;

/* Embedded in what the caller needs; its memory is the caller's and must live until `done`. */
struct store_job {
    /* Called on the thread, with the store. NULL: the job is `change`. */
    void (*run)(store_job_t *job, store_t *store);
    /* Called on the loop afterwards. */
    void (*done)(store_job_t *job);
    store_change_t change;
    bool changed;      /* set by `run` where it changed the store: the epoch is bumped */
    store_job_t *next; /* the queue's */
};

/* Takes over `store`, which only the thread uses from here on. Returns NULL with errno. `loop` and `shm`
 * outlive it. */
store_thread_t *store_thread_new(loop_t *loop, store_t *store, shm_t *shm);
/* Does what waits, calls `done` of every job, ends, closes the store and nulls. */
void store_thread_free(store_thread_t **thread);

/* False where STORE_JOBS_MAX jobs wait, or where store_thread_free waits for the last ones: nothing was
 * added. */
MUST_USE bool store_thread_add(store_thread_t *thread, store_job_t *job);

#endif
