/*
 * An exchange that waits for the store thread. The job outlives an asker who leaves: what was begun is done,
 * only its answer is dropped.
 */
#include "admin_private.h"
#include "local.h"

static void asker_left(void *arg)
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

static void job_done(store_job_t *store_job)
{
    admin_job_t *job = H2O_STRUCT_FROM_MEMBER(admin_job_t, job, store_job);
    exchange_t *ex = job->ex;
    if (job->finished != NULL)
        job->finished(job);
    if (ex != NULL) {
        local_wait_end(ex);
        job->answer(ex, job);
    }
    job_free(job);
}

void admin_job_start(exchange_t *ex, admin_job_t *job)
{
    job->ex = ex;
    job->controls = admin_of(ex)->controls;
    job->owner = admin_of(ex)->owner;
    job->uid = admin_peer_uid(ex);
    job->job.done = job_done;
    if (!store_thread_add(admin_of(ex)->store, &job->job)) {
        job_free(job);
        admin_error(ex, 503, "busy", NULL, "Too many requests wait for the disk: try again in a moment.");
        return;
    }
    local_wait(ex, asker_left, job);
}

void admin_job_result(admin_job_t *job, store_t *store, store_result_t result)
{
    job->result = result;
    job->why[0] = '\0';
    if (result == STORE_FAILED)
        snprintf(job->why, sizeof job->why, "%s", store_error(store));
}
