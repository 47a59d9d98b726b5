/* The edge's own state over the admin API: boxes, status, metrics, health. */
#include <arpa/inet.h>
#include <assert.h>
#include <limits.h>
#include <unistd.h>

#include "address.h"
#include "admin_internal.h"
#include "clock.h"
#include "crash.h"
#include "heap.h"
#include "list.h"
#include "logger.h"
#include "message_ring.h"
#include "metrics.h"
#include "process.h"
#include "processes_json.h"
#include "readiness.h"
#include "status_reply.h"

/* ---- boxes ---- */

typedef struct boxes_job {
    admin_job_t base;
    size_t count;
    size_t capacity;
    store_box_t *found;
} boxes_job_t;

/* Reads one past the limit, so that the answer can tell that it is truncated. */
static bool add_box(const store_box_t *box, void *arg)
{
    boxes_job_t *boxes = arg;
    if (boxes->count == boxes->capacity) {
        boxes->capacity = boxes->capacity != 0 ? boxes->capacity * 2 : 16;
        boxes->found = realloc(boxes->found, boxes->capacity * sizeof *boxes->found);
        assert(boxes->found != NULL);
    }
    boxes->found[boxes->count++] = *box;
    return boxes->count <= ADMIN_BOXES_MAX;
}

static void boxes_run(store_job_t *job, store_t *store)
{
    boxes_job_t *boxes = CONTAINER_OF(boxes_job_t, base.job, job);
    admin_job_result(&boxes->base, store, store_each_box(store, add_box, boxes));
}

static const char *box_state_text(box_state_t state)
{
    switch (state) {
    case BOX_RUNNING:
        return "running";
    case BOX_PAUSED:
        return "paused";
    case BOX_GONE:
        return "gone";
    case BOX_UNKNOWN:
        break;
    }
    return "unknown";
}

static json_t *ports_json(const uint16_t *ports, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_integer(ports[i]));
    return list;
}

static json_t *box_json(const store_box_t *box)
{
    static const struct in6_addr nowhere;
    char address[INET6_ADDRSTRLEN];
    json_t *json =
        json_pack("{s:s,s:s,s:s,s:I}", "box", box->id, "state", box_state_text(box->state), "provider",
                  store_provider_name(box->provider), "generation", (json_int_t)box->generation);
    assert(json != NULL);
    if (memcmp(&box->address, &nowhere, sizeof(nowhere)) != 0)
        json_object_set_new(json, "address", json_string(address_text(&box->address, address).p));
    if (box->fixed_port != 0)
        json_object_set_new(json, "port", json_integer(box->fixed_port));
    if (box->keep_alive)
        json_object_set_new(json, "keep_alive", json_true());
    if (box->ephemeral)
        json_object_set_new(json, "ephemeral", json_true());
    if (box->expires_at != 0)
        json_object_set_new(json, "expires_at", json_integer((json_int_t)box->expires_at));
    if (box->start_ms != 0)
        json_object_set_new(json, "start_ms", json_integer(box->start_ms));
    if (box->idle_ms != 0)
        json_object_set_new(json, "idle_ms", json_integer(box->idle_ms));
    if (box->port_count != 0)
        json_object_set_new(json, "ports", ports_json(box->ports, box->port_count));
    if (box->listening_count != 0)
        json_object_set_new(json, "listening", ports_json(box->listening, box->listening_count));
    return json;
}

static void boxes_answer(exchange_t *ex, admin_job_t *job)
{
    const boxes_job_t *boxes = (const boxes_job_t *)job;
    if (job->result != STORE_OK && job->result != STORE_NOT_FOUND) {
        admin_store_error(ex, job->result, job->why);
        return;
    }
    json_t *list = json_array();
    for (size_t i = 0; i < boxes->count && i < ADMIN_BOXES_MAX; i++)
        json_array_append_new(list, box_json(&boxes->found[i]));
    json_t *body = json_pack("{s:o,s:b}", "boxes", list, "truncated", boxes->count > ADMIN_BOXES_MAX);
    assert(body != NULL);
    admin_reply(ex, 200, body);
}

static void boxes_fini(admin_job_t *job)
{
    free(((boxes_job_t *)job)->found);
}

/* ---- the number of boxes in each state ---- */

#define STATES (BOX_GONE + 1)

typedef struct states_job {
    admin_job_t base;
    json_int_t counts[STATES];
} states_job_t;

static bool count_box(const store_box_t *box, void *arg)
{
    states_job_t *states = arg;
    states->counts[box->state]++;
    return true;
}

static void states_run(store_job_t *job, store_t *store)
{
    states_job_t *states = CONTAINER_OF(states_job_t, base.job, job);
    admin_job_result(&states->base, store, store_each_box(store, count_box, states));
}

