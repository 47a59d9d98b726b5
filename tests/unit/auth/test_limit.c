/* GCRA in shared memory: rates, bursts, requests in flight, clocks that jump, and what of it several
 * processes share. */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "limit.h"
#include "limit_fields.h"

#define CELLS 64
#define MS    UINT64_C(1000000)
#define S     (1000 * MS)
#define T     (1000 * S)

static limit_t *table_new(uint32_t cells)
{
    static const uint8_t seed[16] = "0123456789abcde";
    void *memory = mmap(NULL, limit_size(cells), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    return limit_init(memory, cells, seed);
}

static void table_free(limit_t *limit, uint32_t cells)
{
    munmap(limit, limit_size(cells));
}

static limit_id_t id_of(uint64_t n)
{
    limit_id_t id = {{0}};
    memcpy(id.sha256, &n, sizeof(n));
    return id;
}

/* Takes and at once ends; its result. */
static limit_result_t take(limit_t *limit, uint64_t n, const limit_plan_t *plan, uint32_t cost, uint64_t now,
                           limit_state_t *state)
{
    limit_id_t id = id_of(n);
    limit_ticket_t ticket;
    limit_result_t result = limit_take(limit, 0, &id, plan, cost, now, state, &ticket);
    limit_release(limit, 0, &ticket);
    return result;
}

static void test_burst_then_rate(void **state)
{
    (void)state;
    limit_t *limit = table_new(CELLS);
    limit_plan_t plan = {.interval_ns = 100 * MS, .burst = 5};
    limit_state_t left;
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(take(limit, 1, &plan, 1, T, &left), LIMIT_ADMITTED);
        assert_int_equal(left.remaining, 4 - i);
        assert_int_equal(left.reset_ms, (i + 1) * 100);
    }
    assert_int_equal(take(limit, 1, &plan, 1, T, &left), LIMIT_RATE);
    assert_int_equal(left.remaining, 0);
    assert_int_equal(left.retry_ms, 100);
    assert_int_equal(take(limit, 1, &plan, 1, T + 99 * MS, &left), LIMIT_RATE);
    assert_int_equal(left.retry_ms, 1);
    assert_int_equal(take(limit, 1, &plan, 1, T + 100 * MS, &left), LIMIT_ADMITTED);
    assert_int_equal(take(limit, 2, &plan, 1, T, &left), LIMIT_ADMITTED); /* another identity */
    assert_int_equal(left.remaining, 4);
    table_free(limit, CELLS);
}

static void test_costs(void **state)
{
    (void)state;
    limit_t *limit = table_new(CELLS);
    limit_plan_t plan = {.interval_ns = 100 * MS, .burst = 5};
    limit_state_t left;
    assert_int_equal(take(limit, 1, &plan, 6, T, &left), LIMIT_COST);
    assert_int_equal(take(limit, 1, &plan, 5, T, &left), LIMIT_ADMITTED);
    assert_int_equal(take(limit, 1, &plan, 0, T, &left), LIMIT_ADMITTED);
    assert_int_equal(take(limit, 1, &plan, 2, T, &left), LIMIT_RATE);
    assert_int_equal(left.retry_ms, 200);
    assert_int_equal(take(limit, 1, &plan, 2, T + left.retry_ms * MS, &left), LIMIT_ADMITTED);
    table_free(limit, CELLS);
}

static void test_in_flight(void **state)
{
    (void)state;
    limit_t *limit = table_new(CELLS);
    limit_plan_t plan = {.interval_ns = 100 * MS, .burst = 5, .in_flight = 2};
    limit_id_t id = id_of(1);
    limit_ticket_t tickets[3];
    limit_state_t left;
    assert_int_equal(limit_take(limit, 0, &id, &plan, 1, T, &left, &tickets[0]), LIMIT_ADMITTED);
    assert_int_equal(limit_take(limit, 7, &id, &plan, 1, T, &left, &tickets[1]), LIMIT_ADMITTED);
    assert_int_equal(limit_take(limit, 0, &id, &plan, 1, T, &left, &tickets[2]), LIMIT_IN_FLIGHT);
    assert_int_equal(left.remaining, 3);  /* refused by the one, it took nothing of the other */
    limit_release(limit, 0, &tickets[2]); /* an empty one */
    limit_worker_wipe(limit, 7);
    assert_int_equal(limit_take(limit, 0, &id, &plan, 1, T, &left, &tickets[1]), LIMIT_ADMITTED);
    limit_release(limit, 0, &tickets[0]);
    limit_refund(limit, 0, &tickets[1]);
    assert_int_equal(take(limit, 1, &plan, 1, T, &left), LIMIT_ADMITTED);
    assert_int_equal(left.remaining, 2);
    /* Refused by the rate, it is not in flight. */
    plan.in_flight = 1;
    assert_int_equal(take(limit, 1, &plan, 2, T, &left), LIMIT_ADMITTED);
    assert_int_equal(take(limit, 1, &plan, 1, T, &left), LIMIT_RATE);
    assert_int_equal(take(limit, 1, &plan, 1, T + S, &left), LIMIT_ADMITTED);
    table_free(limit, CELLS);
}

