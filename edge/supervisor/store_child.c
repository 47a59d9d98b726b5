#include "store_child.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "children.h"
#include "clock.h"
#include "store.h"

/* A message of the child: a letter, the text, and a NUL. At most PIPE_BUF, so that it arrives whole. */
#define TEXT_MAX PIPE_BUF

/* ---- in the child ---- */

static void report(int out, char letter, const char *text)
{
    char message[TEXT_MAX];
    int n = snprintf(message, sizeof(message), "%c%s", letter, text);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof(message) ? (size_t)n + 1 : sizeof(message);
    if (write(out, message, len) != (ssize_t)len)
        _exit(1); /* the parent has ended */
}

static const char kind_letters[] = {[STORE_CHECK_RECORD] = 'R',
                                    [STORE_CHECK_TREE] = 'T',
                                    [STORE_CHECK_BOXES] = 'B',
                                    [STORE_CHECK_UNDONE] = 'U'};

typedef struct reporting {
    int out;
    store_check_sum_t sum;
} reporting_t;

static void report_finding(store_check_kind_t kind, const char *sentence, void *arg)
{
    const reporting_t *reporting = arg;
    char text[32];
    snprintf(text, sizeof(text), "%llx", (unsigned long long)reporting->sum.damaged);
    report(reporting->out, 'D', text);
    report(reporting->out, kind_letters[kind], sentence);
}

static void report_progress(const char *dir, unsigned percent, void *arg)
{
    char text[TEXT_MAX];
    snprintf(text, sizeof(text), "%u %.*s", percent, PATH_MAX - 100, dir);
    report(((const reporting_t *)arg)->out, 'P', text);
}

/* Whether this user, who is the store's, could write the environment anew. */
static bool may_replace(const char *dir)
{
    char path[PATH_MAX + 16];
    snprintf(path, sizeof(path), "%s/data.mdb", dir);
    return access(dir, W_OK | X_OK) == 0 && access(path, R_OK | W_OK) == 0;
}

static void check_all(const store_child_t *check, int out)
{
    const char *fleeting = check->fleeting;
    reporting_t reporting = {.out = out};
    const store_check_sum_t *sum = &reporting.sum;
    const store_check_calls_t calls = {
        .finding = report_finding, .progress = report_progress, .arg = &reporting};
    char error[512], text[128];
    if (check->look && !store_look(check->durable, check->fleeting, check->map_bytes, error, sizeof(error))) {
        bool durable = store_look(check->durable, NULL, check->map_bytes, text, sizeof(text));
        report(out, durable && may_replace(fleeting) ? 'B' : 'L', error);
        if (!durable || !may_replace(fleeting))
            return;
        fleeting = NULL;
    }
    store_check(check->durable, fleeting, check->in_use, &calls, &reporting.sum);
    snprintf(text, sizeof(text), "%u %llu %llu %u %u", sum->environments, (unsigned long long)sum->records,
             (unsigned long long)sum->findings, sum->format, sum->minor);
    report(out, 'S', text);
}

static _Noreturn void run(const store_child_t *check, pid_t parent, int out)
{
    char error[128];
    signal(SIGPIPE, SIG_DFL);
    if (privileges_drop(check->privileges, parent)) {
        check_all(check, out);
    } else {
        snprintf(error, sizeof(error), "the check cannot give up its rights: %s", strerror(errno));
        report(out, 'U', error);
    }
    _exit(0);
}

/* ---- in the parent ---- */

typedef struct reading {
    const store_child_t *check;
    const store_child_calls_t *calls;
    store_check_sum_t *sum;
    uint64_t progress_due_ms;
    bool undone;
    char bytes[2 * TEXT_MAX];
    size_t len;
} reading_t;

static void take_progress(reading_t *reading, const char *text)
{
    unsigned percent;
    int at = 0;
    uint64_t now = clock_now_ms();
    if (reading->calls->progress == NULL || now < reading->progress_due_ms)
        return;
    reading->progress_due_ms = now + reading->check->progress_ms;
    if (sscanf(text, "%u %n", &percent, &at) == 1 && at > 0)
        reading->calls->progress(text + at, percent, reading->calls->arg);
}

