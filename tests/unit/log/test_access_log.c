/* The access log: lines reach the descriptor whole and in order, a reader that does not read costs lines and
 * never time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access_log.h"
#include "client.h"

static const access_log_style_t style = {.line.fields = ACCESS_FIELDS_ALL, .line.node = "n", .flush_ms = 20};

static line_target_t stream(int fd)
{
    return (line_target_t){fd, LINE_STREAM};
}

typedef struct fixture {
    counters_t counters;
    client_t client;
    exchange_t ex;
    access_log_t *log;
    int ends[2];
    char path[64];
} fixture_t;

static int set_up(void **state)
{
    signal(SIGPIPE, SIG_DFL); /* a broken pipe must not depend on how the process treats the signal */
    fixture_t *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->ex.client = &f->client;
    f->ex.request.method = STR("GET");
    f->ex.request.target = STR("/");
    f->ex.times.wall_us = 1769903998007000ull;
    assert_int_equal(pipe(f->ends), 0);
    memcpy(f->path, "/tmp/boxedge-log-XXXXXX", 24);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture_t *f = *state;
    access_log_free(&f->log);
    close(f->ends[0]);
    unlink(f->path);
    free(f);
    return 0;
}

static void add(fixture_t *f, unsigned number)
{
    int n = snprintf(f->ex.request_id, sizeof f->ex.request_id, "%u", number);
    assert_true(n > 0);
    access_log_exchange(f->log, &f->ex, EXCHANGE_END_COMPLETE);
}

/* Reads lines until `count` came; their request ids must be first, first + 1, ... */
static void expect_lines(int fd, unsigned first, unsigned count)
{
    FILE *in = fdopen(dup(fd), "r");
    assert_non_null(in);
    char line[8192];
    for (unsigned i = 0; i < count; i++) {
        assert_non_null(fgets(line, sizeof line, in));
        char want[64];
        snprintf(want, sizeof want, "\"request_id\":\"%u\"", first + i);
        assert_non_null(strstr(line, want));
        assert_memory_equal(line + strlen(line) - 2, "}\n", 2);
    }
    fclose(in);
}

static void lines_come_without_being_asked_for(void **state)
{
    fixture_t *f = *state;
    f->log = access_log_new(stream(f->ends[1]), &style, &f->counters);
    add(f, 0);
    struct pollfd wait = {.fd = f->ends[0], .events = POLLIN};
    assert_int_equal(poll(&wait, 1, 30000), 1);
    expect_lines(f->ends[0], 0, 1);
    add(f, 1);
    assert_int_equal(poll(&wait, 1, 30000), 1);
    expect_lines(f->ends[0], 1, 1);
}

static void free_writes_what_waits(void **state)
{
    fixture_t *f = *state;
    f->log = access_log_new(stream(f->ends[1]), &style, &f->counters);
    for (unsigned i = 0; i < 100; i++)
        add(f, i);
    access_log_free(&f->log);
    assert_null(f->log);
    expect_lines(f->ends[0], 0, 100);
    assert_int_equal(f->counters.log_lines_total, 100);
    assert_int_equal(f->counters.log_drops_total, 0);
    char byte;
    assert_int_equal(read(f->ends[0], &byte, 1), 0); /* the log owned the descriptor and closed it */
}

typedef struct seen {
    unsigned count;
    unsigned next; /* number of the next line, from the newest on */
} seen_t;

static bool see(void *arg, str_t line)
{
    seen_t *seen = arg;
    char want[64];
    size_t n = (size_t)snprintf(want, sizeof want, "\"request_id\":\"%u\"", seen->next--);
    assert_non_null(memmem(line.p, line.n, want, n));
    seen->count++;
    return true;
}

/* A line is found at once, also while it waits for the thread, and only once. */
static void recent_lines_are_kept(void **state)
{
    fixture_t *f = *state;
    uint64_t count = 0;
    f->log = access_log_new(stream(f->ends[1]), &style, &f->counters);
    add(f, 0);
    access_log_recent(f->log, see, &(seen_t){0}, &count);
    assert_int_equal(count, 0); /* keeps none yet */
    access_log_keep(f->log, 1 << 20);
    for (unsigned i = 1; i < 100; i++) {
        seen_t seen = {.next = i};
        add(f, i);
        count = 0;
        access_log_recent(f->log, see, &seen, &count);
        assert_true(seen.count == count && (count == i || count == i + 1));
    }
    access_log_free(&f->log);
    expect_lines(f->ends[0], 0, 100);
}

