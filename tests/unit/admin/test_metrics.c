/* The metrics: every counter once, summed over workers, in the text format. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

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
                             .admin = {3, 5, 7},
                             .listeners = {4, 6, 8}};
    size_t len;
    char *text = metrics_text(&input, &len);
    assert_non_null(text);
    assert_int_equal(strlen(text), len);
    assert_int_equal(text[len - 1], '\n');
    return text;
}

/* Readers leave slots alone that never had a worker. */
static void take_slots(shm_t *shm, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        unsigned number;
        assert_true(shm_worker_take(shm, i, &number) && number == i);
    }
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
    static const struct in6_addr address;
    assert_true(shm_client_add(shm, SHM_WORKERS_MAX - 1, &address, 0)); /* somebody had the last slot */
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
    assert_int_equal(lines(text, "boxedge_worker_heartbeat_age_seconds{worker=\"0\"} 0.000000"), 1);
    assert_int_equal(lines(text, "boxedge_worker_heartbeat_age_seconds{worker=\"1\"} 0.100000"), 1);
    assert_int_equal(lines(text, "boxedge_worker_restarts_total{worker=\"1\"} 3"), 1);
    assert_int_equal(lines(text, "boxedge_controller_heap_allocated_bytes 77"), 1);
    assert_int_equal(lines(text, "boxedge_messages_lost_total 9"), 1);
    assert_int_equal(lines(text, "boxedge_admin_connections_open{server=\"admin\"} 3"), 1);
    assert_int_equal(lines(text, "boxedge_admin_connections_given_up_total{server=\"admin\"} 5"), 1);
    assert_int_equal(lines(text, "boxedge_admin_refused_total{server=\"metrics\"} 8"), 1);
    free(text);
    shm_free(&shm);
}

static void waits_for_boxes(void **state)
{
    (void)state;
    shm_t *shm = new_shm();
    char *text = text_of(shm, 2, NULL);
    assert_int_equal(lines(text, "boxedge_wake_coalescing_ratio 0.000"), 1); /* and no division by zero */
    assert_int_equal(lines(text, "boxedge_wake_wait_seconds_count{protocol=\"h1\"} 0"), 1);
    free(text);
    take_slots(shm, 2);
    static const uint32_t waits[] = {0, 10, 11, 30000, 30001, UINT32_MAX};
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++)
        histogram_add(&shm_counters(shm, (unsigned)i % 2)->measures.wake[MEASURE_H1],
                      (uint64_t)waits[i] * 1000);
    atomic_store(&shm_counters(shm, 0)->wake_waits_total, 70);
    atomic_store(&shm_counters(shm, 1)->wake_waits_total, 5);
    atomic_store(&shm_wakes(shm)->resumes, 2);
    atomic_store(&shm_wakes(shm)->failures, 1);
    atomic_store(&shm_wakes(shm)->boxes, 4);
    text = text_of(shm, 2, NULL);
    assert_int_equal(lines(text, "# TYPE boxedge_wake_wait_seconds histogram"), 1);
    assert_int_equal(lines(text, "boxedge_wake_wait_seconds_bucket{protocol=\"h1\",le=\"0.01\"} 2"), 1);
    assert_int_equal(lines(text, "boxedge_wake_wait_seconds_bucket{protocol=\"h1\",le=\"0.025\"} 3"), 1);
    assert_int_equal(lines(text, "boxedge_wake_wait_seconds_bucket{protocol=\"h1\",le=\"10\"} 3"), 1);
    assert_int_equal(lines(text, "boxedge_wake_wait_seconds_bucket{protocol=\"h1\",le=\"30\"} 4"), 1);
    assert_int_equal(lines(text, "boxedge_wake_wait_seconds_bucket{protocol=\"h1\",le=\"+Inf\"} 6"), 1);
    assert_int_equal(lines(text, "boxedge_wake_wait_seconds_count{protocol=\"h1\"} 6"), 1);
    assert_int_equal(lines(text, "boxedge_wake_wait_seconds_sum{protocol=\"h1\"} 4295027.317000"), 1);
    assert_int_equal(lines(text, "boxedge_wake_coalescing_ratio 37.500"), 1);
    assert_int_equal(lines(text, "boxedge_wake_resumes_total 2"), 1);
    assert_int_equal(lines(text, "boxedge_wake_failures_total 1"), 1);
    assert_int_equal(lines(text, "boxedge_wake_boxes 4"), 1);
    free(text);
    shm_free(&shm);
}

