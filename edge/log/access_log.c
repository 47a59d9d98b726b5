#include "access_log.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "access_line.h"
#include "client.h"
#include "conf_log.h"
#include "process_log.h"
#include "worker.h"

/* Maximum bytes of waiting lines, for each of two buffers: one fills while the other is written. */
#define BUFFER_BYTES 524288
/* The thread wakes at this number of waiting bytes, or after `log.flush`. */
#define WAKE_BYTES 131072
/* How long access_log_free waits for a reader that does not read. */
#define FINISH_MS 1000
/* How long a destination that takes nothing keeps its lines from the next one. */
#define STALL_MS 500

_Static_assert(ACCESS_LINE_MAX <= LINE_TEXT_MAX, "the output takes each line");

typedef struct log_buffer {
    char *bytes;
    size_t used;
    uint64_t lines;
} log_buffer_t;

typedef enum log_state {
    LOG_OFF,       /* no descriptor, no thread */
    LOG_RUNNING,   /* the thread writes */
    LOG_STOPPING,  /* the thread writes the remaining lines and ends */
    LOG_ABANDONED, /* access_log_free has given up: the thread frees everything, and touches no counter */
} log_state_t;

struct access_log {
    counters_t *counters; /* log_drops_total has two writers: atomic additions */
    access_clock_t clock; /* the loop's */
    bool muted;           /* no descriptor to write to for now (the loop's) */
    pthread_t thread;
    line_output_t output;  /* the thread's */
    unsigned stalls;       /* waits for a destination since a write began (the thread's) */
    bool said;             /* the message about lost lines, once for each destination (the thread's) */
    uint64_t drops_before; /* log_drops_total at the destination's beginning (the thread's) */

    pthread_mutex_t recent_lock; /* of `recent`; the loop takes it for a search only, before `lock` */
    recent_lines_t *recent;      /* NULL: keeps none */

    pthread_mutex_t lock; /* of all below; held for a copy or a swap, never for a write */
    pthread_cond_t wake;
    log_state_t state;
    bool idle;  /* the thread sleeps without a timeout until it is woken */
    bool ended; /* the thread has written its last line */
    bool reopen;
    line_target_t next;
    access_log_style_t style;
    log_buffer_t filling;
    log_buffer_t writing;
};

/* Goes on at the new destination. The caller holds the lock, or the thread does not run. */
static void take_target(access_log_t *log, line_target_t target)
{
    line_output_set(&log->output, target);
    log->reopen = false;
    log->said = false;
    log->drops_before = atomic_load_explicit(&log->counters->log_drops_total, memory_order_relaxed);
}

/* Whether the thread must report that lines are lost. The caller holds the lock. */
static bool must_say(access_log_t *log)
{
    bool lost =
        log->state != LOG_ABANDONED && !log->said &&
        atomic_load_explicit(&log->counters->log_drops_total, memory_order_relaxed) != log->drops_before;
    log->said |= lost;
    return lost;
}

static void say_lost(void)
{
    process_log(LOG_ACCESS_LINES_LOST, "worker",
                "access lines are lost: log.access does not take them as fast as they come");
}

/* Waits for a destination that takes nothing (line_output.h). After STALL_MS it ends the wait for the sake of
 * a new one. */
static bool may_wait(void *arg)
{
    access_log_t *log = arg;
    pthread_mutex_lock(&log->lock);
    bool abandoned = log->state == LOG_ABANDONED, say = must_say(log);
    if (++log->stalls > STALL_MS / LINE_WAIT_MS && log->reopen && !abandoned)
        take_target(log, log->next);
    pthread_mutex_unlock(&log->lock);
    if (say)
        say_lost();
    return !abandoned;
}

static struct timespec in_ms(long ms)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_nsec += ms % 1000 * 1000000;
    at.tv_sec += ms / 1000 + at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    return at;
}

static bool must_act(const access_log_t *log)
{
    return log->filling.used >= WAKE_BYTES || log->reopen || log->state != LOG_RUNNING;
}

/* Lets lines gather for at most `log.flush`. The caller holds the lock. */
static void gather(access_log_t *log)
{
    struct timespec until = in_ms((long)log->style.flush_ms);
    while (!must_act(log))
        if (pthread_cond_timedwait(&log->wake, &log->lock, &until) == ETIMEDOUT)
            return;
}