static void test_without_a_rate(void **state)
{
    (void)state;
    limit_t *limit = table_new(CELLS);
    limit_plan_t plan = {.burst = 1, .in_flight = 1};
    limit_state_t left;
    limit_fields_t fields;
    for (int i = 0; i < 1000; i++)
        assert_int_equal(take(limit, 1, &plan, 100, T, &left), LIMIT_ADMITTED);
    assert_true(left.remaining == UINT64_MAX);
    assert_false(limit_fields_write(&fields, STR("p"), &plan, &left));
    table_free(limit, CELLS);
}

static void test_clock_jumps(void **state)
{
    (void)state;
    limit_t *limit = table_new(CELLS);
    limit_plan_t plan = {.interval_ns = 100 * MS, .burst = 5};
    limit_state_t left;
    for (int i = 0; i < 5; i++)
        assert_int_equal(take(limit, 1, &plan, 1, T, &left), LIMIT_ADMITTED);
    /* Back: not shut for longer than the burst takes to refill. */
    uint64_t before = T - 500 * S;
    assert_int_equal(take(limit, 1, &plan, 1, before, &left), LIMIT_RATE);
    assert_int_equal(left.retry_ms, 100);
    assert_int_equal(take(limit, 1, &plan, 1, before + 99 * MS, &left), LIMIT_RATE);
    assert_int_equal(left.retry_ms, 1);
    for (int i = 0; i < 5; i++)
        assert_int_equal(take(limit, 1, &plan, 1, before + 600 * MS, &left), LIMIT_ADMITTED);
    assert_int_equal(take(limit, 1, &plan, 1, before + 600 * MS, &left), LIMIT_RATE);
    /* On: one burst, and no more. */
    for (int i = 0; i < 5; i++)
        assert_int_equal(take(limit, 1, &plan, 1, T + 500 * S, &left), LIMIT_ADMITTED);
    assert_int_equal(take(limit, 1, &plan, 1, T + 500 * S, &left), LIMIT_RATE);
    table_free(limit, CELLS);
}

static void test_another_plan(void **state)
{
    (void)state;
    limit_t *limit = table_new(CELLS);
    limit_plan_t slow = {.interval_ns = 3600 * S, .burst = 10}, fast = {.interval_ns = MS, .burst = 10};
    limit_state_t left;
    assert_int_equal(take(limit, 1, &slow, 10, T, &left), LIMIT_ADMITTED);
    assert_int_equal(take(limit, 1, &fast, 1, T, &left), LIMIT_RATE);
    assert_int_equal(left.retry_ms, 1);
    assert_int_equal(take(limit, 1, &fast, 1, T + MS, &left), LIMIT_ADMITTED);
    assert_int_equal(take(limit, 1, &fast, 1, T + MS, &left), LIMIT_RATE);
    /* Back: at most a burst at once. */
    unsigned passed = 0;
    while (take(limit, 1, &slow, 1, T + MS, &left) == LIMIT_ADMITTED)
        passed++;
    assert_int_equal(passed, 9);
    table_free(limit, CELLS);
}

/* Numbers at which products leave 64 bits: never more is admitted than was asked for, and nothing opens. */
static void test_extremes(void **state)
{
    (void)state;
    limit_t *limit = table_new(CELLS);
    limit_plan_t plans[] = {
        {.interval_ns = UINT64_MAX, .burst = UINT32_MAX},
        {.interval_ns = 86400 * S, .burst = 1000000},
        {.interval_ns = 1, .burst = UINT32_MAX},
    };
    limit_state_t left;
    assert_int_equal(take(limit, 1, &plans[0], 1, T, &left), LIMIT_ADMITTED);
    assert_int_equal(left.remaining, 0);
    assert_int_equal(take(limit, 1, &plans[0], 1, T + 86400 * S, &left), LIMIT_RATE);
    assert_int_equal(take(limit, 1, &plans[0], 2, T, &left), LIMIT_COST);
    assert_int_equal(take(limit, 1, &plans[0], UINT32_MAX, T, &left), LIMIT_COST);
    for (unsigned i = 0; i < 800; i++) /* two years and three months of days */
        assert_int_equal(take(limit, 2, &plans[1], 1, T, &left), LIMIT_ADMITTED);
    assert_in_range(left.remaining, 30, 40);
    assert_int_equal(take(limit, 2, &plans[1], 100, T, &left), LIMIT_RATE);
    assert_int_equal(take(limit, 2, &plans[1], 1000000, T, &left), LIMIT_COST);
    assert_in_range(left.remaining, 30, 40);
    assert_int_equal(take(limit, 3, &plans[2], UINT32_MAX, T, &left), LIMIT_ADMITTED);
    assert_int_equal(take(limit, 3, &plans[2], 1, T, &left), LIMIT_RATE);
    assert_int_equal(take(limit, 4, &plans[1], 1, 0, &left), LIMIT_ADMITTED);
    assert_int_equal(take(limit, 4, &plans[1], 1, UINT64_C(1) << 58, &left), LIMIT_ADMITTED);
    table_free(limit, CELLS);
}

