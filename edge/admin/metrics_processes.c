/* The processes of this edge, its certificates, its last reload and the queues of its listeners. */
#include "metrics_internal.h"
#include "processes_json.h"

/* ---- processes ---- */

typedef uint64_t (*fact_t)(const shm_process_t *process);

static uint64_t started(const shm_process_t *process)
{
    return metrics_load(&process->started_s);
}

static uint64_t cpu(const shm_process_t *process)
{
    return metrics_load(&process->cpu_us);
}

static uint64_t resident(const shm_process_t *process)
{
    return metrics_load(&process->resident_bytes);
}

static uint64_t fds(const shm_process_t *process)
{
    return metrics_load(&process->fds);
}

static uint64_t fds_max(const shm_process_t *process)
{
    return metrics_load(&process->fds_max);
}

static const struct {
    const char *name;
    metrics_type_t type;
    fact_t fact;
    const char *help;
} facts[] = {
    {"process_start_time_seconds", METRICS_GAUGE, started, "Unix time of the start of the process"},
    {"process_cpu_seconds_total", METRICS_COUNTER, cpu, "CPU time that the process has used"},
    {"process_resident_memory_bytes", METRICS_GAUGE, resident, "Resident memory of the process"},
    {"process_open_fds", METRICS_GAUGE, fds, "Open descriptors of the process"},
    {"process_max_fds", METRICS_GAUGE, fds_max, "Maximum descriptors of the process"},
};

/* A fact that the process could not find out is left out. */
static void write_fact(metrics_writer_t *w, size_t fact, const char *name, const shm_process_t *process)
{
    uint64_t value = facts[fact].fact(process);
    if (started(process) == 0 || value == 0)
        return;
    if (facts[fact].fact == cpu)
        metrics_sample_us(w, METRICS_LABELS(name), value);
    else
        metrics_sample(w, METRICS_LABELS(name), value);
}

static void processes(metrics_writer_t *w, const metrics_input_t *input)
{
    const shm_facts_t *own = shm_facts(input->shm);
    for (size_t f = 0; f < sizeof(facts) / sizeof(facts[0]); f++) {
        metrics_family(w, facts[f].name, facts[f].type, METRICS_LABELS("process"), facts[f].help);
        write_fact(w, f, "supervisor", &own->supervisor);
        write_fact(w, f, "logger", &own->logger);
        write_fact(w, f, "controller", &shm_controller(input->shm)->process);
        write_fact(w, f, "runner", &shm_runner(input->shm)->process);
        for (unsigned i = 0; i < input->workers && i < SHM_WORKERS_MAX; i++) {
            char name[24];
            unsigned number = shm_worker_find(input->shm, i);
            (void)snprintf(name, sizeof(name), "worker-%u", i);
            if (number < SHM_WORKERS_MAX)
                write_fact(w, f, name, &shm_worker(input->shm, number)->process);
        }
    }
}

/* Those of before an upgrade, which live on for their requests and WebSockets. */
static void old_generations(metrics_writer_t *w, const shm_t *shm)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < SHM_EDGES_MAX; i++)
        count += processes_generation_lives(shm_edge(shm, i)) &&
                 metrics_load(&shm_edge(shm, i)->open_until_ms) != 0;
    metrics_single(w, "old_generations", METRICS_GAUGE,
                   "Programs of before an upgrade that live on for their requests and WebSockets", count);
}

/* ---- configuration ---- */

static void reload(metrics_writer_t *w, shm_t *shm)
{
    const shm_facts_t *own = shm_facts(shm);
    metrics_single(w, "conf_last_reload_successful", METRICS_GAUGE,
                   "1 if the last load of the configuration or of changed certificates took effect",
                   metrics_load(&own->load_failed) == 0);
    metrics_single(w, "conf_last_reload_timestamp_seconds", METRICS_GAUGE,
                   "Unix time of the last load, with or without success", metrics_load(&own->load_s));
    metrics_single(w, "conf_last_reload_success_timestamp_seconds", METRICS_GAUGE,
                   "Unix time of the last load that took effect", metrics_load(&own->loaded_s));
}

static void certificates(metrics_writer_t *w, shm_t *shm)
{
    metrics_family(w, "certificate_expiry_timestamp_seconds", METRICS_GAUGE,
                   METRICS_LABELS("certificate", "name"),
                   "Unix time at which the certificate expires; by its position in `certificates`, with its "
                   "first name");
    uint64_t count = metrics_load(shm_certificate_count(shm));
    for (unsigned i = 0; i < count && i < SHM_CERTIFICATES_MAX; i++) {
        const shm_certificate_t *certificate = shm_certificate(shm, i);
        uint64_t words[SHM_NAME_WORDS + 1] = {0};
        char position[12];
        for (size_t word = 0; word < SHM_NAME_WORDS; word++)
            words[word] = metrics_load(&certificate->name[word]);
        (void)snprintf(position, sizeof(position), "%u", i);
        metrics_sample(w, METRICS_LABELS(position, (const char *)words),
                       metrics_load(&certificate->expires_s));
    }
}

static void listener_certificates(metrics_writer_t *w, const metrics_input_t *input)
{
    metrics_family(w, "listener_certificate_expiry_timestamp_seconds", METRICS_GAUGE,
                   METRICS_LABELS("listener"),
                   "Unix time at which the own certificate of a listener of kind metrics expires");
    for (size_t i = 0; i < input->certificate_count; i++)
        metrics_sample(w, METRICS_LABELS(input->certificates[i].listener), input->certificates[i].expires_s);
}

/* ---- queues ---- */

static void queue(metrics_writer_t *w, const metrics_input_t *input, const char *name, bool limit,
                  const char *help)
{
    size_t count = input->conf != NULL ? input->conf->listener_count : 0;
    metrics_family(w, name, METRICS_GAUGE, METRICS_LABELS("listener"), help);
    for (size_t i = 0; i < count; i++)
        for (unsigned cell = 0; cell < SHM_QUEUES_MAX; cell++) {
            const shm_queue_t *at = shm_queue(input->shm, cell);
            if (metrics_load(&at->id) == input->conf->listeners[i].id)
                metrics_sample(w, METRICS_LABELS(input->conf->listeners[i].text),
                               metrics_load(limit ? &at->limit : &at->length));
        }
}

void metrics_processes(metrics_writer_t *w, const metrics_input_t *input)
{
    processes(w, input);
    old_generations(w, input->shm);
    reload(w, input->shm);
    certificates(w, input->shm);
    listener_certificates(w, input);
    queue(w, input, "listener_queue_connections", false,
          "Connections that wait to be accepted in the longest queue of the listener");
    queue(w, input, "listener_queue_limit_connections", true, "Maximum length of such a queue");
}