static void states_answer(exchange_t *ex, admin_job_t *job)
{
    const states_job_t *states = (const states_job_t *)job;
    if (job->result != STORE_OK && job->result != STORE_NOT_FOUND) {
        admin_store_error(ex, job->result, job->why);
        return;
    }
    json_t *counts = json_object();
    for (box_state_t state = BOX_RUNNING; state < STATES; state++)
        json_object_set_new(counts, box_state_text(state), json_integer(states->counts[state]));
    admin_reply(ex, 200, json_pack("{s:o}", "states", counts));
}

static void count_states(exchange_t *ex)
{
    states_job_t *states = calloc(1, sizeof *states);
    assert(states != NULL);
    states->base.job.run = states_run;
    states->base.answer = states_answer;
    admin_job_start(ex, &states->base);
}

/* ---- the list ---- */

static bool take_count(void *arg, str_t name, str_t value)
{
    *(bool *)arg = str_eq(name, STR("count")) && str_eq(value, STR("state"));
    return *(bool *)arg;
}

void admin_boxes_list(exchange_t *ex, str_t body, void *arg)
{
    (void)body;
    (void)arg;
    bool count = false;
    if (!admin_each_parameter(ex->request.target, take_count, &count)) {
        admin_error(ex, 400, "bad_query", NULL, "The query may only be count=state.");
        return;
    }
    if (count) {
        count_states(ex);
        return;
    }
    boxes_job_t *boxes = calloc(1, sizeof *boxes);
    assert(boxes != NULL);
    boxes->base.job.run = boxes_run;
    boxes->base.answer = boxes_answer;
    boxes->base.fini = boxes_fini;
    admin_job_start(ex, &boxes->base);
}

/* ---- status and metrics: both need the store's figures ---- */

typedef struct stats_job {
    admin_job_t base;
    store_stats_t stats;
    const store_health_t *health;
} stats_job_t;

static void stats_run(store_job_t *job, store_t *store)
{
    stats_job_t *stats = CONTAINER_OF(stats_job_t, base.job, job);
    bool whole = store_whole(store);
    if (whole && store_damaged(store) == 0 && store_health_bad_pages(stats->health) == 0) {
        admin_job_result(&stats->base, store, store_get_stats(store, &stats->stats));
        return;
    }
    stats->base.result = STORE_FAILED;
    snprintf(stats->base.why, sizeof(stats->base.why), "%s",
             whole ? "the store is damaged" : "a file of the store is cut short");
}

static void start_stats(exchange_t *ex, void (*answer)(exchange_t *, admin_job_t *))
{
    stats_job_t *stats = calloc(1, sizeof *stats);
    assert(stats != NULL);
    stats->health = shm_store_health(admin_of(ex)->shm);
    stats->base.job.run = stats_run;
    stats->base.answer = answer;
    admin_job_start(ex, &stats->base);
}

static json_t *failed_upgrade_json(const admin_t *admin)
{
    if (admin->failed_upgrade == 0)
        return json_null();
    json_t *reason = json_string(admin->failed_reason);
    json_t *json = json_pack("{s:I,s:o}", "number", (json_int_t)admin->failed_upgrade, "reason",
                             reason != NULL ? reason : json_string("?"));
    assert(json != NULL);
    return json;
}

static json_t *store_json(const admin_job_t *job)
{
    const store_stats_t *stats = &((const stats_job_t *)job)->stats;
    if (job->result != STORE_OK)
        return json_null();
    json_t *json = json_pack("{s:I,s:I,s:I,s:I}", "previews", (json_int_t)stats->previews, "boxes",
                             (json_int_t)stats->boxes, "used_bytes", (json_int_t)stats->durable_bytes,
                             "map_bytes", (json_int_t)stats->map_bytes);
    assert(json != NULL);
    return json;
}

/* A path as JSON; "?" if it is not UTF-8. */
static json_t *json_path(const char *path)
{
    json_t *json = json_string(path != NULL ? path : "");
    return json != NULL ? json : json_string("?");
}

/* `path` as an absolute path: the edge stays in the directory of its start. */
static json_t *json_absolute_path(const char *path)
{
    char cwd[PATH_MAX], whole[2 * PATH_MAX];
    if (path == NULL || path[0] == '/' || getcwd(cwd, sizeof(cwd)) == NULL)
        return json_path(path);
    while (path[0] == '.' && path[1] == '/')
        path += 2;
    snprintf(whole, sizeof(whole), "%s/%s", strcmp(cwd, "/") == 0 ? "" : cwd, path);
    return json_path(whole);
}

