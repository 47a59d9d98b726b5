#include "metrics.h"

#include <assert.h>

#include "metrics_internal.h"

#define COUNTER METRICS_COUNTER
#define GAUGE   METRICS_GAUGE

static void store(metrics_writer_t *w, const store_stats_t *stats)
{
    static const store_stats_t nothing;
    metrics_single(w, "store_up", GAUGE, "1 while the store can be read", stats != NULL);
    if (stats == NULL && !w->reference)
        return;
    stats = stats != NULL ? stats : &nothing;
    metrics_single(w, "store_previews", GAUGE, "Previews recorded", stats->previews);
    metrics_single(w, "store_boxes", GAUGE, "Boxes recorded", stats->boxes);
    const struct {
        const char *name;
        metrics_type_t type;
        const char *help;
        uint64_t durable, fleeting;
    } pairs[] = {
        {"store_used_bytes", GAUGE, "Bytes of the store's map in use", stats->durable_bytes,
         stats->volatile_bytes},
        {"store_failed_changes_total", COUNTER,
         "Changes of the store that its disk or a full map refused, since the controller started",
         stats->durable_failed, stats->volatile_failed},
        {"store_writable", GAUGE, "0 if the last change of the store was refused so", !stats->durable_trouble,
         !stats->volatile_trouble},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        metrics_family(w, pairs[i].name, pairs[i].type, METRICS_LABELS("store"), pairs[i].help);
        metrics_sample(w, METRICS_LABELS("durable"), pairs[i].durable);
        metrics_sample(w, METRICS_LABELS("volatile"), pairs[i].fleeting);
    }
    metrics_single(w, "store_map_bytes", GAUGE, "Maximum size of each store in bytes", stats->map_bytes);
    metrics_single(w, "store_readers", GAUGE, "Reader slots in use", stats->readers);
    metrics_family(w, "blocks", GAUGE, NULL, "Blocks of boxes, previews and networks in force");
    if (stats->blocks_known)
        metrics_sample(w, NULL, stats->blocks);
}

static void names(metrics_writer_t *w, const resolver_figures_t *figures)
{
    metrics_single(w, "resolver_names", GAUGE, "Names of servers that the edge resolves", figures->names);
    metrics_single(w, "resolver_names_failing", GAUGE, "Those whose last lookup failed", figures->failing);
    metrics_single(w, "resolver_failures_total", COUNTER, "Failed lookups", figures->failures);
    metrics_family(w, "resolver_oldest_answer_seconds", GAUGE, NULL,
                   "Age of the oldest addresses in use of a name whose lookups fail");
    metrics_sample_us(w, NULL, figures->oldest_ms * 1000);
}

static void traces(metrics_writer_t *w, const trace_figures_t *figures)
{
    const struct {
        const char *reason;
        uint64_t count;
    } dropped[] = {{"limit", figures->over},
                   {"worker", figures->lost},
                   {"queue", figures->crowded},
                   {"receiver", figures->failed}};
    metrics_single(w, "traces_sent_total", COUNTER,
                   "Traces that the receiver took, since the controller started", figures->sent);
    metrics_family(
        w, "traces_dropped_total", COUNTER, METRICS_LABELS("reason"),
        "Traces lost since then: above tracing.per_second, between worker and controller, by a full "
        "queue, by a failed call of the receiver");
    for (size_t i = 0; i < sizeof(dropped) / sizeof(dropped[0]); i++)
        metrics_sample(w, METRICS_LABELS(dropped[i].reason), dropped[i].count);
    metrics_single(w, "trace_spans_rejected_total", COUNTER,
                   "Spans that the receiver rejected in calls that it took", figures->rejected);
}

static void waking(metrics_writer_t *w, shm_t *shm)
{
    const shm_wakes_t *wakes = shm_wakes(shm);
    uint64_t waits = 0, resumes = metrics_load(&wakes->resumes);
    for (unsigned i = 0; i < shm_workers_used(shm); i++)
        waits += metrics_load(&shm_counters(shm, i)->wake_waits_total);
    metrics_single(w, "wake_boxes", GAUGE, "Boxes that requests wait for, or with a recent failed wake",
                   metrics_load(&wakes->boxes));
    metrics_single(w, "wake_resumes_total", COUNTER, "Resume requests to providers", resumes);
    metrics_single(w, "wake_failures_total", COUNTER, "Resumes that failed and ports that never listened",
                   metrics_load(&wakes->failures));
    metrics_family(w, "wake_coalescing_ratio", GAUGE, NULL, "Requests that waited, per resume request");
    metrics_sample_real(w, NULL, resumes != 0 ? (double)waits / (double)resumes : 0);
}

