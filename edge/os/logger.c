/*
 * See logger.h.
 */
#include "logger.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "message_ring.h"
#include "str.h"

#define READ_BYTES 65536
/* The size of the pipe: the most that any user may set (pipe(7)), so that all errors of a
 * configuration fit. The kernel allocates its memory as it fills. */
#define PIPE_BYTES (1 << 20)
/* Maximum wait, at the edge's end, for a reader that does not read. */
#define FINISH_MS 1000
/* Minimum delay before a restart of the logger. */
#define RESTART_MS 1000

/* Shared by all processes of the edge. */
typedef struct logger_counts {
    _Atomic uint64_t lost;     /* lines */
    _Atomic uint64_t reported; /* of those, the number already reported; only the logger writes it */
    message_ring_t recent;     /* only the logger writes it */
} logger_counts_t;

/* The supervisor sets this once before its first fork. It is global because process_log has no
 * context. */
static logger_counts_t *counts;

void logger_lost_line(void)
{
    if (counts != NULL)
        atomic_fetch_add(&counts->lost, 1);
}

uint64_t logger_lost_lines(void)
{
    return counts != NULL ? atomic_load(&counts->lost) : 0;
}

size_t logger_recent(char *out)
{
    return counts != NULL ? message_ring_read(&counts->recent, out) : 0;
}

/* ---- in the logger ---- */

/* Keeps the lines, each with its time, for those who ask later. `*inside`: the last one has no end yet. */
static void remember(str_t bytes, bool *inside)
{
    char stamp[40];
    struct timespec now;
    struct tm tm;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    size_t n =
        gmtime_r(&now.tv_sec, &tm) != NULL ? strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ ", &tm) : 0;
    while (bytes.n > 0) {
        const char *end = memchr(bytes.p, '\n', bytes.n);
        size_t line = end != NULL ? (size_t)(end - bytes.p) + 1 : bytes.n;
        if (!*inside)
            message_ring_put(&counts->recent, str_make(stamp, n));
        message_ring_put(&counts->recent, str_make(bytes.p, line));
        *inside = end == NULL;
        bytes = str_from_offset(bytes, line);
    }
}

/* The first whole lines of `rest` that fit into one write to a pipe; a longer line takes several
 * writes. */
static size_t piece(str_t rest)
{
    if (rest.n <= PIPE_BUF)
        return rest.n;
    const char *line_end = memrchr(rest.p, '\n', PIPE_BUF);
    return line_end != NULL ? (size_t)(line_end - rest.p) + 1 : PIPE_BUF;
}

/* Writes one piece and waits for its reader without a time limit. Returns false if it cannot be
 * written. */
static bool write_piece(int fd, str_t bytes)
{
    while (bytes.n > 0) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n > 0) {
            bytes = str_from_offset(bytes, (size_t)n);
        } else if (n < 0 && errno == EAGAIN) {
            /* The edge was started with a non-blocking stderr. */
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            (void)poll(&wait, 1, -1);
        } else if (n == 0 || errno != EINTR) {
            return false;
        }
    }
    return true;
}

static bool write_all(int fd, str_t bytes)
{
    bool all = true;
    while (bytes.n > 0) {
        str_t part = str_make(bytes.p, piece(bytes));
        if (!write_piece(fd, part)) {
            all = false;
            for (size_t i = 0; i < part.n; i++)
                if (part.p[i] == '\n')
                    logger_lost_line();
        }
        bytes = str_from_offset(bytes, part.n);
    }
    return all;
}

/* Reports the number of lost lines, after the lines that filled the pipe. */
static void report_lost(int fd)
{
    char line[128];
    uint64_t lost = atomic_load(&counts->lost), reported = atomic_load(&counts->reported);
    if (lost == reported)
        return;
    int n = snprintf(line, sizeof(line),
                     "boxedge: %llu messages were lost here, because stderr could not be written\n",
                     (unsigned long long)(lost - reported));
    if (write_piece(fd, str_make(line, (size_t)n)))
        atomic_store(&counts->reported, lost);
}