/*
 * Waits for work. The caller holds the lock. While lines come, the thread checks every `log.flush` and needs
 * no wake-up; only after that time without a line does it sleep without a timeout.
 */
static void wait_for_work(access_log_t *log)
{
    gather(log);
    if (log->filling.used != 0 || must_act(log))
        return;
    log->idle = true;
    while (log->filling.used == 0 && !must_act(log))
        pthread_cond_wait(&log->wake, &log->lock);
    log->idle = false;
    gather(log);
}

/* Closes a destination that was given, and not yet taken. */
static void forget_next(access_log_t *log)
{
    if (log->reopen && log->next.fd >= 0)
        close(log->next.fd);
    log->reopen = false;
}

static void destroy(access_log_t *log)
{
    line_output_set(&log->output, LINE_TARGET_NONE);
    forget_next(log);
    pthread_mutex_destroy(&log->lock);
    pthread_cond_destroy(&log->wake);
    pthread_mutex_destroy(&log->recent_lock);
    recent_lines_free(&log->recent);
    free(log->filling.bytes);
    free(log->writing.bytes);
    free(log);
}

/* Takes the waiting lines, and keeps a copy: a search finds each line in one of both places. `lock` is held
 * at call and return, and not for the copy, since requests would wait for it. */
static log_buffer_t take_lines(access_log_t *log)
{
    pthread_mutex_unlock(&log->lock);
    pthread_mutex_lock(&log->recent_lock);
    pthread_mutex_lock(&log->lock);
    log_buffer_t taken = log->filling;
    log->filling = log->writing;
    log->writing = taken;
    pthread_mutex_unlock(&log->lock);
    if (log->recent != NULL)
        recent_lines_add(log->recent, str_make(taken.bytes, taken.used));
    pthread_mutex_unlock(&log->recent_lock);
    pthread_mutex_lock(&log->lock);
    return taken;
}

/* Takes the waiting lines and writes them. The lock is held at call and return. */
static void write_buffer(access_log_t *log)
{
    log_buffer_t taken = take_lines(log);
    log->output.style = log->style.line;
    log->stalls = 0;
    pthread_mutex_unlock(&log->lock);
    uint64_t lost = line_output_write(&log->output, taken.bytes, taken.used);
    pthread_mutex_lock(&log->lock);
    log->writing.used = 0;
    log->writing.lines = 0;
    if (log->state == LOG_ABANDONED)
        return;
    counter_add(&log->counters->log_lines_total, taken.lines - lost);
    atomic_fetch_add_explicit(&log->counters->log_drops_total, lost, memory_order_relaxed);
    if (must_say(log)) {
        pthread_mutex_unlock(&log->lock);
        say_lost();
        pthread_mutex_lock(&log->lock);
    }
}

static void *run(void *arg)
{
    access_log_t *log = arg;
    pthread_mutex_lock(&log->lock);
    for (;;) {
        wait_for_work(log);
        if (log->filling.used != 0)
            write_buffer(log);
        if (log->state == LOG_ABANDONED || (log->state == LOG_STOPPING && log->filling.used == 0))
            break;
        if (log->reopen)
            take_target(log, log->next);
    }
    bool abandoned = log->state == LOG_ABANDONED;
    log->ended = true;
    pthread_cond_signal(&log->wake);
    pthread_mutex_unlock(&log->lock);
    if (abandoned)
        destroy(log);
    return NULL;
}

/* Starts the thread with all signals blocked: the loop handles them, and a broken pipe is an error here. */
static bool start(access_log_t *log)
{
    log->filling.bytes = malloc(BUFFER_BYTES);
    log->writing.bytes = malloc(BUFFER_BYTES);
    assert(log->filling.bytes != NULL && log->writing.bytes != NULL);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    log->state = LOG_RUNNING;
    int error = pthread_create(&log->thread, NULL, run, log);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0)
        log->state = LOG_OFF;
    return error == 0;
}

access_log_style_t access_log_style_of(const conf_t *conf)
{
    access_log_style_t style = {.line.fields = conf_log_fields(conf), .flush_ms = conf->log_flush_ms};
    (void)snprintf(style.line.node, sizeof style.line.node, "%s", conf->node);
    return style;
}

