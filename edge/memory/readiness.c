#include "readiness.h"

/* From half as much again a worker refuses all requests (budget_rule). */
static bool is_out_of_memory(shm_t *shm, unsigned number, uint64_t memory_bytes)
{
    uint64_t held = atomic_load_explicit(&shm_counters(shm, number)->buffered_bytes, memory_order_relaxed);
    return held >= memory_bytes + memory_bytes / 2;
}

static bool is_alive(const shm_child_t *worker, uint64_t now_ms)
{
    uint64_t beat_ms = atomic_load_explicit(&worker->heartbeat_ms, memory_order_relaxed);
    return atomic_load_explicit(&worker->state, memory_order_relaxed) == SHM_READY &&
           (now_ms == 0 || now_ms <= beat_ms + READINESS_SILENT_MS);
}

static const char *fault_of_workers(shm_t *shm, const readiness_facts_t *facts)
{
    unsigned ready = 0, full = 0, out = 0;
    for (unsigned i = 0; i < facts->workers && i < SHM_WORKERS_MAX; i++) {
        unsigned number = shm_worker_find(shm, i);
        if (number == SHM_WORKERS_MAX || !is_alive(shm_worker(shm, number), facts->now_ms))
            continue;
        ready++;
        if (is_out_of_memory(shm, number, facts->memory_bytes))
            out++;
        else if (atomic_load_explicit(&shm_worker(shm, number)->full, memory_order_relaxed) != 0)
            full++;
    }
    if (ready == 0)
        return "no worker serves";
    if (out == ready)
        return "all workers are out of memory";
    return out + full == ready ? "no worker has room for a connection" : NULL;
}

const char *readiness_fault(shm_t *shm, const readiness_facts_t *facts)
{
    if (facts->leaving)
        return "draining";
    if (store_health_bad_pages(shm_store_health(shm)) != 0)
        return "the store is damaged";
    if (facts->store_unreadable)
        return "the store cannot be read";
    return fault_of_workers(shm, facts);
}