static void take(reading_t *reading, const char *message)
{
    unsigned long long records, findings, damaged;
    store_check_sum_t *sum = reading->sum;
    switch (message[0]) {
    case 'D':
        if (sscanf(message + 1, "%llx", &damaged) == 1)
            sum->damaged = damaged;
        break;
    case 'R':
        reading->calls->finding(STORE_CHECK_RECORD, false, message + 1, reading->calls->arg);
        break;
    case 'T':
    case 'L':
        reading->calls->finding(STORE_CHECK_TREE, message[0] == 'L', message + 1, reading->calls->arg);
        break;
    case 'B':
        reading->calls->finding(STORE_CHECK_BOXES, false, message + 1, reading->calls->arg);
        break;
    case 'U':
        reading->undone = true;
        reading->calls->finding(STORE_CHECK_UNDONE, false, message + 1, reading->calls->arg);
        break;
    case 'P':
        take_progress(reading, message + 1);
        break;
    case 'S':
        if (sscanf(message + 1, "%u %llu %llu %u %u", &sum->environments, &records, &findings, &sum->format,
                   &sum->minor) == 5) {
            sum->records = records;
            sum->findings = findings;
        }
        break;
    default: /* of no child of this program */
        break;
    }
}

/* Takes the complete messages out of the buffer. */
static void take_messages(reading_t *reading)
{
    size_t at = 0;
    for (;;) {
        const char *end = memchr(reading->bytes + at, '\0', reading->len - at);
        if (end == NULL)
            break;
        take(reading, reading->bytes + at);
        at = (size_t)(end - reading->bytes) + 1;
    }
    if (at == 0 && reading->len == sizeof(reading->bytes))
        at = reading->len; /* longer than any message */
    reading->len -= at;
    memmove(reading->bytes, reading->bytes + at, reading->len);
}

/* Reads until the child ends. Returns false at the bound. */
static bool read_all(reading_t *reading, int fd)
{
    uint64_t start = clock_now_ms();
    uint32_t bound = reading->check->bound_ms;
    reading->progress_due_ms = start + reading->check->progress_ms;
    for (;;) {
        uint64_t spent = clock_now_ms() - start;
        if (bound != 0 && spent >= bound)
            return false;
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        int n = poll(&ready, 1, bound != 0 ? (int)(bound - spent) : -1);
        if (n <= 0)
            continue;
        ssize_t got = read(fd, reading->bytes + reading->len, sizeof(reading->bytes) - reading->len);
        if (got == 0)
            return true;
        if (got > 0)
            reading->len += (size_t)got;
        take_messages(reading);
    }
}

static pid_t start(const store_child_t *check, int *fd)
{
    int ends[2];
    pid_t parent = getpid();
    if (pipe(ends) != 0)
        return -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        run(check, parent, ends[1]);
    }
    int error = errno;
    close(ends[1]);
    if (child < 0)
        close(ends[0]);
    errno = error;
    *fd = ends[0];
    return child;
}

/* Whether the store can have ended its reader so. A SIGKILL comes from the kernel when memory is short, or
 * from a person, like any other signal from outside. */
static bool is_crash(int status)
{
    static const int faults[] = {SIGBUS, SIGSEGV, SIGABRT, SIGILL, SIGFPE, SIGTRAP};
    if (!WIFSIGNALED(status))
        return true;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        if (WTERMSIG(status) == faults[i])
            return true;
    return false;
}

store_child_result_t store_child_check(const store_child_t *check, const store_child_calls_t *calls,
                                       store_check_sum_t *sum)
{
    reading_t reading = {.check = check, .calls = calls, .sum = sum};
    char how[64], sentence[PATH_MAX + 128];
    int fd, status = 0;
    *sum = (store_check_sum_t){.environments = 0};
    pid_t child = start(check, &fd);
    if (child < 0)
        return STORE_CHILD_FAILED;
    bool in_time = read_all(&reading, fd);
    close(fd);
    if (!in_time)
        kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (!in_time)
        return STORE_CHILD_LATE;
    if (status != 0 && !is_crash(status)) {
        snprintf(sentence, sizeof(sentence), "%s: the process that reads it ended early: %s", check->durable,
                 children_end_text(status, how));
        calls->finding(STORE_CHECK_UNDONE, false, sentence, calls->arg);
        return STORE_CHILD_UNDONE;
    }
    if (status != 0) {
        snprintf(sentence, sizeof(sentence), "%s: a process that reads the store would crash: %s",
                 check->durable, children_end_text(status, how));
        sum->damaged = STORE_PARTS_ALL; /* it does not tell which */
        calls->finding(STORE_CHECK_TREE, false, sentence, calls->arg);
        sum->findings++;
    }
    return reading.undone ? STORE_CHILD_UNDONE : STORE_CHILD_DONE;
}