static void status_answer(exchange_t *ex, admin_job_t *job)
{
    const admin_t *admin = admin_of(ex);
    const conf_t *conf = ex->context->conf;
    uint64_t now_ms = clock_now_ms();
    json_t *body = json_pack(
        "{s:s,s:o,s:o,s:I,s:i,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "version", BOXEDGE_VERSION, "node",
        json_path(conf->node), "configuration", json_absolute_path(conf->source), "configuration_generation",
        (json_int_t)atomic_load_explicit(shm_conf_generation(admin->shm), memory_order_relaxed),
        "supervisor_pid", (int)getppid(), "controller", processes_controller_json(admin->shm, now_ms),
        "runner", processes_runner_json(admin->shm, conf, now_ms), "workers",
        processes_workers_json(admin->shm, conf->workers, now_ms), "upstreams", admin_upstreams_json(ex),
        "store", store_json(job), "generations", processes_generations_json(admin->shm, now_ms),
        "failed_upgrade", failed_upgrade_json(admin));
    assert(body != NULL);
    admin_reply(ex, 200, body);
}

void admin_status(exchange_t *ex, str_t body, void *arg)
{
    (void)body;
    (void)arg;
    start_stats(ex, status_answer);
}

void admin_add_figures(const local_server_t *server, metrics_admin_t *figures)
{
    const counters_t *counters = local_server_counters(server);
    figures->connections += local_server_clients(server);
    figures->given_up += counters->connections_given_up_total;
    figures->refused += counters->connections_refused_total + counters->shed_total;
}

/* As /readyz has it; NULL: the edge can serve. */
static const char *fault_of(const exchange_t *ex, const admin_job_t *job)
{
    const admin_t *admin = admin_of(ex);
    const conf_t *conf = ex->context->conf;
    const readiness_facts_t facts = {.leaving = admin->leaving,
                                     .store_unreadable = job->result != STORE_OK,
                                     .workers = conf->workers,
                                     .memory_bytes = conf->limits.memory_bytes,
                                     .now_ms = clock_now_ms()};
    return readiness_fault(admin->shm, &facts);
}

static void metrics_answer(exchange_t *ex, admin_job_t *job)
{
    const admin_t *admin = admin_of(ex);
    metrics_certificate_t certificates[PROCESS_LISTENERS_MAX];
    metrics_input_t input = {
        .shm = admin->shm,
        .conf = ex->context->conf,
        .workers = ex->context->conf->workers,
        .now_ms = clock_now_ms(),
        .heap_bytes = heap_allocated(),
        .messages_lost = logger_lost_lines(),
        .clock_jumps = admin->wall_clock != NULL ? admin->wall_clock->jumps : 0,
        .build_id = crash_build_id(),
        .listeners = admin_listeners_figures(admin),
        .names = admin->upstreams != NULL ? upstreams_names(admin->upstreams) : (resolver_figures_t){0},
        .traces = admin->traces != NULL ? trace_service_figures(admin->traces) : (trace_figures_t){0},
        .store = job->result == STORE_OK ? &((const stats_job_t *)job)->stats : NULL,
        .ready = fault_of(ex, job) == NULL,
        .certificates = certificates,
        .certificate_count = admin_listeners_certificates(admin, certificates, PROCESS_LISTENERS_MAX),
    };
    admin_add_figures(admin->server, &input.admin);
    size_t len;
    char *text = metrics_text(&input, &len);
    str_t copy = str_dup(&ex->arena, str_make(text, len));
    free(text);
    exchange_reply(ex, 200, STR("text/plain; version=0.0.4; charset=utf-8"), NULL, copy);
}

void admin_metrics(exchange_t *ex, str_t body, void *arg)
{
    (void)body;
    (void)arg;
    start_stats(ex, metrics_answer);
}

/* ---- the page ---- */

void admin_status_page(exchange_t *ex, str_t body, void *arg)
{
    (void)body;
    (void)arg;
    status_reply(ex);
}

/* ---- messages ---- */

void admin_messages(exchange_t *ex, str_t body, void *arg)
{
    (void)body;
    (void)arg;
    char *text = malloc(MESSAGE_RING_BYTES);
    assert(text != NULL);
    str_t messages = str_dup(&ex->arena, str_make(text, logger_recent(text)));
    free(text);
    exchange_reply(ex, 200, STR("text/plain; charset=utf-8"), NULL, messages);
}

/* ---- health ---- */

void admin_health(exchange_t *ex, str_t body, void *arg)
{
    (void)body;
    (void)arg;
    exchange_reply(ex, 200, STR("text/plain"), NULL, STR("ok\n"));
}

static void ready_answer(exchange_t *ex, admin_job_t *job)
{
    const char *fault = fault_of(ex, job);
    if (fault != NULL)
        exchange_reply(ex, 503, STR("text/plain"), NULL, str_format(&ex->arena, "%s\n", fault));
    else
        exchange_reply(ex, 200, STR("text/plain"), NULL, STR("ready\n"));
}

void admin_ready(exchange_t *ex, str_t body, void *arg)
{
    (void)body;
    (void)arg;
    start_stats(ex, ready_answer);
}
