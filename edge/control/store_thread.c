#include "store_thread.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "clock.h"
#include "process_log.h"
#include "readable.h"

/* The log reports that a disk takes changes again if it took the last one, and refused none for this time. On
 * a disk with little room, small changes fit between others that do not. */
#define QUIET_MS 5000

/* First in, first out. */
typedef struct job_queue {
    store_job_t *first;
    store_job_t **end;
} job_queue_t;

/* Which state of a disk the log has. */
typedef struct trouble_note {
    bool logged;     /* the trouble, and not yet its end */
    uint64_t failed; /* store_trouble_t.failed when last looked at, and when it last grew */
    uint64_t failed_ms;
} trouble_note_t;

struct store_thread {
    store_t *store;          /* of the thread, as `notes` */
    trouble_note_t notes[2]; /* volatile, durable */
    shm_t *shm;
    pthread_t thread;
    readable_t *wake_loop; /* owns wake_fd */
    int wake_fd;           /* eventfd: the thread has finished jobs */
    size_t pending;        /* jobs added whose `done` has not run; of the loop */

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t wake;
    bool stopping;
    char trouble[512]; /* store_thread_trouble */
    job_queue_t waiting;
    job_queue_t finished;
};

static void queue_init(job_queue_t *queue)
{
    queue->first = NULL;
    queue->end = &queue->first;
}

static void queue_add(job_queue_t *queue, store_job_t *job)
{
    job->next = NULL;
    *queue->end = job;
    queue->end = &job->next;
}

/* Takes the whole list. */
static store_job_t *queue_take(job_queue_t *queue)
{
    store_job_t *first = queue->first;
    queue_init(queue);
    return first;
}

/* ---- on the thread ---- */

/* One line when a disk begins to refuse changes, and one when it takes them again. */
static void note_trouble(store_thread_t *thread, bool durable)
{
    trouble_note_t *note = &thread->notes[durable];
    store_trouble_t trouble = store_trouble(thread->store, durable);
    uint64_t now = clock_now_ms();
    if (trouble.failed != note->failed)
        note->failed_ms = now;
    note->failed = trouble.failed;
    if (trouble.why != NULL && !note->logged) {
        process_log(LOG_STORE_STUCK, "controller",
                    durable
                        ? "%s takes no change: %s. Changes of previews, keys and blocks fail until it does; "
                          "requests are served on (boxedge_store_failed_changes_total)"
                        : "%s takes no state of a box: %s. The edge tries again; boxes that wake wait "
                          "for it (boxedge_store_failed_changes_total)",
                    trouble.dir, trouble.why);
        note->logged = true;
    } else if (trouble.why == NULL && note->logged && now - note->failed_ms >= QUIET_MS) {
        process_log(LOG_STORE_FREE, "controller", "%s takes changes again", trouble.dir);
        note->logged = false;
    }
}

/* Keeps the reason for the loop; the thread holds the lock. */
static void keep_trouble(store_thread_t *thread)
{
    store_trouble_t trouble = store_trouble(thread->store, false);
    thread->trouble[0] = '\0';
    if (trouble.why != NULL)
        snprintf(thread->trouble, sizeof(thread->trouble), "%s takes no state of a box: %s", trouble.dir,
                 trouble.why);
}

/* One transaction. Returns true if committed. */
static bool apply(store_thread_t *thread, store_change_t *changes, size_t count)
{
    store_result_t result = store_apply(thread->store, changes, count);
    if (result == STORE_OK)
        shm_epoch_bump(thread->shm);
    else if (!store_in_trouble(thread->store))
        process_log(LOG_STORE_CHANGE_FAILED, "controller", "the store took no change: %s",
                    store_error(thread->store));
    return result == STORE_OK;
}

/* Commits the changes from `job` on, up to a job of another kind. Returns the next job to do. */
static store_job_t *commit_changes(store_thread_t *thread, store_job_t *job)
{
    store_change_t changes[STORE_BATCH_MAX];
    size_t count = 0;
    for (store_job_t *j = job; j != NULL && j->run == NULL && count < STORE_BATCH_MAX; j = j->next)
        changes[count++] = j->change;
    /* A change that a full store refuses must not stop one that makes room. */
    if (!apply(thread, changes, count) && count > 1 && changes[0].result == STORE_FULL)
        for (size_t i = 0; i < count; i++)
            (void)apply(thread, &changes[i], 1);
    for (size_t i = 0; i < count; i++, job = job->next)
        job->change = changes[i];
    return job;
}

static void do_jobs(store_thread_t *thread, store_job_t *job)
{
    while (job != NULL) {
        if (job->run == NULL) {
            job = commit_changes(thread, job);
            continue;
        }
        job->changed = false;
        job->run(job, thread->store);
        if (job->changed)
            shm_epoch_bump(thread->shm);
        job = job->next;
    }
}

