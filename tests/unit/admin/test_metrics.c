/* The metrics: every counter once, summed over workers, in the text format. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "metrics.h"

static shm_t *new_shm(void)
{
    static const uint8_t seed[16];
    shm_t *shm = shm_new(seed);
    assert_non_null(shm);
    return shm;
}

static char *text_of(shm_t *shm, unsigned workers, const store_stats_t *stats)
{
    metrics_input_t input = {.shm = shm,
                             .workers = workers,
                             .now_ms = 5000,
                             .heap_bytes = 77,
                             .messages_lost = 9,
                             .store = stats,
                             .admin = {3, 5, 7}};
    size_t len;
    char *text = metrics_text(&input, &len);
    assert_non_null(text);
    assert_int_equal(strlen(text), len);
    assert_int_equal(text[len - 1], '\n');
    return text;
}

/* How often `line` stands in `text` as a whole line. */
static unsigned lines(const char *text, const char *line)
{
    unsigned found = 0;
    size_t n = strlen(line);
    for (const char *at = text; (at = strstr(at, line)) != NULL; at += n)
        found += (at == text || at[-1] == '\n') && at[n] == '\n';
    return found;
}

static void counters_are_summed(void **state)
{
    (void)state;
    shm_t *shm = new_shm();
    unsigned number;
    assert_true(shm_worker_take(shm, 0, &number) && number == 0);
    assert_true(shm_worker_take(shm, 1, &number) && number == 1);
    atomic_store(&shm_counters(shm, 0)->exchanges_total, 40);
    atomic_store(&shm_counters(shm, 1)->exchanges_total, 2);
    /* A worker that a reload took away still counts, so that sums never go back. */
    atomic_store(&shm_counters(shm, SHM_WORKERS_MAX - 1)->exchanges_total, 100);
    atomic_store(&shm_worker(shm, 1)->state, SHM_READY);
    atomic_store(&shm_worker(shm, 1)->heartbeat_ms, 4900);
    atomic_store(&shm_worker(shm, 1)->restarts, 3);
    char *text = text_of(shm, 2, NULL);
    assert_int_equal(lines(text, "boxedge_exchanges_total 142"), 1);
    assert_int_equal(lines(text, "boxedge_worker_exchanges_total{worker=\"0\"} 40"), 1);
    assert_int_equal(lines(text, "boxedge_worker_exchanges_total{worker=\"1\"} 2"), 1);
    assert_null(strstr(text, "worker=\"2\""));
    assert_int_equal(lines(text, "boxedge_worker_up{worker=\"0\"} 0"), 1);
    assert_int_equal(lines(text, "boxedge_worker_up{worker=\"1\"} 1"), 1);
    assert_int_equal(lines(text, "boxedge_worker_heartbeat_age_milliseconds{worker=\"0\"} 0"), 1);
    assert_int_equal(lines(text, "boxedge_worker_heartbeat_age_milliseconds{worker=\"1\"} 100"), 1);
    assert_int_equal(lines(text, "boxedge_worker_restarts_total{worker=\"1\"} 3"), 1);
    assert_int_equal(lines(text, "boxedge_controller_heap_allocated_bytes 77"), 1);
    assert_int_equal(lines(text, "boxedge_messages_lost_total 9"), 1);
    assert_int_equal(lines(text, "boxedge_admin_connections_open 3"), 1);
    assert_int_equal(lines(text, "boxedge_admin_connections_given_up_total 5"), 1);
    assert_int_equal(lines(text, "boxedge_admin_refused_total 7"), 1);
    free(text);
    shm_free(&shm);
}

static void waits_for_boxes(void **state)
{
    (void)state;
    shm_t *shm = new_shm();
    char *text = text_of(shm, 2, NULL);
    assert_int_equal(lines(text, "boxedge_wake_coalescing_ratio 0.000"), 1); /* and no division by zero */
    assert_int_equal(lines(text, "boxedge_wake_wait_seconds_count 0"), 1);
    free(text);
    static const uint32_t waits[] = {0, 10, 11, 30000, 30001, UINT32_MAX};
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
        counter_wake_waited(shm_counters(shm, (unsigned)i % 2), waits[i]);
    atomic_store(&shm_counters(shm, 0)->wake_waits_total, 70);
    atomic_store(&shm_counters(shm, 1)->wake_waits_total, 5);
    atomic_store(&shm_wakes(shm)->resumes, 2);
    atomic_store(&shm_wakes(shm)->failures, 1);
    atomic_store(&shm_wakes(shm)->boxes, 4);
    text = text_of(shm, 2, NULL);
    assert_int_equal(lines(text, "# TYPE boxedge_wake_wait_seconds histogram"), 1);
    assert_int_equal(lines(text, "boxedge_wake_wait_seconds_bucket{le=\"0.01\"} 2"), 1);
    assert_int_equal(lines(text, "boxedge_wake_wait_seconds_bucket{le=\"0.025\"} 3"), 1);
    assert_int_equal(lines(text, "boxedge_wake_wait_seconds_bucket{le=\"10\"} 3"), 1);
    assert_int_equal(lines(text, "boxedge_wake_wait_seconds_bucket{le=\"30\"} 4"), 1);
    assert_int_equal(lines(text, "boxedge_wake_wait_seconds_bucket{le=\"+Inf\"} 6"), 1);
    assert_int_equal(lines(text, "boxedge_wake_wait_seconds_count 6"), 1);
    assert_int_equal(lines(text, "boxedge_wake_wait_seconds_sum 4295027.317"), 1);
    assert_int_equal(lines(text, "boxedge_wake_coalescing_ratio 37.500"), 1);
    assert_int_equal(lines(text, "boxedge_wake_resumes_total 2"), 1);
    assert_int_equal(lines(text, "boxedge_wake_failures_total 1"), 1);
    assert_int_equal(lines(text, "boxedge_wake_boxes 4"), 1);
    free(text);
    shm_free(&shm);
}