/* Kind, protocol and status of a request; the bounds that Prometheus adds up. */
static void requests(void **state)
{
    (void)state;
    shm_t *shm = new_shm();
    take_slots(shm, 2);
    for (unsigned i = 0; i < 2; i++) {
        measures_t *measures = &shm_counters(shm, i)->measures;
        histogram_add(&measures->duration[MEASURE_PREVIEW][MEASURE_H2], 1000 + i);
        counter_add(&measures->statuses[MEASURE_API][MEASURE_H1][measure_status(418)], 2);
        counter_add(&measures->statuses[MEASURE_NONE][MEASURE_H2][measure_status(0)], 1);
        counter_add(&measures->codes[error_code_find("overloaded")], 3);
        counter_add(&measures->access[MEASURE_ACCESS_wrong], 4);
        counter_add(&measures->lockouts, 1);
    }
    char *text = text_of(shm, 2, NULL);
    assert_int_equal(lines(text, "boxedge_requests_total{kind=\"api\",protocol=\"h1\",code=\"418\"} 4"), 1);
    assert_int_equal(lines(text, "boxedge_requests_total{kind=\"none\",protocol=\"h2\",code=\"none\"} 2"), 1);
    assert_null(strstr(text, "code=\"200\""));
#define H "boxedge_request_duration_seconds_"
#define L "{kind=\"preview\",protocol=\"h2\""
    assert_int_equal(lines(text, H "bucket" L ",le=\"0.0005\"} 0"), 1);
    assert_int_equal(lines(text, H "bucket" L ",le=\"0.001\"} 1"), 1);
    assert_int_equal(lines(text, H "bucket" L ",le=\"0.0025\"} 2"), 1);
    assert_int_equal(lines(text, H "bucket" L ",le=\"300\"} 2"), 1);
    assert_int_equal(lines(text, H "bucket" L ",le=\"+Inf\"} 2"), 1);
    assert_int_equal(lines(text, H "sum" L "} 0.002001"), 1);
    assert_int_equal(lines(text, H "count" L "} 2"), 1);
    assert_null(strstr(text, "kind=\"redirect\"")); /* until it occurs */
    assert_int_equal(lines(text, "boxedge_errors_total{code=\"overloaded\"} 6"), 1);
    assert_int_equal(lines(text, "boxedge_errors_total{code=\"other\"} 0"), 1);
    assert_null(strstr(text, "code=\"wake_events\"")); /* no error */
    assert_int_equal(lines(text, "boxedge_access_refusals_total{reason=\"wrong\"} 8"), 1);
    assert_int_equal(lines(text, "boxedge_access_lockouts_total 2"), 1);
    free(text);
    shm_free(&shm);
}