/* What is refunded after the burst was whole would be given twice. */
static void test_refund(void **state)
{
    (void)state;
    limit_t *limit = table_new(CELLS);
    limit_plan_t plan = {.interval_ns = 100 * MS, .burst = 5};
    limit_id_t id = id_of(1);
    limit_ticket_t first, second;
    limit_state_t left;
    assert_int_equal(limit_take(limit, 0, &id, &plan, 3, T, &left, &first), LIMIT_ADMITTED);
    assert_int_equal(limit_take(limit, 0, &id, &plan, 2, T, &left, &second), LIMIT_ADMITTED);
    limit_refund(limit, 0, &first);
    limit_refund(limit, 0, &first); /* nothing is held any more */
    assert_int_equal(take(limit, 1, &plan, 4, T, &left), LIMIT_RATE);
    assert_int_equal(take(limit, 1, &plan, 3, T, &left), LIMIT_ADMITTED);
    assert_int_equal(take(limit, 1, &plan, 5, T + 500 * MS, &left), LIMIT_ADMITTED);
    limit_refund(limit, 0, &second);
    assert_int_equal(take(limit, 1, &plan, 1, T + 500 * MS, &left), LIMIT_RATE);
    table_free(limit, CELLS);
}

static void test_known_keys(void **state)
{
    (void)state;
    limit_t *limit = table_new(CELLS);
    limit_plan_t plan = {.interval_ns = 100 * MS, .burst = 5};
    limit_id_t id = id_of(9), other = id_of(10);
    assert_false(limit_has(limit, &id));
    limit_accept(limit, &id, &plan, T);
    limit_accept(limit, &id, &plan, T);
    assert_true(limit_has(limit, &id));
    assert_false(limit_has(limit, &other));
    limit_refuse(limit, &other, T, 5000);
    assert_true(limit_is_refused(limit, &other, T));
    assert_true(limit_is_refused(limit, &other, T + 5 * S - 1));
    assert_false(limit_is_refused(limit, &other, T + 5 * S));
    assert_false(limit_is_refused(limit, &other, T + 86400 * 30 * S));
    assert_false(limit_is_refused(limit, &id, T));
    table_free(limit, CELLS);
}

/* Eight cells: who is in debt or has something in flight keeps its cell, others share one bucket. */
static void test_crowd(void **state)
{
    (void)state;
    limit_t *limit = table_new(8);
    limit_plan_t plan = {.interval_ns = 1000 * MS, .burst = 3, .in_flight = 10};
    limit_state_t left;
    for (uint64_t n = 0; n < 8; n++)
        assert_int_equal(take(limit, n, &plan, 3, T, &left), LIMIT_ADMITTED);
    unsigned passed = 0;
    for (uint64_t n = 100; n < 100000; n++)
        passed += take(limit, n, &plan, 1, T, &left) == LIMIT_ADMITTED;
    assert_int_equal(passed, 3);
    for (uint64_t n = 0; n < 8; n++)
        assert_int_equal(take(limit, n, &plan, 1, T, &left), LIMIT_RATE);
    /* Three seconds later they are whole, and one that has something in flight keeps its cell all the same.
     */
    limit_id_t held = id_of(3);
    limit_ticket_t ticket;
    assert_int_equal(limit_take(limit, 0, &held, &plan, 0, T + 3 * S, &left, &ticket), LIMIT_ADMITTED);
    for (uint64_t n = 100; n < 200; n++)
        (void)take(limit, n, &plan, 3, T + 100 * S, &left);
    assert_true(limit_has(limit, &held));
    limit_release(limit, 0, &ticket);
    table_free(limit, 8);
}