access_log_t *access_log_new(line_target_t target, const access_log_style_t *style, counters_t *counters)
{
    access_log_t *log = calloc(1, sizeof *log);
    assert(log != NULL);
    log->counters = counters;
    log->style = *style;
    line_output_init(&log->output, &style->line);
    log->output.may_wait = may_wait;
    log->output.arg = log;
    pthread_mutex_init(&log->lock, NULL);
    pthread_mutex_init(&log->recent_lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&log->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (target.fd >= 0) {
        take_target(log, target);
        start(log);
    }
    return log;
}

void access_log_restyle(access_log_t *log, const access_log_style_t *style)
{
    pthread_mutex_lock(&log->lock);
    log->style = *style;
    pthread_mutex_unlock(&log->lock);
}

/* Notifies the thread. The caller holds the lock. */
static void set_state(access_log_t *log, log_state_t state)
{
    assert(state > log->state);
    log->state = state;
    pthread_cond_signal(&log->wake);
}

/* Waits until the thread has written all lines. False: a reader does not read; the thread frees the log,
 * unless the process ends first. */
static bool finish(access_log_t *log)
{
    struct timespec until = in_ms(FINISH_MS);
    pthread_mutex_lock(&log->lock);
    set_state(log, LOG_STOPPING);
    while (!log->ended)
        if (pthread_cond_timedwait(&log->wake, &log->lock, &until) == ETIMEDOUT)
            break;
    bool ended = log->ended;
    if (!ended)
        set_state(log, LOG_ABANDONED);
    pthread_mutex_unlock(&log->lock);
    return ended;
}

void access_log_free(access_log_t **log)
{
    access_log_t *l = *log;
    *log = NULL;
    if (l == NULL)
        return;
    if (l->state == LOG_OFF) {
        destroy(l);
        return;
    }
    pthread_t thread = l->thread;
    if (finish(l)) {
        pthread_join(thread, NULL);
        destroy(l);
    } else {
        pthread_detach(thread);
    }
}

void access_log_reopen(access_log_t *log, line_target_t target)
{
    if (log->state == LOG_OFF) {
        if (target.fd >= 0) {
            take_target(log, target);
            start(log);
        }
        return;
    }
    log->muted = target.fd < 0;
    pthread_mutex_lock(&log->lock);
    forget_next(log);
    log->reopen = true;
    log->next = target;
    pthread_cond_signal(&log->wake);
    pthread_mutex_unlock(&log->lock);
}

void access_log_keep(access_log_t *log, size_t bytes)
{
    pthread_mutex_lock(&log->recent_lock);
    assert(log->recent == NULL);
    log->recent = recent_lines_new(bytes);
    pthread_mutex_unlock(&log->recent_lock);
}

void access_log_recent(access_log_t *log, recent_line_t each, void *arg, uint64_t *count)
{
    pthread_mutex_lock(&log->recent_lock);
    if (log->recent != NULL) {
        pthread_mutex_lock(&log->lock);
        *count += log->filling.lines + recent_lines_count(log->recent);
        bool more = recent_lines_walk_text(str_make(log->filling.bytes, log->filling.used), each, arg);
        pthread_mutex_unlock(&log->lock);
        if (more)
            (void)recent_lines_walk(log->recent, each, arg);
    }
    pthread_mutex_unlock(&log->recent_lock);
}

void access_log_exchange(access_log_t *log, const exchange_t *ex, exchange_end_t how)
{
    if (log->state == LOG_OFF || log->muted || ex->client->local)
        return;
    pthread_mutex_lock(&log->lock);
    log_buffer_t *buffer = &log->filling;
    if (BUFFER_BYTES - buffer->used < ACCESS_LINE_MAX) {
        atomic_fetch_add_explicit(&log->counters->log_drops_total, 1, memory_order_relaxed);
        pthread_mutex_unlock(&log->lock);
        return;
    }
    size_t before = buffer->used;
    buffer->used += access_line(buffer->bytes + before, &log->clock, ex, how, ex->times.end_us);
    buffer->lines++;
    bool wake = log->idle || (before < WAKE_BYTES && buffer->used >= WAKE_BYTES);
    log->idle = false;
    if (wake)
        pthread_cond_signal(&log->wake);
    pthread_mutex_unlock(&log->lock);
}

void access_log_end(exchange_t *ex)
{
    access_log_t *log = worker_of(ex->context)->log;
    if (log != NULL && ex->times.start_us != 0 && !ex->internal)
        access_log_exchange(log, ex, ex->end);
}
