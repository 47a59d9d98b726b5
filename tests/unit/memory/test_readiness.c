/* The judgement of /readyz, by the state of the workers and of the store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "readiness.h"

#define MEMORY 1000u

static shm_t *shm;
static unsigned numbers[2];

static int setup(void **state)
{
    static const uint8_t seed[16];
    (void)state;
    shm = shm_new(seed);
    assert_non_null(shm);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(shm_worker_take(shm, i, &numbers[i]));
        atomic_store(&shm_worker(shm, numbers[i])->state, SHM_READY);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    shm_free(&shm);
    return 0;
}

static void assert_fault(const char *wanted)
{
    const readiness_facts_t facts = {.workers = 2, .memory_bytes = MEMORY};
    const char *fault = readiness_fault(shm, &facts);
    if (wanted == NULL)
        assert_null(fault);
    else
        assert_string_equal(fault, wanted);
}

static void set_state(unsigned i, shm_state_t worker_state)
{
    atomic_store(&shm_worker(shm, numbers[i])->state, worker_state);
}

static void set_held(unsigned i, uint64_t bytes)
{
    counter_set(&shm_counters(shm, numbers[i])->buffered_bytes, bytes);
}

static void test_one_worker_suffices(void **state)
{
    (void)state;
    assert_fault(NULL);
    set_state(0, SHM_DRAINING);
    assert_fault(NULL);
    set_state(1, SHM_STARTING);
    assert_fault("no worker serves");
    shm_worker_retire(shm, numbers[0]); /* an old one that carries tunnels */
    set_state(0, SHM_READY);
    assert_fault("no worker serves");
}

/* From the bound on, budget_rule refuses everything. */
static void test_memory_and_room(void **state)
{
    (void)state;
    set_held(0, MEMORY + MEMORY / 2);
    set_held(1, MEMORY + MEMORY / 2 - 1);
    assert_fault(NULL);
    atomic_store(&shm_worker(shm, numbers[1])->full, 1);
    assert_fault("no worker has room for a connection");
    set_held(1, MEMORY + MEMORY / 2);
    assert_fault("all workers are out of memory");
    set_held(0, 0);
    assert_fault(NULL);
}

/* A stopped worker, or one in an endless loop, is still SHM_READY. */
static void test_silence(void **state)
{
    (void)state;
    readiness_facts_t facts = {.workers = 2, .memory_bytes = MEMORY, .now_ms = 100000 + READINESS_SILENT_MS};
    atomic_store(&shm_worker(shm, numbers[0])->heartbeat_ms, 100000);
    atomic_store(&shm_worker(shm, numbers[1])->heartbeat_ms, 1);
    assert_null(readiness_fault(shm, &facts));
    facts.now_ms++;
    assert_string_equal(readiness_fault(shm, &facts), "no worker serves");
    facts.now_ms = 0;
    assert_null(readiness_fault(shm, &facts));
}

static void test_facts_of_the_process_and_damage(void **state)
{
    (void)state;
    const readiness_facts_t leaves = {.workers = 2, .memory_bytes = MEMORY, .leaving = true};
    const readiness_facts_t blind = {.workers = 2, .memory_bytes = MEMORY, .store_unreadable = true};
    assert_string_equal(readiness_fault(shm, &leaves), "draining");
    assert_string_equal(readiness_fault(shm, &blind), "the store cannot be read");
    assert_true(store_health_report_pages(shm_store_health(shm), 1));
    assert_fault("the store is damaged");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_worker_suffices, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_and_room, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_facts_of_the_process_and_damage, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