static void every_counter_is_there_once(void **state)
{
    (void)state;
    shm_t *shm = new_shm();
    char *text = text_of(shm, 1, NULL);
#define X(name, type, help)                                                                                  \
    assert_int_equal(lines(text, "# TYPE boxedge_" #name " " type), 1);                                      \
    assert_int_equal(lines(text, "# HELP boxedge_" #name " " help), 1);                                      \
    assert_int_equal(lines(text, "boxedge_" #name " 0"), 1);
    COUNTERS(X)
#undef X
    free(text);
    shm_free(&shm);
}

static void the_store(void **state)
{
    (void)state;
    shm_t *shm = new_shm();
    char *text = text_of(shm, 1, NULL);
    assert_int_equal(lines(text, "boxedge_store_up 0"), 1);
    assert_null(strstr(text, "boxedge_store_previews"));
    free(text);
    store_stats_t stats = {.previews = 12,
                           .boxes = 3,
                           .durable_bytes = 4096,
                           .volatile_bytes = 8192,
                           .map_bytes = 1ull << 34,
                           .readers = 5,
                           .volatile_failed = 6,
                           .volatile_trouble = true};
    text = text_of(shm, 1, &stats);
    assert_int_equal(lines(text, "boxedge_store_up 1"), 1);
    assert_int_equal(lines(text, "boxedge_store_previews 12"), 1);
    assert_int_equal(lines(text, "boxedge_store_used_bytes{store=\"volatile\"} 8192"), 1);
    assert_int_equal(lines(text, "boxedge_store_failed_changes_total{store=\"volatile\"} 6"), 1);
    assert_int_equal(lines(text, "boxedge_store_writable{store=\"durable\"} 1"), 1);
    assert_int_equal(lines(text, "boxedge_store_writable{store=\"volatile\"} 0"), 1);
    assert_int_equal(lines(text, "boxedge_store_map_bytes 17179869184"), 1);
    free(text);
    shm_free(&shm);
}

/* More workers than slots are not looked for. */
static void workers_are_bounded(void **state)
{
    (void)state;
    shm_t *shm = new_shm();
    char *text = text_of(shm, 100000, NULL);
    char last[64], beyond[64];
    snprintf(last, sizeof last, "boxedge_worker_up{worker=\"%d\"} 0", SHM_WORKERS_MAX - 1);
    snprintf(beyond, sizeof beyond, "worker_up{worker=\"%d\"}", SHM_WORKERS_MAX);
    assert_int_equal(lines(text, last), 1);
    assert_null(strstr(text, beyond));
    free(text);
    shm_free(&shm);
}

static void servers_of_upstreams(void **state)
{
    (void)state;
    shm_t *shm = new_shm();
    conf_server_t named[2] = {{.text = "a.test:80"}, {.text = "b.test:81"}};
    conf_upstream_t upstreams[2] = {{.name = "api", .servers = named, .server_count = 2}, {.name = "idle"}};
    conf_t conf = {.upstreams = upstreams, .upstream_count = 2};
    balance_server_t servers[3] = {{.name = "a.test:80", .port = 80, .weight = 1},
                                   {.name = "b.test:81", .index = 1, .port = 81, .weight = 1},
                                   {.name = "c\"} 1\nforged", .index = 1, .port = 82, .weight = 1}};
    servers[0].address = (struct in6_addr){.s6_addr = {[10] = 0xff, 0xff, 192, 0, 2, 1}};
    servers[1].address = (struct in6_addr){.s6_addr = {0x20, 0x01, 0x0d, 0xb8, [15] = 7}};
    balance_set(shm_balance(shm), 0, 0, servers, 3, 1000);
    balance_drain(shm_balance(shm), 0, STR("b.test:81"), true, 1000);
    balance_waiters_add(shm_balance(shm), 0, 1, 3);
    metrics_input_t input = {.shm = shm, .conf = &conf, .workers = 1, .now_ms = 5000};
    size_t len;
    char *text = metrics_text(&input, &len);
#define A "{upstream=\"api\",server=\"a.test:80\",address=\"192.0.2.1:80\"} "
#define B "{upstream=\"api\",server=\"b.test:81\",address=\"[2001:db8::7]:81\"} "
    assert_null(strstr(text, "forged")); /* no server of the configuration */
    assert_int_equal(lines(text, "boxedge_upstream_server_up" A "1"), 1);
    assert_int_equal(lines(text, "boxedge_upstream_server_drained" A "0"), 1);
    assert_int_equal(lines(text, "boxedge_upstream_server_drained" B "1"), 1);
    assert_int_equal(lines(text, "boxedge_upstream_server_requests_total" B "0"), 1);
    assert_int_equal(lines(text, "# TYPE boxedge_upstream_server_ejections_total counter"), 1);
    assert_int_equal(lines(text, "boxedge_upstream_waiting{upstream=\"api\"} 0"), 1);
    assert_int_equal(lines(text, "boxedge_upstream_waiting{upstream=\"idle\"} 3"), 1);
#undef A
#undef B
    free(text);
    shm_free(&shm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(servers_of_upstreams),
        cmocka_unit_test(counters_are_summed),
        cmocka_unit_test(waits_for_boxes),
        cmocka_unit_test(every_counter_is_there_once),
        cmocka_unit_test(the_store),
        cmocka_unit_test(workers_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