static void test_fields(void **state)
{
    (void)state;
    limit_plan_t plan = {.interval_ns = 100 * MS, .burst = 25};
    limit_state_t left = {.remaining = 7, .reset_ms = 1001, .retry_ms = 1};
    limit_fields_t fields;
    assert_true(limit_fields_write(&fields, STR("free"), &plan, &left));
    assert_string_equal(fields.policy, "\"free\";q=25;w=3");
    assert_string_equal(fields.limit, "\"free\";r=7;t=2");
    assert_string_equal(fields.x_limit, "25");
    assert_string_equal(fields.x_remaining, "7");
    assert_string_equal(fields.x_reset, "2");
    assert_int_equal(limit_retry_after(&left), 1);
    left.retry_ms = 1001;
    assert_int_equal(limit_retry_after(&left), 2);
    left.retry_ms = 0;
    assert_int_equal(limit_retry_after(&left), 1);
    left.retry_ms = 2000;
    assert_int_equal(limit_retry_after(&left), 2);
    left.retry_ms = UINT64_MAX;
    assert_int_equal(limit_retry_after(&left), 366 * 86400);
    /* Numbers of structured fields have 15 digits; and a name as long as they may be. */
    plan = (limit_plan_t){.interval_ns = UINT64_MAX, .burst = UINT32_MAX};
    left = (limit_state_t){.remaining = UINT64_MAX, .reset_ms = UINT64_MAX};
    char name[64];
    memset(name, 'n', 63);
    assert_true(limit_fields_write(&fields, str_make(name, 63), &plan, &left));
    assert_string_equal(fields.policy + 65, ";q=4294967295;w=999999999999999");
    assert_string_equal(fields.limit + 65, ";r=4294967295;t=999999999999999");
}

/* ---- several processes, one clock that moves when all agree ---- */

#define PROCESSES 4

typedef struct meeting {
    pthread_barrier_t barrier;
    _Atomic uint64_t admitted;
} meeting_t;

typedef struct load {
    uint64_t interval_ns, step_ns;
    uint32_t burst, steps, tries; /* each process tries so often in a step */
} load_t;

static void run_load(limit_t *limit, meeting_t *meeting, const load_t *load, unsigned process)
{
    limit_plan_t plan = {.interval_ns = load->interval_ns, .burst = load->burst};
    limit_id_t id = id_of(5);
    for (uint32_t step = 0; step < load->steps; step++) {
        pthread_barrier_wait(&meeting->barrier);
        for (uint32_t i = 0; i < load->tries; i++) {
            limit_ticket_t ticket;
            limit_state_t left;
            if (limit_take(limit, process, &id, &plan, 1, T + step * load->step_ns, &left, &ticket) ==
                LIMIT_ADMITTED)
                atomic_fetch_add(&meeting->admitted, 1);
            limit_release(limit, process, &ticket);
        }
    }
}

/* At most burst + rate * W, and under overload at least 0.99 of rate * W. */
static void check_load(const load_t *load)
{
    limit_t *limit = table_new(CELLS);
    meeting_t *meeting =
        mmap(NULL, sizeof(*meeting), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_barrierattr_t shared;
    pid_t children[PROCESSES];
    assert_true(meeting != MAP_FAILED);
    pthread_barrierattr_init(&shared);
    pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    assert_int_equal(pthread_barrier_init(&meeting->barrier, &shared, PROCESSES), 0);
    for (unsigned i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            run_load(limit, meeting, load, i);
            _exit(0);
        }
    }
    for (unsigned i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    uint64_t window = (load->steps - 1) * load->step_ns, most = load->burst + window / load->interval_ns;
    assert_true(meeting->admitted <= most);
    assert_true((double)meeting->admitted >= 0.99 * (double)window / (double)load->interval_ns);
    munmap(meeting, sizeof(*meeting));
    table_free(limit, CELLS);
}

static void test_rates_over_processes(void **state)
{
    (void)state;
    check_load(&(load_t){60 * S, 15 * S, 1, 401, 2});     /* 1/min, for 100 minutes */
    check_load(&(load_t){S, 500 * MS, 3, 401, 2});        /* 1/s */
    check_load(&(load_t){10 * MS, 25 * MS, 20, 801, 12}); /* 100/s, for 20 s */
    check_load(&(load_t){100000, 1 * MS, 100, 2001, 30}); /* 10,000/s, for 2 s */
    check_load(&(load_t){1000, 100000, 1000, 501, 300});  /* 1,000,000/s */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst_then_rate), cmocka_unit_test(test_costs),
        cmocka_unit_test(test_in_flight),       cmocka_unit_test(test_without_a_rate),
        cmocka_unit_test(test_clock_jumps),     cmocka_unit_test(test_another_plan),
        cmocka_unit_test(test_extremes),        cmocka_unit_test(test_refund),
        cmocka_unit_test(test_known_keys),      cmocka_unit_test(test_crowd),
        cmocka_unit_test(test_fields),          cmocka_unit_test(test_rates_over_processes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