/* By the name, in any order of the configuration; a name may need an escape. */
static void listeners_and_plans(void **state)
{
    (void)state;
    shm_t *shm = new_shm();
    take_slots(shm, 2);
    conf_listener_t named[2] = {{.text = "[::]:443", .id = 7},
                                {.text = "127.0.0.1:1", .id = 5, .kind = CONF_LISTENER_METRICS}};
    conf_plan_t plans[2] = {{.name = "a\"\\\n", .id = 9}, {.name = "b", .id = 8}};
    conf_t conf = {.listeners = named, .listener_count = 2, .plans = plans, .plan_count = 2};
    const uint64_t listeners[2][2] = {{7, 6}, {6, 7}}, ids[2][2] = {{9, 8}, {8, 9}};
    for (unsigned i = 0; i < 2; i++) {
        measures_t *measures = &shm_counters(shm, i)->measures;
        measure_assign(measures->listeners, MEASURE_LISTENERS, listeners[i], 2);
        measure_assign(measures->plans, MEASURE_PLANS, ids[i], 2);
        counter_add(&measures->listeners[i].counts[MEASURE_LISTENER_CONNECTIONS], 5);
        counter_add(&measures->plans[i].counts[MEASURE_PLAN_REFUSED], 2);
    }
    metrics_input_t input = {.shm = shm, .conf = &conf, .workers = 1};
    size_t len;
    char *text = metrics_text(&input, &len);
    assert_int_equal(lines(text, "boxedge_listener_connections_total{listener=\"[::]:443\",kind=\"tls\"} 10"),
                     1);
    assert_null(strstr(text, "127.0.0.1"));
    assert_int_equal(lines(text, "boxedge_plan_refusals_total{plan=\"a\\\"\\\\\\n\"} 4"), 1);
    assert_int_equal(lines(text, "boxedge_plan_refusals_total{plan=\"b\"} 0"), 1);
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
                           .blocks = 7,
                           .blocks_known = true,
                           .volatile_failed = 6,
                           .volatile_trouble = true};
    text = text_of(shm, 1, &stats);
    assert_int_equal(lines(text, "boxedge_store_up 1"), 1);
    assert_int_equal(lines(text, "boxedge_store_previews 12"), 1);
    assert_int_equal(lines(text, "boxedge_blocks 7"), 1);
    assert_int_equal(lines(text, "boxedge_store_used_bytes{store=\"volatile\"} 8192"), 1);
    assert_int_equal(lines(text, "boxedge_store_failed_changes_total{store=\"volatile\"} 6"), 1);
    assert_int_equal(lines(text, "boxedge_store_writable{store=\"durable\"} 1"), 1);
    assert_int_equal(lines(text, "boxedge_store_writable{store=\"volatile\"} 0"), 1);
    assert_int_equal(lines(text, "boxedge_store_map_bytes 17179869184"), 1);
    free(text);
    stats.blocks_known = false; /* their part of the store is damaged: no number is better than a wrong one */
    text = text_of(shm, 1, &stats);
    assert_null(strstr(text, "boxedge_blocks 7"));
    free(text);
    shm_free(&shm);
}

/* Whether the edge serves, what is left of those before it, and the certificates of its own listeners. */
static void the_edge_itself(void **state)
{
    (void)state;
    shm_t *shm = new_shm();
    const metrics_certificate_t certificates[] = {{"127.0.0.1:9464", 1800000000}};
    metrics_input_t input = {.shm = shm, .ready = true, .certificates = certificates, .certificate_count = 1};
    size_t len;
    core_edge_t *own = shm_own_edge(shm);
    atomic_store(&own->pid, getpid());
    atomic_store(&own->since_s, 1);
    char *text = metrics_text(&input, &len);
    assert_int_equal(lines(text, "boxedge_ready 1"), 1);
    assert_int_equal(lines(text, "boxedge_old_generations 0"), 1);
    assert_int_equal(lines(text, "boxedge_listener_certificate_expiry_timestamp_seconds"
                                 "{listener=\"127.0.0.1:9464\"} 1800000000"),
                     1);
    free(text);
    input.ready = false;
    atomic_store(&own->open_until_ms, 1); /* as another edge sees it from then on */
    text = metrics_text(&input, &len);
    assert_int_equal(lines(text, "boxedge_ready 0"), 1);
    assert_int_equal(lines(text, "boxedge_old_generations 1"), 1);
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
#define A "{upstream=\"api\",server=\"a.test:80\",slot=\"0\"} "
#define B "{upstream=\"api\",server=\"b.test:81\",slot=\"1\"} "
    assert_null(strstr(text, "forged")); /* no server of the configuration */
    assert_null(strstr(text, "192.0.2.1"));
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

/* docs/metrics.md has the table as the program prints it, between two markers. */
static void reference_is_current(void **state)
{
    (void)state;
    char *table = NULL, *page = calloc(1, 1u << 20);
    size_t len;
    FILE *out = open_memstream(&table, &len), *file = fopen(SOURCE_DIR "/docs/metrics.md", "r");
    assert_true(metrics_print_reference(out));
    fclose(out);
    assert_non_null(file);
    assert_in_range(fread(page, 1, (1u << 20) - 1, file), 1, (1u << 20) - 2);
    fclose(file);
    if (strstr(page, table) == NULL)
        fail_msg("docs/metrics.md is stale: put `boxedge metrics reference` between its markers");
    free(table);
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(servers_of_upstreams),
        cmocka_unit_test(counters_are_summed),
        cmocka_unit_test(waits_for_boxes),
        cmocka_unit_test(requests),
        cmocka_unit_test(listeners_and_plans),
        cmocka_unit_test(reference_is_current),
        cmocka_unit_test(every_counter_is_there_once),
        cmocka_unit_test(the_store),
        cmocka_unit_test(the_edge_itself),
        cmocka_unit_test(workers_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
