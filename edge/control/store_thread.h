/*
 * The controller's thread that works on the store, so that the loop never waits for a disk. Jobs run in
 * order; adjacent waiting changes of previews share one commit and one sync. Before a job's `done` runs, its
 * changes are on disk and the shared epoch is bumped: every worker's next request sees an acknowledged
 * change.
 */
#ifndef BOXEDGE_STORE_THREAD_H
#define BOXEDGE_STORE_THREAD_H

#include "loop.h"
#include "shm.h"
#include "store.h"

/* Maximum number of jobs whose `done` has not run. */
#define STORE_JOBS_MAX 4096
/* Maximum number of changes in one commit. */
#define STORE_BATCH_MAX 256

typedef struct store_thread store_thread_t;

typedef struct store_job store_job_t;

/* Embedded in a struct of the caller, which must live until `done`. */
struct store_job {
    /* Runs on the thread, with the store. NULL: the job is `change`. */
    void (*run)(store_job_t *job, store_t *store);
    /* Runs on the loop afterwards. */
    void (*done)(store_job_t *job);
    store_change_t change;
    bool changed;      /* set by `run` after a change of the store: bumps the epoch */
    store_job_t *next; /* the queue's */
};

/* Takes over `store`: only the thread uses it from here on. Returns NULL with errno. `loop` and `shm` must
 * outlive it. */
store_thread_t *store_thread_new(loop_t *loop, store_t *store, shm_t *shm);
/* Finishes the waiting jobs, calls `done` of each, ends the thread, closes the store and nulls. */
void store_thread_free(store_thread_t **thread);

/* Why the disk refuses states of boxes, as a sentence without its end; empty: it accepts them. */
void store_thread_trouble(store_thread_t *thread, char *out, size_t len);
/* Jobs whose `done` has not run. */
size_t store_thread_pending(const store_thread_t *thread);
/* False, with nothing added, at STORE_JOBS_MAX jobs or during store_thread_free. */
MUST_USE bool store_thread_add(store_thread_t *thread, store_job_t *job);

#endif
