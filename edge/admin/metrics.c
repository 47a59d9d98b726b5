#include "metrics.h"

#include <assert.h>
#include <nghttp2/nghttp2.h>
#include <stdio.h>

#define PREFIX "boxedge_"

static void head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP " PREFIX "%s %s\n# TYPE " PREFIX "%s %s\n", name, help, name, type);
}

static void single(FILE *out, const char *name, const char *type, const char *help, uint64_t value)
{
    head(out, name, type, help);
    fprintf(out, PREFIX "%s %llu\n", name, (unsigned long long)value);
}

static uint64_t load(const _Atomic uint64_t *cell)
{
    return atomic_load_explicit(cell, memory_order_relaxed);
}

/* Every counter, as the sum over all workers' slots. */
static void sums(FILE *out, const metrics_input_t *input)
{
#define X(name, type, help)                                                                                  \
    uint64_t name = 0;                                                                                       \
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)                                                           \
        name += load(&shm_counters(input->shm, i)->name);                                                    \
    single(out, #name, type, help, name);
    COUNTERS(X)
#undef X
}

/* Of the worker with that number. */
typedef uint64_t (*worker_value_t)(const metrics_input_t *input, unsigned number);

static uint64_t worker_up(const metrics_input_t *input, unsigned number)
{
    uint32_t state = atomic_load_explicit(&shm_worker(input->shm, number)->state, memory_order_relaxed);
    return state == SHM_READY;
}

static uint64_t worker_restarts(const metrics_input_t *input, unsigned number)
{
    return load(&shm_worker(input->shm, number)->restarts);
}

static uint64_t worker_heartbeat_age(const metrics_input_t *input, unsigned number)
{
    uint64_t beat = load(&shm_worker(input->shm, number)->heartbeat_ms);
    return beat != 0 && input->now_ms > beat ? input->now_ms - beat : 0;
}

static uint64_t worker_connections(const metrics_input_t *input, unsigned number)
{
    return load(&shm_counters(input->shm, number)->connections_open);
}

static uint64_t worker_exchanges(const metrics_input_t *input, unsigned number)
{
    return load(&shm_counters(input->shm, number)->exchanges_total);
}

static uint64_t worker_full(const metrics_input_t *input, unsigned index)
{
    return atomic_load_explicit(&shm_worker(input->shm, index)->full, memory_order_relaxed) != 0;
}

/* One figure of each configured worker. */
static void each_worker(FILE *out, const metrics_input_t *input, const char *name, const char *type,
                        const char *help, worker_value_t value)
{
    head(out, name, type, help);
    for (unsigned i = 0; i < input->workers && i < SHM_WORKERS_MAX; i++) {
        unsigned number = shm_worker_find(input->shm, i);
        fprintf(out, PREFIX "%s{worker=\"%u\"} %llu\n", name, i,
                (unsigned long long)(number < SHM_WORKERS_MAX ? value(input, number) : 0));
    }
}

static void workers(FILE *out, const metrics_input_t *input)
{
    each_worker(out, input, "worker_up", "gauge", "1 while the worker serves", worker_up);
    each_worker(out, input, "worker_restarts_total", "counter", "Restarts of the worker", worker_restarts);
    each_worker(out, input, "worker_heartbeat_age_milliseconds", "gauge",
                "Time since the last sign of life of the worker", worker_heartbeat_age);
    each_worker(out, input, "worker_connections_open", "gauge", "Client connections of the worker",
                worker_connections);
    each_worker(out, input, "worker_exchanges_total", "counter", "Exchanges ended by the worker",
                worker_exchanges);
    each_worker(out, input, "worker_full", "gauge", "1 while new connections of the worker wait for room",
                worker_full);
}

static void store(FILE *out, const store_stats_t *stats)
{
    single(out, "store_up", "gauge", "1 while the store can be read", stats != NULL);
    if (stats == NULL)
        return;
    single(out, "store_previews", "gauge", "Previews recorded", stats->previews);
    single(out, "store_boxes", "gauge", "Boxes recorded", stats->boxes);
    head(out, "store_used_bytes", "gauge", "Bytes of the store's map in use");
    fprintf(out, PREFIX "store_used_bytes{store=\"durable\"} %llu\n",
            (unsigned long long)stats->durable_bytes);
    fprintf(out, PREFIX "store_used_bytes{store=\"volatile\"} %llu\n",
            (unsigned long long)stats->volatile_bytes);
    head(out, "store_failed_changes_total", "counter",
         "Changes of the store that its disk or a full map refused, since the controller started");
    fprintf(out, PREFIX "store_failed_changes_total{store=\"durable\"} %llu\n",
            (unsigned long long)stats->durable_failed);
    fprintf(out, PREFIX "store_failed_changes_total{store=\"volatile\"} %llu\n",
            (unsigned long long)stats->volatile_failed);
    head(out, "store_writable", "gauge", "0 if the last change of the store was refused so");
    fprintf(out, PREFIX "store_writable{store=\"durable\"} %d\n", !stats->durable_trouble);
    fprintf(out, PREFIX "store_writable{store=\"volatile\"} %d\n", !stats->volatile_trouble);
    single(out, "store_map_bytes", "gauge", "Maximum size of each store in bytes", stats->map_bytes);
    single(out, "store_readers", "gauge", "Reader slots in use", stats->readers);
}