/* The controller may be the only one to read a page, as that of a deletion. */
static void report_damage(const store_thread_t *thread)
{
    uint64_t damaged = store_damaged(thread->store);
    if (damaged == 0 || !store_health_report_pages(shm_store_health(thread->shm), damaged))
        return;
    shm_epoch_bump(thread->shm);
    process_log(LOG_STORE_DAMAGED, "controller", STORE_HEALTH_PAGES);
}

static void notify_loop(const store_thread_t *thread)
{
    uint64_t one = 1;
    ssize_t n = write(thread->wake_fd, &one, sizeof one);
    assert(n == (ssize_t)sizeof one ||
           errno == EAGAIN); /* EAGAIN: the counter is full, so the loop wakes anyway */
}

static void *run(void *arg)
{
    store_thread_t *thread = arg;
    pthread_mutex_lock(&thread->lock);
    for (;;) {
        while (thread->waiting.first == NULL && !thread->stopping)
            pthread_cond_wait(&thread->wake, &thread->lock);
        store_job_t *jobs = queue_take(&thread->waiting);
        if (jobs == NULL)
            break;
        pthread_mutex_unlock(&thread->lock);
        do_jobs(thread, jobs);
        report_damage(thread);
        note_trouble(thread, true);
        note_trouble(thread, false);
        pthread_mutex_lock(&thread->lock);
        keep_trouble(thread);
        while (jobs != NULL) {
            store_job_t *next = jobs->next;
            queue_add(&thread->finished, jobs);
            jobs = next;
        }
        notify_loop(thread);
    }
    pthread_mutex_unlock(&thread->lock);
    return NULL;
}

/* ---- on the loop ---- */

static void call_done(store_thread_t *thread)
{
    pthread_mutex_lock(&thread->lock);
    store_job_t *job = queue_take(&thread->finished);
    pthread_mutex_unlock(&thread->lock);
    while (job != NULL) {
        store_job_t *next = job->next; /* `done` may free the job */
        thread->pending--;
        job->done(job);
        job = next;
    }
}

static void on_finished(void *owner)
{
    store_thread_t *thread = owner;
    uint64_t times;
    if (read(thread->wake_fd, &times, sizeof times) == (ssize_t)sizeof times)
        call_done(thread);
}

/* Starts the thread with every signal blocked: the loop handles signals. */
static int start(store_thread_t *thread)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int error = pthread_create(&thread->thread, NULL, run, thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static void destroy(store_thread_t *thread)
{
    readable_free(&thread->wake_loop);
    pthread_mutex_destroy(&thread->lock);
    pthread_cond_destroy(&thread->wake);
    store_close(&thread->store);
    free(thread);
}

store_thread_t *store_thread_new(loop_t *loop, store_t *store, shm_t *shm)
{
    store_thread_t *thread = calloc(1, sizeof *thread);
    assert(thread != NULL);
    thread->store = store;
    thread->shm = shm;
    store_set_known_damage(store, &shm_store_health(shm)->damaged);
    queue_init(&thread->waiting);
    queue_init(&thread->finished);
    pthread_mutex_init(&thread->lock, NULL);
    pthread_cond_init(&thread->wake, NULL);
    thread->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int error = thread->wake_fd < 0 ? errno : start(thread);
    if (thread->wake_fd >= 0)
        thread->wake_loop = readable_new(loop, thread->wake_fd, on_finished, thread);
    if (error != 0) {
        destroy(thread);
        errno = error;
        return NULL;
    }
    readable_start(thread->wake_loop);
    return thread;
}

void store_thread_free(store_thread_t **thread)
{
    store_thread_t *t = *thread;
    *thread = NULL;
    if (t == NULL)
        return;
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    pthread_cond_signal(&t->wake);
    pthread_mutex_unlock(&t->lock);
    pthread_join(t->thread, NULL);
    call_done(t);
    assert(t->pending == 0); /* `done` cannot add jobs while the thread ends */
    destroy(t);
}

void store_thread_trouble(store_thread_t *thread, char *out, size_t len)
{
    pthread_mutex_lock(&thread->lock);
    snprintf(out, len, "%s", thread->trouble);
    pthread_mutex_unlock(&thread->lock);
}

size_t store_thread_pending(const store_thread_t *thread)
{
    return thread->pending;
}

bool store_thread_add(store_thread_t *thread, store_job_t *job)
{
    if (thread->pending == STORE_JOBS_MAX || thread->stopping) /* of the loop's thread, so no lock */
        return false;
    thread->pending++;
    pthread_mutex_lock(&thread->lock);
    queue_add(&thread->waiting, job);
    pthread_cond_signal(&thread->wake);
    pthread_mutex_unlock(&thread->lock);
    return true;
}
