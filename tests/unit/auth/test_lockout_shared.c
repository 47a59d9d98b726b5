/* The table among several processes: while it has room, failures are neither lost nor counted twice; when it
 * is full, nobody is locked without a reason. A process may die anywhere. */
#include <pthread.h>

#include "lockout_fixture.h"
#include "single_step.h"

#define CELLS     16384
#define SET       8
#define PROCESSES 4
#define T         ((uint64_t)3600000)

/* State that the processes of a test share beside the table. */
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

/* Runs a part in PROCESSES children at the same time; none of them may report a violation. */
static void play(part_t *part, uint32_t cells)
{
    lockout_t *table = lockout_fixture_table_new(cells);
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
    lockout_fixture_table_free(table, cells);
}

#define ROUNDS 1500

/* Ten different wrong secrets, split over the processes: locked, whichever was first. */
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

/* Nine secrets, all shown by every process in another order: not locked; with one more, locked. */
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

/* Many clients over one set, none with more than nine wrong secrets, all taking cells from each other the
 * whole time: none is ever locked. A cell has fewer owners here than rounds. */
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

/* The process died here. On a copy of the table that it left: clients with nine failures are not locked, and
 * ten failures lock every client that has a cell or can get one. */
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
 * times. Fails if that corrupts anything. */