void logger_run(const logger_t *logger)
{
    static char bytes[READ_BYTES];
    static const int ignored[] = {SIGHUP, SIGINT, SIGTERM, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE};
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    prctl(PR_SET_NAME, "logger", 0, 0, 0);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    /* Keep only these two: the pipe would never end while this process had its other end. */
    if (dup2(logger->read_fd, STDIN_FILENO) < 0 || dup2(logger->stderr_fd, STDOUT_FILENO) < 0 ||
        dup2(STDOUT_FILENO, STDERR_FILENO) < 0)
        _exit(1);
    (void)close_range(STDERR_FILENO + 1, ~0u, 0);
    bool inside = false;
    for (;;) {
        ssize_t n = read(STDIN_FILENO, bytes, sizeof(bytes));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        remember(str_make(bytes, (size_t)n), &inside); /* first: stderr may stall */
        if (write_all(STDOUT_FILENO, str_make(bytes, (size_t)n)))
            report_lost(STDOUT_FILENO);
    }
    _exit(0);
}

/* ---- in the supervisor ---- */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static logger_counts_t *make_counts(void)
{
    void *page =
        mmap(NULL, sizeof(logger_counts_t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return page != MAP_FAILED ? page : NULL;
}

/* Makes a pipe whose write end does not block. Its read end does, because the two ends are two open
 * files. */
static bool make_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) != 0 || fcntl(ends[1], F_SETFL, O_NONBLOCK) != 0)
        return false;
    (void)fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES); /* on error it holds 64 KiB */
    return true;
}

bool logger_start(logger_t *logger)
{
    int ends[2] = {-1, -1};
    *logger = LOGGER_NONE;
    counts = make_counts();
    if (counts == NULL)
        return false;
    bool ok = make_pipe(ends);
    logger->read_fd = ends[0];
    logger->stderr_fd = ok ? fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1) : -1;
    fflush(NULL);
    logger->pid = logger->stderr_fd >= 0 ? fork() : -1;
    if (logger->pid == 0)
        logger_run(logger);
    if (logger->pid > 0 && dup2(ends[1], STDERR_FILENO) >= 0) {
        close(ends[1]);
        return true;
    }
    /* A logger that did start ends with the pipe. */
    int saved = errno;
    close_fd(&ends[1]);
    close_fd(&logger->read_fd);
    close_fd(&logger->stderr_fd);
    logger->pid = 0;
    errno = saved;
    return false;
}

void logger_died(logger_t *logger, uint64_t now_ms)
{
    logger->pid = 0;
    logger->due_ms = now_ms + RESTART_MS;
}

pid_t logger_start_again(logger_t *logger, uint64_t now_ms)
{
    if (logger->read_fd < 0 || logger->pid != 0 || now_ms < logger->due_ms)
        return -1;
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0)
        logger->due_ms = now_ms + RESTART_MS;
    else
        logger->pid = pid;
    return pid;
}

int logger_leave(const logger_t *logger)
{
    if (logger->stderr_fd < 0)
        return -1;
    int pipe_end = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    (void)dup2(logger->stderr_fd, STDERR_FILENO);
    return pipe_end;
}

/* Waits until the logger ends, or kills it: its write may never return. */
static void await_end(pid_t pid)
{
    struct pollfd wait = {.fd = pidfd_open(pid, 0), .events = POLLIN};
    if (wait.fd < 0 || poll(&wait, 1, FINISH_MS) != 1)
        kill(pid, SIGKILL);
    if (wait.fd >= 0)
        close(wait.fd);
    (void)waitpid(pid, NULL, 0);
}

void logger_finish(logger_t *logger)
{
    if (logger->stderr_fd < 0)
        return;
    (void)dup2(logger->stderr_fd, STDERR_FILENO);
    close_fd(&logger->stderr_fd);
    close_fd(&logger->read_fd);
    if (logger->pid != 0)
        await_end(logger->pid);
    logger->pid = 0;
}