static void many_lines_into_a_file(void **state)
{
    fixture_t *f = *state;
    close(f->ends[1]);
    int fd = mkstemp(f->path);
    assert_true(fd >= 0);
    f->log = access_log_new(stream(fd), &style, &f->counters);
    /* More than both buffers hold, in batches that the thread can keep up with. */
    for (unsigned i = 0; i < 5000; i++) {
        add(f, i);
        while (i % 500 == 499 && atomic_load(&f->counters.log_lines_total) + 500 <= i)
            poll(NULL, 0, 1);
    }
    access_log_free(&f->log);
    assert_int_equal(f->counters.log_lines_total, 5000);
    fd = open(f->path, O_RDONLY);
    expect_lines(fd, 0, 5000);
    close(fd);
}

/* Nobody reads: the pipe and both buffers fill, then lines are dropped and counted; the loop is never held.
 */
static void a_stuck_reader_costs_lines_only(void **state)
{
    fixture_t *f = *state;
    f->log = access_log_new(stream(f->ends[1]), &style, &f->counters);
    unsigned added = 0;
    while (atomic_load(&f->counters.log_drops_total) < 10 && added < 100000)
        add(f, added++);
    assert_true(added < 100000);
    /* Ends within its bound although the thread is stuck in a write. */
    uint64_t start = loop_precise_us();
    access_log_free(&f->log);
    assert_true(loop_precise_us() - start >= 500000);
    uint64_t drops = atomic_load(&f->counters.log_drops_total);
    uint64_t lines = atomic_load(&f->counters.log_lines_total);
    /* The thread, released, frees itself and no longer touches the counters. */
    char bytes[65536];
    ssize_t n;
    while ((n = read(f->ends[0], bytes, sizeof bytes)) > 0)
        ;
    assert_int_equal(n, 0);
    assert_int_equal(drops, atomic_load(&f->counters.log_drops_total));
    assert_int_equal(lines, atomic_load(&f->counters.log_lines_total));
}

static void a_broken_pipe_is_counted(void **state)
{
    fixture_t *f = *state;
    f->log = access_log_new(stream(f->ends[1]), &style, &f->counters);
    close(f->ends[0]);
    f->ends[0] = -1;
    for (unsigned i = 0; i < 7; i++)
        add(f, i);
    access_log_free(&f->log);
    assert_int_equal(f->counters.log_drops_total, 7);
    assert_int_equal(f->counters.log_lines_total, 0);
}

static void reopen_goes_on_elsewhere(void **state)
{
    fixture_t *f = *state;
    int other[2];
    assert_int_equal(pipe(other), 0);
    f->log = access_log_new(stream(f->ends[1]), &style, &f->counters);
    add(f, 0);
    access_log_reopen(f->log, stream(other[1]));
    expect_lines(f->ends[0], 0, 1);
    char byte;
    assert_int_equal(read(f->ends[0], &byte, 1), 0); /* the old descriptor was closed */
    add(f, 1);
    expect_lines(other[0], 1, 1);
    access_log_free(&f->log);
    close(other[0]);
}

static void reopen_to_nowhere_and_back(void **state)
{
    fixture_t *f = *state;
    f->log = access_log_new(LINE_TARGET_NONE, &style, &f->counters);
    add(f, 0);
    access_log_reopen(f->log, LINE_TARGET_NONE);
    access_log_reopen(f->log, stream(f->ends[1]));
    add(f, 1);
    access_log_reopen(f->log, LINE_TARGET_NONE);
    add(f, 2);
    access_log_free(&f->log);
    expect_lines(f->ends[0], 1, 1);
    assert_int_equal(f->counters.log_lines_total, 1);
    assert_int_equal(f->counters.log_drops_total, 0);
}

static void local_clients_get_no_line(void **state)
{
    fixture_t *f = *state;
    f->log = access_log_new(stream(f->ends[1]), &style, &f->counters);
    f->client.local = true;
    add(f, 0);
    access_log_free(&f->log);
    char byte;
    assert_int_equal(read(f->ends[0], &byte, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_come_without_being_asked_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(recent_lines_are_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(free_writes_what_waits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_lines_into_a_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stuck_reader_costs_lines_only, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_broken_pipe_is_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reopen_goes_on_elsewhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reopen_to_nowhere_and_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(local_clients_get_no_line, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