static void names(FILE *out, const resolver_figures_t *figures)
{
    single(out, "resolver_names", "gauge", "Names of servers that the edge resolves", figures->names);
    single(out, "resolver_names_failing", "gauge", "Those whose last lookup failed", figures->failing);
    single(out, "resolver_failures_total", "counter", "Failed lookups", figures->failures);
    head(out, "resolver_oldest_answer_seconds", "gauge",
         "Age of the oldest addresses in use of a name whose lookups fail");
    fprintf(out, PREFIX "resolver_oldest_answer_seconds %llu.%03llu\n",
            (unsigned long long)(figures->oldest_ms / 1000), (unsigned long long)(figures->oldest_ms % 1000));
}

/* Waiting times of requests for their boxes, over all workers. */
static void wake_histogram(FILE *out, shm_t *shm)
{
    uint64_t count = 0, sum_ms = 0;
    head(out, "wake_wait_seconds", "histogram", "Wait of the requests that reached their box after a wake");
    for (unsigned bucket = 0; bucket < COUNTERS_WAKE_BUCKETS; bucket++) {
        for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
            count += load(&shm_counters(shm, i)->wake_waits[bucket]);
        if (bucket < COUNTERS_WAKE_BUCKETS - 1)
            fprintf(out, PREFIX "wake_wait_seconds_bucket{le=\"%g\"} %llu\n",
                    counters_wake_bounds_ms[bucket] / 1000.0, (unsigned long long)count);
    }
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        sum_ms += load(&shm_counters(shm, i)->wake_waits_ms);
    fprintf(out, PREFIX "wake_wait_seconds_bucket{le=\"+Inf\"} %llu\n", (unsigned long long)count);
    fprintf(out, PREFIX "wake_wait_seconds_sum %llu.%03llu\n", (unsigned long long)(sum_ms / 1000),
            (unsigned long long)(sum_ms % 1000));
    fprintf(out, PREFIX "wake_wait_seconds_count %llu\n", (unsigned long long)count);
}

static void waking(FILE *out, shm_t *shm)
{
    const shm_wakes_t *wakes = shm_wakes(shm);
    uint64_t waits = 0, resumes = load(&wakes->resumes);
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        waits += load(&shm_counters(shm, i)->wake_waits_total);
    single(out, "wake_boxes", "gauge", "Boxes that requests wait for, or with a recent failed wake",
           load(&wakes->boxes));
    single(out, "wake_resumes_total", "counter", "Resume requests to providers", resumes);
    single(out, "wake_failures_total", "counter", "Resumes that failed and ports that never listened",
           load(&wakes->failures));
    head(out, "wake_coalescing_ratio", "gauge", "Requests that waited, per resume request");
    fprintf(out, PREFIX "wake_coalescing_ratio %.3f\n", resumes != 0 ? (double)waits / (double)resumes : 0);
    wake_histogram(out, shm);
}

/* RFC 9113 section 7. */
static void http2_errors(FILE *out, shm_t *shm)
{
    head(out, "http2_connection_errors_total", "counter",
         "HTTP/2 client connections that the edge ended, by GOAWAY code");
    for (uint32_t code = 1; code < COUNTERS_HTTP2_CODES; code++) {
        uint64_t sum = 0;
        for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
            sum += load(&shm_counters(shm, i)->http2_errors[code]);
        fprintf(out, PREFIX "http2_connection_errors_total{code=\"%s\"} %llu\n", nghttp2_http2_strerror(code),
                (unsigned long long)sum);
    }
}

char *metrics_text(const metrics_input_t *input, size_t *len)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, len);
    assert(out != NULL);
    head(out, "build_info", "gauge", "Version of the running edge");
    fprintf(out, PREFIX "build_info{version=\"%s\"} 1\n", BOXEDGE_VERSION);
    single(out, "conf_generation", "gauge", "Configurations put in force, including the first",
           load(shm_conf_generation(input->shm)));
    single(out, "store_epoch", "counter", "Changes written to the store", load(shm_epoch(input->shm)));
    single(out, "controller_restarts_total", "counter", "Restarts of the controller",
           load(&shm_controller(input->shm)->restarts));
    single(out, "runner_restarts_total", "counter", "Restarts of the runner, which runs process boxes",
           load(&shm_runner(input->shm)->restarts));
    single(out, "controller_heap_allocated_bytes", "gauge", "Heap bytes in use in the controller",
           input->heap_bytes);
    single(out, "messages_lost_total", "counter", "Messages of the edge's own log that could not be written",
           input->messages_lost);
    single(out, "wall_clock_jumps_total", "counter", "Jumps of the wall clock by 10 s or more",
           input->clock_jumps);
    single(out, "admin_connections_open", "gauge", "Connections of the admin socket open now",
           input->admin.connections);
    single(out, "admin_connections_given_up_total", "counter",
           "Idle connections of the admin socket closed to make room for others", input->admin.given_up);
    single(out, "admin_refused_total", "counter",
           "Requests and connections of the admin socket refused because all places had a request",
           input->admin.refused);
    names(out, &input->names);
    waking(out, input->shm);
    single(out, "store_damaged", "gauge", "1 once damaged pages of the store are known",
           store_health_bad_pages(shm_store_health(input->shm)) != 0);
    store(out, input->store);
    workers(out, input);
    if (input->conf != NULL && input->conf->upstream_count > 0)
        metrics_upstreams(out, input->conf, shm_balance(input->shm), input->now_ms);
    http2_errors(out, input->shm);
    sums(out, input);
    fclose(out);
    return text;
}

const char *metrics_state_text(uint32_t state)
{
    switch ((shm_state_t)state) {
    case SHM_ABSENT:
        return "absent";
    case SHM_STARTING:
        return "starting";
    case SHM_READY:
        return "ready";
    case SHM_DRAINING:
        return "draining";
    }
    return "unknown";
}
