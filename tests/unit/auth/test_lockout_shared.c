/*
 * The table among several processes: failures are neither lost nor counted twice where the table has room,
 * nobody is locked without a reason where it has not, and a process may die anywhere.
 */
#include <pthread.h>

#include "lockout_fixture.h"
#include "single_step.h"

#define CELLS     16384
#define SET       8
#define PROCESSES 4
#define T         ((uint64_t)3600000)

/* What the processes of a test share beside the table. */
typedef struct meeting {
    pthread_barrier_t barrier;
    _Atomic unsigned wrong;
} meeting_t;

static meeting_t *meeting_new(void)
{
    meeting_t *meeting =
        mmap(NULL, sizeof(*meeting), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_barrierattr_t shared;
    assert_true(meeting != MAP_FAILED);
    pthread_barrierattr_init(&shared);
    pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    assert_int_equal(pthread_barrier_init(&meeting->barrier, &shared, PROCESSES), 0);
    return meeting;
}

typedef void part_t(lockout_t *table, meeting_t *meeting, unsigned process);

/* Plays a part in PROCESSES children at once; none of them may have seen anything wrong. */
static void play(part_t *part, uint32_t cells)
{
    lockout_t *table = table_new(cells);
    meeting_t *meeting = meeting_new();
    pid_t children[PROCESSES];
    for (unsigned i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            part(table, meeting, i);
            _exit(0);
        }
    }
    for (unsigned i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(meeting->wrong, 0);
    munmap(meeting, sizeof(*meeting));
    table_free(table, cells);
}

#define ROUNDS 1500

/* Ten different wrong secrets, shared out: locked, whoever was first. */
static void play_ten(lockout_t *table, meeting_t *meeting, unsigned process)
{
    for (uint32_t client = 0; client < ROUNDS; client++) {
        pthread_barrier_wait(&meeting->barrier);
        for (unsigned secret = process; secret < 10; secret += PROCESSES)
            fail_once(table, client, secret, T + client);
        pthread_barrier_wait(&meeting->barrier);
        if (left(table, client, T + client) != 60000)
            meeting->wrong++;
    }
}

/* Nine, all shown by all of them in another order: not locked; with one more, locked. */
static void play_nine(lockout_t *table, meeting_t *meeting, unsigned process)
{
    for (uint32_t client = 0; client < ROUNDS; client++) {
        pthread_barrier_wait(&meeting->barrier);
        for (unsigned i = 0; i < 18; i++)
            fail_once(table, client, (i * (process + 1) + process) % 9, T + client);
        pthread_barrier_wait(&meeting->barrier);
        if (left(table, client, T + client) != 0)
            meeting->wrong++;
        pthread_barrier_wait(&meeting->barrier);
        fail_once(table, client, 9, T + client);
        if (left(table, client, T + client) != 60000)
            meeting->wrong++;
    }
}

/* Many clients over one set, each taking cells from the others all the time, none with more than nine wrong
 * secrets: not one is ever locked. A cell has fewer owners here than there are rounds. */
static void play_crowd(lockout_t *table, meeting_t *meeting, unsigned process)
{
    pthread_barrier_wait(&meeting->barrier);
    for (uint32_t i = 0; i < 6000; i++) {
        uint32_t client = i % 3 == 0 ? i % 5 : 10 + process * 3 + i % 3; /* shared ones, and one's own */
        fail_once(table, client, i % 9, T);
        if (left(table, client, T) != 0)
            meeting->wrong++;
    }
}

static void test_together(void **state)
{
    (void)state;
    play(play_ten, CELLS);
    play(play_nine, CELLS);
}

static void test_crowd(void **state)
{
    (void)state;
    play(play_crowd, SET);
}

/* ---- death ---- */

#define VICTIM   50
#define NEWCOMER 60

typedef struct death {
    lockout_t *table, *copy;
    uint32_t client;
} death_t;

static void fail_the_last_time(void *arg)
{
    death_t *death = arg;
    fail_once(death->table, death->client, 500, T);
}

/* The process died here. On a copy of what it left: those who failed nine times are not locked, and ten
 * failures lock whoever has a cell or can get one. */
static void check_heirs(void *arg)
{
    death_t *death = arg;
    memcpy(death->copy, death->table, lockout_size(SET));
    for (uint32_t client = 0; client < SET; client++)
        if (client != death->client)
            assert_int_equal(left(death->copy, client, T), 0);
    for (uint64_t secret = 0; secret < 10; secret++)
        fail_once(death->copy, death->client, 1000 + secret, T + 1);
    assert_true(left(death->copy, death->client, T + 1) >= 59999);
    for (uint64_t secret = 0; secret < 10; secret++)
        fail_once(death->copy, NEWCOMER, secret, T + 2);
    assert_int_equal(left(death->copy, NEWCOMER, T + 2), 60000);
}

/* Dies after each instruction of its last failure, of `client`, in a set where `others` have failed nine
 * times. Fails where that leaves anything wrong. */
static void die_everywhere(uint32_t others, uint32_t client)
{
    death_t death = {table_new(SET), table_new(SET), client};
    for (uint32_t other = 0; other < others; other++)
        for (uint64_t secret = 0; secret < 9; secret++)
            fail_once(death.table, other, secret, T - 1000 + other);
    size_t steps = single_step(fail_the_last_time, NULL, &death, check_heirs, &death);
    assert_true(steps > 100);
    table_free(death.table, SET);
    table_free(death.copy, SET);
}

static void test_death_at_first_failure(void **state)
{
    (void)state;
    die_everywhere(0, VICTIM);
    die_everywhere(SET - 2, VICTIM);
}

static void test_death_at_tenth_failure(void **state)
{
    (void)state;
    die_everywhere(SET - 1, 3);
}

static void test_death_at_another_owner(void **state)
{
    (void)state;
    die_everywhere(SET, VICTIM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_together),
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_death_at_first_failure),
        cmocka_unit_test(test_death_at_tenth_failure),
        cmocka_unit_test(test_death_at_another_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
