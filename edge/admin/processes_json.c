#include "processes_json.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>

#include "metrics.h"

static json_t *child_json(const shm_child_t *child, uint64_t now_ms)
{
    uint64_t started = atomic_load_explicit(&child->started_ms, memory_order_relaxed);
    uint64_t beat = atomic_load_explicit(&child->heartbeat_ms, memory_order_relaxed);
    uint32_t state = atomic_load_explicit(&child->state, memory_order_relaxed);
    json_t *json =
        json_pack("{s:i,s:s,s:I,s:I,s:I}", "pid", atomic_load_explicit(&child->pid, memory_order_relaxed),
                  "state", metrics_state_text(state), "uptime_s",
                  (json_int_t)(started != 0 && now_ms > started ? (now_ms - started) / 1000 : 0), "restarts",
                  (json_int_t)atomic_load_explicit(&child->restarts, memory_order_relaxed),
                  "heartbeat_age_ms", (json_int_t)(beat != 0 && now_ms > beat ? now_ms - beat : 0));
    assert(json != NULL);
    return json;
}

json_t *processes_controller_json(shm_t *shm, uint64_t now_ms)
{
    return child_json(shm_controller(shm), now_ms);
}

static json_t *worker_json(shm_t *shm, unsigned index, unsigned number, uint64_t now_ms)
{
    counters_t *counters = shm_counters(shm, number);
    const shm_child_t *child = shm_worker(shm, number);
    json_t *json = child_json(child, now_ms);
    bool filtered = atomic_load_explicit(&child->restricted, memory_order_relaxed);
    json_object_set_new(json, "worker", json_integer((json_int_t)index));
    json_object_set_new(json, "system_calls_filtered", json_boolean(filtered));
#define FIGURE(name)                                                                                         \
    json_object_set_new(                                                                                     \
        json, #name, json_integer((json_int_t)atomic_load_explicit(&counters->name, memory_order_relaxed)))
    FIGURE(connections_open);
    FIGURE(exchanges_open);
    FIGURE(exchanges_total);
    FIGURE(tunnels_open);
#undef FIGURE
    return json;
}

json_t *processes_workers_json(shm_t *shm, unsigned workers, uint64_t now_ms)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < workers && i < SHM_WORKERS_MAX; i++) {
        unsigned number = shm_worker_find(shm, i);
        if (number < SHM_WORKERS_MAX)
            json_array_append_new(list, worker_json(shm, i, number, now_ms));
    }
    return list;
}

json_t *processes_runner_json(shm_t *shm, const conf_t *conf, uint64_t now_ms)
{
    if (conf->process_count == 0)
        return json_null();
    json_t *json = child_json(shm_runner(shm), now_ms);
    json_object_set_new(json, "boxes", json_integer((json_int_t)conf->process_count));
    return json;
}

static json_t *generation_json(shm_t *shm, const core_edge_t *edge, uint64_t now_ms)
{
    uint64_t words[sizeof(edge->version) / 8 + 1] = {0};
    uint32_t number = atomic_load(&edge->number);
    uint64_t until = atomic_load(&edge->open_until_ms), exchanges = 0, tunnels = 0, workers = 0;
    for (size_t i = 0; i < sizeof(edge->version) / 8; i++)
        words[i] = atomic_load(&edge->version[i]);
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++) {
        shm_seen_t seen = shm_worker_seen(shm, i);
        if (shm_worker_edge(shm, i) != number || seen.pid == 0)
            continue;
        workers++;
        exchanges += seen.exchanges_open;
        tunnels += seen.tunnels_open;
    }
    json_t *version = json_string((const char *)words); /* NULL: not UTF-8 */
    json_t *json = json_pack(
        "{s:I,s:i,s:o,s:I,s:I,s:I,s:I,s:b}", "generation", (json_int_t)number, "pid",
        (int)atomic_load(&edge->pid), "version", version != NULL ? version : json_string("?"), "since",
        (json_int_t)atomic_load(&edge->since_s), "workers", (json_int_t)workers, "exchanges_open",
        (json_int_t)exchanges, "tunnels_open", (json_int_t)tunnels, "serves", until == 0);
    assert(json != NULL);
    if (until != 0)
        json_object_set_new(json, "tunnels_left_s",
                            json_integer((json_int_t)(until > now_ms ? (until - now_ms) / 1000 : 0)));
    return json;
}

bool processes_generation_lives(const core_edge_t *edge)
{
    int32_t pid = atomic_load(&edge->pid);
    bool lives = pid != 0 && (kill(pid, 0) == 0 || errno != ESRCH);
    return lives && atomic_load(&edge->since_s) != 0;
}

json_t *processes_generations_json(shm_t *shm, uint64_t now_ms)
{
    json_t *list = json_array();
    for (unsigned i = 0; i < SHM_EDGES_MAX; i++)
        if (processes_generation_lives(shm_edge(shm, i)))
            json_array_append_new(list, generation_json(shm, shm_edge(shm, i), now_ms));
    return list;
}