/* Idle connections and refused requests of the servers inside the controller. */
static void local_servers(metrics_writer_t *w, const metrics_input_t *input)
{
    static const char *const servers[] = {"admin", "metrics"};
    const metrics_admin_t *figures[] = {&input->admin, &input->listeners};
    metrics_family(w, "admin_connections_open", GAUGE, METRICS_LABELS("server"),
                   "Connections open now: of the admin socket, of listeners of kind metrics");
    for (size_t i = 0; i < 2; i++)
        metrics_sample(w, METRICS_LABELS(servers[i]), figures[i]->connections);
    metrics_family(w, "admin_connections_given_up_total", COUNTER, METRICS_LABELS("server"),
                   "Idle connections of these closed to make room for others");
    for (size_t i = 0; i < 2; i++)
        metrics_sample(w, METRICS_LABELS(servers[i]), figures[i]->given_up);
    metrics_family(w, "admin_refused_total", COUNTER, METRICS_LABELS("server"),
                   "Requests and connections of these refused because all places had a request");
    for (size_t i = 0; i < 2; i++)
        metrics_sample(w, METRICS_LABELS(servers[i]), figures[i]->refused);
}

static void edge(metrics_writer_t *w, const metrics_input_t *input)
{
    metrics_family(w, "build_info", GAUGE, METRICS_LABELS("version", "build"),
                   "1; version and build id of the running edge");
    metrics_sample(w, METRICS_LABELS(BOXEDGE_VERSION, input->build_id != NULL ? input->build_id : ""), 1);
    metrics_single(w, "ready", GAUGE, "1 while the edge can serve, as /readyz says", input->ready);
    metrics_single(w, "conf_generation", GAUGE, "Configurations put in force, including the first",
                   metrics_load(shm_conf_generation(input->shm)));
    metrics_single(w, "store_changes_total", COUNTER, "Changes written to the store",
                   metrics_load(shm_epoch(input->shm)));
    metrics_single(w, "controller_restarts_total", COUNTER, "Restarts of the controller",
                   metrics_load(&shm_controller(input->shm)->restarts));
    metrics_single(w, "runner_restarts_total", COUNTER, "Restarts of the runner, which runs process boxes",
                   metrics_load(&shm_runner(input->shm)->restarts));
    metrics_single(w, "controller_heap_allocated_bytes", GAUGE, "Heap bytes in use in the controller",
                   input->heap_bytes);
    metrics_single(w, "messages_lost_total", COUNTER,
                   "Messages of the edge's own log that could not be written", input->messages_lost);
    metrics_single(w, "wall_clock_jumps_total", COUNTER, "Jumps of the wall clock by 10 s or more",
                   input->clock_jumps);
    local_servers(w, input);
    names(w, &input->names);
    traces(w, &input->traces);
    waking(w, input->shm);
    metrics_single(w, "store_damaged", GAUGE, "1 once damaged pages of the store are known",
                   store_health_bad_pages(shm_store_health(input->shm)) != 0);
    store(w, input->store);
}

static void write_all(metrics_writer_t *w, const metrics_input_t *input)
{
    edge(w, input);
    metrics_requests(w, input);
    metrics_workers(w, input);
    metrics_processes(w, input);
    if (w->reference || (input->conf != NULL && input->conf->upstream_count > 0))
        metrics_upstreams(w, input);
}

char *metrics_text(const metrics_input_t *input, size_t *len)
{
    char *text = NULL;
    metrics_writer_t w = {.out = open_memstream(&text, len)};
    assert(w.out != NULL);
    write_all(&w, input);
    fclose(w.out);
    return text;
}

bool metrics_print_reference(FILE *out)
{
    static const uint8_t seed[16];
    metrics_writer_t w = {.out = out, .reference = true};
    metrics_input_t input = {.shm = shm_new(seed)};
    if (input.shm == NULL)
        return false;
    fputs("| name | type | labels | meaning |\n|---|---|---|---|\n", out);
    write_all(&w, &input);
    shm_free(&input.shm);
    return true;
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
