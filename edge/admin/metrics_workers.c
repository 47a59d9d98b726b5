/* The counters of workers: sums over all of them, and some figures of each. */
#include <nghttp2/nghttp2.h>

#include "metrics_internal.h"

/* Every counter, as the sum over all workers' slots. */
static void sums(metrics_writer_t *w, const metrics_input_t *input)
{
#define X(name, type, help)                                                                                  \
    uint64_t name = 0;                                                                                       \
    for (unsigned i = 0; i < shm_workers_used(input->shm); i++)                                              \
        name += metrics_load(&shm_counters(input->shm, i)->name);                                            \
    metrics_single(w, #name, type[0] == 'c' ? METRICS_COUNTER : METRICS_GAUGE, help, name);
    COUNTERS(X)
#undef X
}

/* Of the worker with that number. */
typedef uint64_t (*worker_value_t)(const metrics_input_t *input, unsigned number);

static uint64_t up(const metrics_input_t *input, unsigned number)
{
    uint32_t state = atomic_load_explicit(&shm_worker(input->shm, number)->state, memory_order_relaxed);
    return state == SHM_READY;
}

static uint64_t restarts(const metrics_input_t *input, unsigned number)
{
    return metrics_load(&shm_worker(input->shm, number)->restarts);
}

static uint64_t connections(const metrics_input_t *input, unsigned number)
{
    return metrics_load(&shm_counters(input->shm, number)->connections_open);
}

static uint64_t exchanges(const metrics_input_t *input, unsigned number)
{
    return metrics_load(&shm_counters(input->shm, number)->exchanges_total);
}

static uint64_t full(const metrics_input_t *input, unsigned number)
{
    return atomic_load_explicit(&shm_worker(input->shm, number)->full, memory_order_relaxed) != 0;
}

/* In microseconds. */
static uint64_t heartbeat_age(const metrics_input_t *input, unsigned number)
{
    uint64_t beat = metrics_load(&shm_worker(input->shm, number)->heartbeat_ms);
    return beat != 0 && input->now_ms > beat ? (input->now_ms - beat) * 1000 : 0;
}

static const struct {
    const char *name;
    metrics_type_t type;
    bool seconds;
    worker_value_t value;
    const char *help;
} figures[] = {
    {"worker_up", METRICS_GAUGE, false, up, "1 while the worker serves"},
    {"worker_restarts_total", METRICS_COUNTER, false, restarts, "Restarts of the worker"},
    {"worker_heartbeat_age_seconds", METRICS_GAUGE, true, heartbeat_age,
     "Time since the last sign of life of the worker"},
    {"worker_connections_open", METRICS_GAUGE, false, connections, "Client connections of the worker"},
    {"worker_exchanges_total", METRICS_COUNTER, false, exchanges, "Exchanges ended by the worker"},
    {"worker_full", METRICS_GAUGE, false, full, "1 while new connections of the worker wait for room"},
};

/* The figures of each configured worker. */
static void each(metrics_writer_t *w, const metrics_input_t *input)
{
    for (size_t f = 0; f < sizeof(figures) / sizeof(figures[0]); f++) {
        metrics_family(w, figures[f].name, figures[f].type, METRICS_LABELS("worker"), figures[f].help);
        for (unsigned i = 0; i < input->workers && i < SHM_WORKERS_MAX; i++) {
            char index[12];
            unsigned number = shm_worker_find(input->shm, i);
            uint64_t value = number < SHM_WORKERS_MAX ? figures[f].value(input, number) : 0;
            (void)snprintf(index, sizeof(index), "%u", i);
            (figures[f].seconds ? metrics_sample_us : metrics_sample)(w, METRICS_LABELS(index), value);
        }
    }
}

/* RFC 9113 section 7. */
static void http2_errors(metrics_writer_t *w, shm_t *shm)
{
    metrics_family(w, "http2_connection_errors_total", METRICS_COUNTER, METRICS_LABELS("code"),
                   "HTTP/2 client connections that the edge ended, by GOAWAY code");
    for (uint32_t code = 1; code < COUNTERS_HTTP2_CODES; code++) {
        uint64_t sum = 0;
        for (unsigned i = 0; i < shm_workers_used(shm); i++)
            sum += metrics_load(&shm_counters(shm, i)->http2_errors[code]);
        metrics_sample(w, METRICS_LABELS(nghttp2_http2_strerror(code)), sum);
    }
}

void metrics_workers(metrics_writer_t *w, const metrics_input_t *input)
{
    each(w, input);
    http2_errors(w, input->shm);
    sums(w, input);
}
