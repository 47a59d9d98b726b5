/* A process counts its own descriptors in pieces, and knows its memory and CPU time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "process_facts.h"

#define MANY 900

/* Descriptors of this process, without the one that counts them. */
static uint64_t really_open(void)
{
    uint64_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count - 1;
}

/* Enough turns for a whole pass, which began before. */
static void pass(process_facts_t *facts, uint64_t *now_ms)
{
    for (int i = 0; i < 12; i++) {
        *now_ms += PROCESS_FACTS_MS;
        process_facts_turn(facts, *now_ms);
    }
}

static void test_of_this_process(void **state)
{
    (void)state;
    static shm_process_t cells;
    process_facts_t facts;
    uint64_t now_ms = 1;
    int fds[MANY];
    process_facts_open(&facts, &cells);
    process_facts_turn(&facts, now_ms);
    assert_true(cells.started_s > 1600000000);
    assert_true(cells.resident_bytes > 65536);
    assert_int_equal(cells.fds, really_open());
    assert_true(cells.fds_max >= cells.fds);
    struct rlimit limit, lower;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    lower = (struct rlimit){limit.rlim_cur - 1, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &lower), 0);
    process_facts_turn(&facts, now_ms += PROCESS_FACTS_MS);
    assert_int_equal(cells.fds_max, limit.rlim_cur - 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    for (int i = 0; i < MANY; i++)
        assert_true((fds[i] = dup(0)) >= 0);
    process_facts_turn(&facts, now_ms + PROCESS_FACTS_MS - 1); /* not yet */
    assert_int_equal(cells.fds, really_open() - MANY);
    pass(&facts, &now_ms);
    assert_int_equal(cells.fds, really_open());
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    pass(&facts, &now_ms);
    assert_int_equal(cells.fds, really_open());
    uint64_t before = cells.cpu_us;
    for (volatile unsigned i = 0; i < 30000000; i++)
        ;
    pass(&facts, &now_ms);
    assert_true(cells.cpu_us > before);
    process_facts_close(&facts);
    pass(&facts, &now_ms); /* nothing is left to read */
    process_facts_wipe(&cells);
    assert_int_equal(cells.started_s, 0);
}

static void test_of_another_process(void **state)
{
    (void)state;
    static shm_process_t cells;
    process_facts_look((int32_t)getpid(), &cells);
    assert_true(cells.started_s != 0 && cells.resident_bytes > 65536);
    assert_int_equal(cells.fds, really_open() + 1);
    struct rusage used;
    assert_int_equal(getrusage(RUSAGE_SELF, &used), 0);
    uint64_t us = (uint64_t)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1000000 +
                  (uint64_t)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
    assert_true(cells.cpu_us <= us + 20000 && cells.cpu_us + 100000 >= us);
    shm_process_t none = {0};
    process_facts_look(INT32_MAX, &none);
    assert_int_equal(none.resident_bytes, 0);
    assert_int_equal(none.fds, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_this_process),
        cmocka_unit_test(test_of_another_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