static void die_everywhere(uint32_t others, uint32_t client)
{
    death_t death = {lockout_fixture_table_new(SET), lockout_fixture_table_new(SET), client};
    for (uint32_t other = 0; other < others; other++)
        for (uint64_t secret = 0; secret < 9; secret++)
            fail_once(death.table, other, secret, T - 1000 + other);
    size_t steps = single_step(fail_the_last_time, NULL, &death, check_heirs, &death);
    assert_true(steps > 100);
    lockout_fixture_table_free(death.table, SET);
    lockout_fixture_table_free(death.copy, SET);
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

/* ---- two at the same time, one between any two instructions of the other ---- */

/* Times at which the other process runs. */
#define PLACES 60

typedef struct two {
    void (*prepare)(lockout_t *table);
    uint32_t slow; /* fails once, with secret 500, and is interrupted */
    void (*other)(lockout_t *table);
    void (*check)(lockout_t *table);
} two_t;

static void play_two(const two_t *two, size_t place)
{
    death_t slow = {lockout_fixture_table_new(SET), NULL, two->slow};
    two->prepare(slow.table);
    pid_t child = step_begin(fail_the_last_time, NULL, &slow);
    bool more = true;
    for (size_t i = 0; i < place && more; i++)
        more = step_once(child);
    two->other(slow.table);
    step_finish(child, !more);
    two->check(slow.table);
    lockout_fixture_table_free(slow.table, SET);
}

/* At places throughout the work. */
static void play_everywhere(const two_t *two)
{
    death_t alone = {lockout_fixture_table_new(SET), NULL, two->slow};
    two->prepare(alone.table);
    size_t steps = single_step(fail_the_last_time, NULL, &alone, NULL, NULL);
    for (size_t i = 0; i < PLACES; i++)
        play_two(two, i * steps / PLACES);
    lockout_fixture_table_free(alone.table, SET);
}

static void fail_range(lockout_t *table, uint32_t client, uint64_t from, uint64_t to)
{
    for (uint64_t secret = from; secret < to; secret++)
        fail_once(table, client, secret, T);
}

static void prepare_nothing(lockout_t *table)
{
    (void)table;
}

static void newcomer_fails_nine_times(lockout_t *table)
{
    fail_range(table, NEWCOMER, 0, 9);
}

/* Both newcomers have all of their own failures, and no others. */
static void check_both_newcomers(lockout_t *table)
{
    assert_int_equal(left(table, VICTIM, T), 0);
    assert_int_equal(left(table, NEWCOMER, T), 0);
    fail_range(table, VICTIM, 0, 8);
    assert_int_equal(left(table, VICTIM, T), 0);
    fail_range(table, VICTIM, 8, 9);
    fail_range(table, NEWCOMER, 9, 10);
    assert_int_equal(left(table, VICTIM, T), 60000);
    assert_int_equal(left(table, NEWCOMER, T), 60000);
}

static void test_two_newcomers(void **state)
{
    (void)state;
    play_everywhere(&(two_t){prepare_nothing, VICTIM, newcomer_fails_nine_times, check_both_newcomers});
}

static void prepare_eight(lockout_t *table)
{
    fail_range(table, VICTIM, 0, 8);
}

static void same_fails_with_another(lockout_t *table)
{
    fail_range(table, VICTIM, 8, 9);
}

static void check_locked(lockout_t *table)
{
    assert_int_equal(left(table, VICTIM, T), 60000);
}

static void same_fails_with_the_same(lockout_t *table)
{
    fail_range(table, VICTIM, 500, 501);
}

static void check_nine(lockout_t *table)
{
    assert_int_equal(left(table, VICTIM, T), 0);
    fail_range(table, VICTIM, 9, 10);
    assert_int_equal(left(table, VICTIM, T), 60000);
}

/* One client on two workers: two failures count two, and the same one twice counts one. */
static void test_two_of_one_client(void **state)
{
    (void)state;
    play_everywhere(&(two_t){prepare_eight, VICTIM, same_fails_with_another, check_locked});
    play_everywhere(&(two_t){prepare_eight, VICTIM, same_fails_with_the_same, check_nine});
}

/* A full set in which the victim is the next to be dropped. */
static void prepare_full(lockout_t *table)
{
    fail_once(table, VICTIM, 0, T - 50000);
    for (uint32_t client = 1; client < SET; client++)
        fail_once(table, client, 0, T - 40000 + client);
}

/* The cell may have gone to the newcomer before the failure was written; the failure still counts, since it
 * came later. */
static void check_last_counts(lockout_t *table)
{
    fail_range(table, VICTIM, 1, 8);
    assert_int_equal(left(table, VICTIM, T), 0);
    fail_range(table, VICTIM, 8, 10);
    assert_int_equal(left(table, VICTIM, T), 60000);
    fail_range(table, NEWCOMER, 1, 9);
    assert_int_equal(left(table, NEWCOMER, T), 0);
    fail_range(table, NEWCOMER, 9, 10);
    assert_int_equal(left(table, NEWCOMER, T), 60000);
}

static void newcomer_fails_once(lockout_t *table)
{
    fail_range(table, NEWCOMER, 0, 1);
}

static void test_cell_goes_meanwhile(void **state)
{
    (void)state;
    play_everywhere(&(two_t){prepare_full, VICTIM, newcomer_fails_once, check_last_counts});
    play_everywhere(&(two_t){prepare_full, VICTIM, newcomer_fails_nine_times, check_last_counts});
}

/* A full set whose last cell is the next to be reused. */
static void prepare_others(lockout_t *table)
{
    for (uint32_t client = 0; client < SET; client++)
        fail_once(table, client, 0, T - 40000 - client);
}

static void same_fails_nine_times(lockout_t *table)
{
    fail_range(table, VICTIM, 0, 9);
}

/* A client's first failures on two workers take one cell, and no second claim loses any of them. */
static void test_one_newcomer_twice(void **state)
{
    (void)state;
    play_everywhere(&(two_t){prepare_nothing, VICTIM, same_fails_nine_times, check_locked});
    play_everywhere(&(two_t){prepare_others, VICTIM, same_fails_nine_times, check_locked});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_together),
        cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_death_at_first_failure),
        cmocka_unit_test(test_death_at_tenth_failure),
        cmocka_unit_test(test_death_at_another_owner),
        cmocka_unit_test(test_two_newcomers),
        cmocka_unit_test(test_two_of_one_client),
        cmocka_unit_test(test_cell_goes_meanwhile),
        cmocka_unit_test(test_one_newcomer_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
