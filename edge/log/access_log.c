#include "access_log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "access_line.h"
#include "client.h"
#include "worker.h"

/* Maximum bytes of waiting lines, for each of two buffers: one fills while the other is written. */
#define BUFFER_BYTES 524288
/* The thread wakes at this number of waiting bytes, or after FLUSH_MS. */
#define WAKE_BYTES 131072
#define FLUSH_MS   200
/* How long access_log_free waits for a reader that does not read. */
#define FINISH_MS 1000
/* How long the thread waits for a non-blocking descriptor before it checks for its end. */
#define POLL_MS 100

_Static_assert(ACCESS_LINE_MAX <= PIPE_BUF, "a line goes into a pipe whole");

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
    int fd;     /* the thread's */
    bool whole; /* a regular file: writes of any size are atomic (the thread's) */
    bool torn;  /* the last write stopped inside a line (the thread's) */

    pthread_mutex_t lock; /* of all below; held for a copy or a swap, never for a write */
    pthread_cond_t wake;
    log_state_t state;
    bool idle;  /* the thread sleeps without a timeout until it is woken */
    bool ended; /* the thread has written its last line */
    bool reopen;
    int next_fd;
    log_buffer_t filling;
    log_buffer_t writing;
};

/* Whether the thread must drop bytes that no reader takes. */
static bool is_abandoned(access_log_t *log)
{
    pthread_mutex_lock(&log->lock);
    bool abandoned = log->state == LOG_ABANDONED;
    pthread_mutex_unlock(&log->lock);
    return abandoned;
}

/* The bytes of `rest` for one write. Other workers write into the same pipe or socket: it gets whole lines up
 * to PIPE_BUF. A file gets all. */
static size_t piece(const access_log_t *log, str_t rest)
{
    if (log->whole || rest.n <= PIPE_BUF)
        return rest.n;
    const char *line_end = memrchr(rest.p, '\n', PIPE_BUF);
    return line_end != NULL ? (size_t)(line_end - rest.p) + 1 : PIPE_BUF;
}

/* Writes `bytes`, which are whole lines. Returns the number of lost lines: 0, or those from the first that
 * was not written whole. */
static uint64_t write_lines(access_log_t *log, str_t bytes)
{
    if (log->torn && write(log->fd, "\n", 1) == 1)
        log->torn = false;
    while (bytes.n != 0) {
        ssize_t n = write(log->fd, bytes.p, piece(log, bytes));
        if (n > 0) {
            log->torn = bytes.p[n - 1] != '\n';
            bytes = str_from_offset(bytes, (size_t)n);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0 || errno != EAGAIN || is_abandoned(log))
            break;
        struct pollfd wait = {.fd = log->fd, .events = POLLOUT};
        poll(&wait, 1, POLL_MS);
    }
    uint64_t lost = 0;
    for (size_t i = 0; i < bytes.n; i++)
        lost += bytes.p[i] == '\n';
    return lost;
}

static void set_fd(access_log_t *log, int fd)
{
    struct stat st;
    if (log->fd >= 0)
        close(log->fd);
    log->fd = fd;
    log->whole = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    log->torn = false;
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

/* Lets lines gather for at most FLUSH_MS. The caller holds the lock. */
static void gather(access_log_t *log)
{
    struct timespec until = in_ms(FLUSH_MS);
    while (!must_act(log))
        if (pthread_cond_timedwait(&log->wake, &log->lock, &until) == ETIMEDOUT)
            return;
}

/*
 * Waits for work. The caller holds the lock. While lines come, the thread checks every FLUSH_MS and needs no
 * wake-up; only after FLUSH_MS without a line does it sleep without a timeout.
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

static void destroy(access_log_t *log)
{
    if (log->fd >= 0)
        close(log->fd);
    if (log->reopen && log->next_fd >= 0)
        close(log->next_fd);
    pthread_mutex_destroy(&log->lock);
    pthread_cond_destroy(&log->wake);
    free(log->filling.bytes);
    free(log->writing.bytes);
    free(log);
}

/* Takes the waiting lines and writes them. The lock is held at call and return. */
static void write_buffer(access_log_t *log)
{
    log_buffer_t taken = log->filling;
    log->filling = log->writing;
    log->writing = taken;
    pthread_mutex_unlock(&log->lock);
    uint64_t lost = write_lines(log, str_make(taken.bytes, taken.used));
    pthread_mutex_lock(&log->lock);
    log->writing.used = 0;
    log->writing.lines = 0;
    if (log->state == LOG_ABANDONED)
        return;
    counter_add(&log->counters->log_lines_total, taken.lines - lost);
    atomic_fetch_add_explicit(&log->counters->log_drops_total, lost, memory_order_relaxed);
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
        if (log->reopen) {
            set_fd(log, log->next_fd);
            log->reopen = false;
        }
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

access_log_t *access_log_new(int fd, counters_t *counters)
{
    access_log_t *log = calloc(1, sizeof *log);
    assert(log != NULL);
    log->counters = counters;
    log->fd = -1;
    pthread_mutex_init(&log->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&log->wake, &attr);
    pthread_condattr_destroy(&attr);
    if (fd >= 0) {
        set_fd(log, fd);
        start(log);
    }
    return log;
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

void access_log_reopen(access_log_t *log, int fd)
{
    if (log->state == LOG_OFF) {
        if (fd >= 0) {
            set_fd(log, fd);
            start(log);
        }
        return;
    }
    log->muted = fd < 0;
    pthread_mutex_lock(&log->lock);
    if (log->reopen && log->next_fd >= 0)
        close(log->next_fd);
    log->reopen = true;
    log->next_fd = fd;
    pthread_cond_signal(&log->wake);
    pthread_mutex_unlock(&log->lock);
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
