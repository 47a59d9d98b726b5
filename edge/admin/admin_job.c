/*
 * An exchange that waits for the store thread. The job runs to completion even if the client has gone; only
 * its answer is dropped.
 */
#include "admin_internal.h"
#include "list.h"
#include "local.h"

static void client_left(void *arg)
{
    admin_job_t *job = arg;
    job->ex = NULL;
}

static void job_free(admin_job_t *job)
{
    if (job->fini != NULL)
        job->fini(job);
    free(job);
}

static void refuse_busy(exchange_t *ex)
{
    admin_error(ex, 503, "busy", NULL, "Too many requests wait for the disk: try again in a moment.");
}

/* Begins the next part of the job. False if it has none, or if the queue is full (*busy). */
static bool goes_on(admin_job_t *job, bool *busy)
{
    bool (*go_on)(admin_job_t *) = job->go_on;
    job->go_on = NULL;
    *busy = false;
    if (go_on == NULL || !go_on(job))
        return false;
    *busy = !store_thread_add(job->store, &job->job);
    return !*busy;
}

static void job_done(store_job_t *store_job)
{
    admin_job_t *job = CONTAINER_OF(admin_job_t, job, store_job);
    bool busy;
    if (job->finished != NULL)
        job->finished(job);
    if (goes_on(job, &busy))
        return;
    exchange_t *ex = job->ex;
    if (ex != NULL) {
        local_wait_end(ex);
        if (busy)
            refuse_busy(ex);
        else
            job->answer(ex, job);
    }
    job_free(job);
}

void admin_job_start(exchange_t *ex, admin_job_t *job)
{
    job->ex = ex;
    job->controls = admin_of(ex)->controls;
    job->owner = admin_of(ex)->owner;
    job->store = admin_of(ex)->store;
    job->uid = admin_peer_uid(ex);
    job->job.done = job_done;
    if (!store_thread_add(job->store, &job->job)) {
        job_free(job);
        refuse_busy(ex);
        return;
    }
    local_wait(ex, client_left, job);
}

void admin_job_result(admin_job_t *job, store_t *store, store_result_t result)
{
    job->result = result;
    job->why[0] = '\0';
    if (result == STORE_FAILED || result == STORE_FULL)
        snprintf(job->why, sizeof job->why, "%s", store_error(store));
}
