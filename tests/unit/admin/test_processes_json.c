/* The processes as JSON, also after a compromised worker has written into rows that it does not own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "metrics.h"
#include "processes_json.h"
#include "shm_internal.h"

static shm_t *new_shm(void)
{
    static const uint8_t seed[16];
    shm_t *shm = shm_new(seed);
    unsigned number;
    assert_non_null(shm);
    assert_true(shm_worker_take(shm, 0, &number) && shm_worker_take(shm, 1, &number));
    return shm;
}

static void the_edge_that_serves(void **state)
{
    (void)state;
    shm_t *shm = new_shm();
    atomic_store(&shm_own_edge(shm)->since_s, 1700000000);
    atomic_store(&shm_own_edge(shm)->version[0], 0x302e31); /* "1.0" */
    atomic_store(&shm_worker(shm, 1)->state, SHM_READY);
    atomic_store(&shm_worker(shm, 1)->pid, 7);
    atomic_store(&shm_counters(shm, 1)->tunnels_open, 3);
    json_t *generations = processes_generations_json(shm, 1000),
           *workers = processes_workers_json(shm, 3, 1000);
    const json_t *edge = json_array_get(generations, 0);
    assert_int_equal(json_array_size(generations), 1);
    assert_string_equal(json_string_value(json_object_get(edge, "version")), "1.0");
    assert_int_equal(json_integer_value(json_object_get(edge, "tunnels_open")), 3);
    assert_int_equal(json_integer_value(json_object_get(edge, "workers")), 1);
    assert_true(json_is_true(json_object_get(edge, "serves")));
    assert_int_equal(json_array_size(workers), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(workers, 1), "state")), "ready");
    json_decref(generations);
    json_decref(workers);
    shm_free(&shm);
}

static void forged_cells_end_nothing(void **state)
{
    (void)state;
    static const uint64_t values[] = {0, 1, 255, 256, 257, INT32_MAX, UINT32_MAX, INT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        shm_t *shm = new_shm();
        uint64_t *words = (uint64_t *)(void *)shm->core;
        for (size_t w = 0; w < sizeof(core_t) / 8; w++)
            words[w] = values[i];
        words = (uint64_t *)(void *)shm->segment;
        for (size_t w = 0; w < offsetof(segment_t, workers) / 8; w++)
            words[w] = values[i];
        for (unsigned k = 0; k < 2; k++) {
            words = (uint64_t *)(void *)&shm->segment->workers[k];
            for (size_t w = 0; w < offsetof(worker_slot_t, clients) / 8; w++)
                words[w] = values[i];
        }
        conf_t conf = {.process_count = 1};
        metrics_input_t input = {.shm = shm, .workers = 2, .now_ms = 1000};
        size_t len;
        json_t *all[] = {processes_controller_json(shm, 1000), processes_workers_json(shm, 300, 1000),
                         processes_runner_json(shm, &conf, 1000), processes_generations_json(shm, 1000)};
        for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++) {
            assert_non_null(all[k]);
            json_decref(all[k]);
        }
        free(metrics_text(&input, &len));
        shm_free(&shm);
    }
    /* The version of a live edge is not text. */
    shm_t *shm = new_shm();
    atomic_store(&shm_own_edge(shm)->since_s, 1);
    for (size_t i = 0; i < sizeof(shm_own_edge(shm)->version) / 8; i++)
        atomic_store(&shm_own_edge(shm)->version[i], UINT64_MAX);
    json_t *generations = processes_generations_json(shm, 1000);
    assert_int_equal(json_array_size(generations), 1);
    assert_string_equal(json_string_value(json_object_get(json_array_get(generations, 0), "version")), "?");
    json_decref(generations);
    shm_free(&shm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_edge_that_serves),
        cmocka_unit_test(forged_cells_end_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
