/*
 * See logger.h.
 */
#include "logger.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log_entry.h"
#include "log_output.h"
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
    _Atomic uint32_t format;   /* log_format_t; only the supervisor writes it */
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

void logger_set_format(log_format_t format)
{
    if (counts != NULL)
        atomic_store(&counts->format, format);
}

size_t logger_recent(char *out)
{
    return counts != NULL ? message_ring_read(&counts->recent, out) : 0;
}

/* ---- in the logger ---- */

typedef struct writer {
    int stderr_fd;
    int journal_fd; /* stderr goes to journald, which takes messages here too; -1: it does not */
} writer_t;

/* Keeps a line, with its end, for those who ask later. A line without a time gets one. */
static void remember(str_t line)
{
    log_entry_t entry;
    if (!log_entry_parse(str_make(line.p, line.n - 1), &entry)) {
        char stamp[LOG_TIME_BYTES + 1];
        log_time_now(stamp);
        stamp[LOG_TIME_BYTES] = ' ';
        message_ring_put(&counts->recent, str_make(stamp, sizeof(stamp)));
    }
    message_ring_put(&counts->recent, line);
}

static bool send_to_journal(int fd, str_t line)
{
    char text[LOG_JOURNAL_MAX];
    size_t n = log_journal_text(text, line);
    while (send(fd, text, n, MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            return false;
    return true;
}

static bool write_to_stderr(const writer_t *writer, str_t lines)
{
    size_t lost = log_write_lines(writer->stderr_fd, lines);
    if (lost != 0)
        atomic_fetch_add(&counts->lost, lost);
    return lost == 0;
}

/* The length of the first line, with its end. */
static size_t first_line(str_t lines)
{
    const char *end = memchr(lines.p, '\n', lines.n);
    assert(end != NULL);
    return (size_t)(end - lines.p) + 1;
}

/* Writes one line. One that journald does not take natively goes to its end of stderr. */
static bool write_line(const writer_t *writer, str_t line, bool as_json)
{
    char json[LOG_JSON_MAX];
    str_t text = str_make(line.p, line.n - 1);
    if (as_json)
        line = str_make(json, log_json_line(json, text));
    else if (send_to_journal(writer->journal_fd, text))
        return true;
    return write_to_stderr(writer, line);
}

/* Returns false if a line was lost. */
static bool write_lines(const writer_t *writer, str_t lines)
{
    bool as_json = atomic_load(&counts->format) == LOG_FORMAT_JSON, all = true;
    if (!as_json && writer->journal_fd < 0)
        return write_to_stderr(writer, lines);
    while (lines.n > 0) {
        size_t n = first_line(lines);
        all = write_line(writer, str_make(lines.p, n), as_json) && all;
        lines = str_from_offset(lines, n);
    }
    return all;
}

/* Reports the number of lost lines, after the lines that filled the pipe. */
static void report_lost(const writer_t *writer)
{
    char line[LOG_HEAD_MAX + 128];
    uint64_t lost = atomic_load(&counts->lost), reported = atomic_load(&counts->reported);
    if (lost == reported)
        return;
    size_t n = log_head(line, LOG_MESSAGES_LOST, NULL);
    n += (size_t)snprintf(line + n, sizeof(line) - n,
                          "%llu messages were lost here, because stderr could not be written\n",
                          (unsigned long long)(lost - reported));
    if (write_lines(writer, str_make(line, n)))
        atomic_store(&counts->reported, lost);
}

/* Takes whole lines. */
static void take(const writer_t *writer, str_t lines)
{
    for (str_t rest = lines; rest.n > 0;) {
        size_t n = first_line(rest);
        remember(str_make(rest.p, n)); /* first: stderr may stall */
        rest = str_from_offset(rest, n);
    }
    if (write_lines(writer, lines))
        report_lost(writer);
}

/* Reads the pipe to its end. Text without a line end waits for the rest of its line. */
static void copy(const writer_t *writer)
{
    static char bytes[READ_BYTES + 1]; /* the last one is for an end */
    size_t held = 0;
    for (;;) {
        ssize_t n = read(STDIN_FILENO, bytes + held, READ_BYTES - held);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        held += (size_t)n;
        const char *end = memrchr(bytes, '\n', held);
        size_t whole = end != NULL ? (size_t)(end - bytes) + 1 : 0;
        if (whole == 0 && held == READ_BYTES) { /* no process of the edge writes such a line */
            bytes[held] = '\n';
            whole = held + 1;
        }
        if (whole == 0)
            continue;
        take(writer, str_make(bytes, whole));
        held = whole < held ? held - whole : 0;
        memmove(bytes, bytes + whole, held);
    }
    if (held > 0) {
        bytes[held] = '\n';
        take(writer, str_make(bytes, held + 1));
    }
}

void logger_run(const logger_t *logger)
{
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
    writer_t writer = {.stderr_fd = STDOUT_FILENO, .journal_fd = -1};
    if (log_is_journal(STDOUT_FILENO, getenv("JOURNAL_STREAM")))
        writer.journal_fd = log_journal_open(LOG_JOURNAL_SOCKET);
    copy(&writer);
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
