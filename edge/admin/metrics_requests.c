/*
 * What happened to requests: histograms and counters by kind, protocol, status and code, by listener and by
 * plan, as sums over all workers' slots.
 */
#include "metrics_internal.h"

#include <stddef.h>

/* The number at `offset` of all workers' measures_t. */
static uint64_t sum_at(shm_t *shm, size_t offset)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < shm_workers_used(shm); i++)
        sum += metrics_load(
            (const _Atomic uint64_t *)(const void *)((const char *)&shm_counters(shm, i)->measures + offset));
    return sum;
}

/* A histogram at `offset`. With `only_used`, nothing if it is empty. */
static void histogram(metrics_writer_t *w, shm_t *shm, size_t offset, const char *const values[],
                      bool only_used)
{
    uint64_t counts[HISTOGRAM_BUCKETS], total = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        counts[i] = sum_at(shm, offset + offsetof(histogram_t, counts) + i * sizeof(uint64_t));
        total += counts[i];
    }
    if (total != 0 || !only_used)
        metrics_histogram(w, values, counts, histogram_bounds_us, HISTOGRAM_BUCKETS,
                          sum_at(shm, offset + offsetof(histogram_t, sum_us)));
}

/* One for each kind and protocol. Previews over both protocols are always there; others once they occur. */
static void by_kind(metrics_writer_t *w, shm_t *shm, const char *name, size_t offset, const char *help)
{
    metrics_family(w, name, METRICS_HISTOGRAM, METRICS_LABELS("kind", "protocol"), help);
    for (unsigned kind = 0; kind < MEASURE_KINDS; kind++)
        for (unsigned protocol = 0; protocol < MEASURE_PROTOCOLS; protocol++)
            histogram(w, shm, offset + (kind * MEASURE_PROTOCOLS + protocol) * sizeof(histogram_t),
                      METRICS_LABELS(measure_kind_text(kind), measure_protocol_text(protocol)),
                      kind != MEASURE_PREVIEW || protocol == MEASURE_H3);
}

static void by_protocol(metrics_writer_t *w, shm_t *shm, const char *name, size_t offset, const char *help)
{
    metrics_family(w, name, METRICS_HISTOGRAM, METRICS_LABELS("protocol"), help);
    for (unsigned protocol = 0; protocol < MEASURE_PROTOCOLS; protocol++)
        histogram(w, shm, offset + protocol * sizeof(histogram_t),
                  METRICS_LABELS(measure_protocol_text(protocol)), protocol == MEASURE_H3);
}

static void durations(metrics_writer_t *w, shm_t *shm)
{
    by_kind(w, shm, "request_duration_seconds", offsetof(measures_t, duration),
            "Time from the complete head of a request to the end of its response; without WebSockets");
    by_kind(w, shm, "request_first_byte_seconds", offsetof(measures_t, first_byte),
            "Time from the complete head of a request to the head of the response of its box or server");
    by_kind(w, shm, "origin_connect_seconds", offsetof(measures_t, connect),
            "Time to open a connection to a box or server, with TLS if it has it; by the protocol spoken "
            "there");
    by_protocol(w, shm, "tls_handshake_seconds", offsetof(measures_t, handshake),
                "Time of a TLS handshake of a client, from its first byte");
    by_protocol(w, shm, "wake_wait_seconds", offsetof(measures_t, wake),
                "Wait of the requests that reached their box after a wake");
}

static void statuses(metrics_writer_t *w, shm_t *shm)
{
    metrics_family(w, "requests_total", METRICS_COUNTER, METRICS_LABELS("kind", "protocol", "code"),
                   "Requests ended, by the status of the response: \"none\" without one. Combinations appear "
                   "once they occur");
    for (unsigned kind = 0; kind < MEASURE_KINDS; kind++)
        for (unsigned protocol = 0; protocol < MEASURE_PROTOCOLS; protocol++)
            for (unsigned cell = 0; cell < MEASURE_STATUS_COUNT; cell++) {
                char text[8];
                uint64_t sum =
                    sum_at(shm, offsetof(measures_t, statuses) +
                                    ((kind * MEASURE_PROTOCOLS + protocol) * MEASURE_STATUS_COUNT + cell) *
                                        sizeof(uint64_t));
                if (sum != 0)
                    metrics_sample(w,
                                   METRICS_LABELS(measure_kind_text(kind), measure_protocol_text(protocol),
                                                  measure_status_text(cell, text)),
                                   sum);
            }
}

static void codes(metrics_writer_t *w, shm_t *shm)
{
    metrics_family(
        w, "errors_total", METRICS_COUNTER, METRICS_LABELS("code"),
        "Requests that the edge answered with an error or ended by itself, by the code of its answer "
        "or access line (docs/http.md)");
    for (unsigned i = 0; i < ERROR_CODE_COUNT; i++)
        if (error_code_kind(i) != ERROR_CODE_NOTE)
            metrics_sample(w, METRICS_LABELS(error_code_text(i)),
                           sum_at(shm, offsetof(measures_t, codes) + i * sizeof(uint64_t)));
}

static void access(metrics_writer_t *w, shm_t *shm)
{
    static const char *const reasons[MEASURE_ACCESS_COUNT] = {
#define X(name) #name,
        MEASURE_ACCESS(X)
#undef X
    };
    metrics_family(w, "access_refusals_total", METRICS_COUNTER, METRICS_LABELS("reason"),
                   "Requests that a preview refused for their credentials");
    for (unsigned i = 0; i < MEASURE_ACCESS_COUNT; i++)
        metrics_sample(w, METRICS_LABELS(reasons[i]),
                       sum_at(shm, offsetof(measures_t, access) + i * sizeof(uint64_t)));
    metrics_single(w, "access_lockouts_total", METRICS_COUNTER,
                   "Client addresses locked out of a preview after wrong credentials",
                   sum_at(shm, offsetof(measures_t, lockouts)));
}

/* The count `what` of the cell with that id, over all workers. `cells`: offset of the table. */
static uint64_t sum_of_cell(shm_t *shm, size_t cells, unsigned size, uint64_t id, unsigned what)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < shm_workers_used(shm); i++) {
        const char *measures = (const char *)&shm_counters(shm, i)->measures;
        const measure_cell_t *table = (const measure_cell_t *)(const void *)(measures + cells);
        unsigned at = measure_find(table, size, id);
        if (at < size)
            sum += metrics_load(&table[at].counts[what]);
    }
    return sum;
}

static void listeners(metrics_writer_t *w, const metrics_input_t *input)
{
    static const struct {
        const char *name;
        metrics_type_t type;
        unsigned what;
        const char *help;
    } figures[] = {
        {"listener_connections_total", METRICS_COUNTER, MEASURE_LISTENER_CONNECTIONS,
         "Connections accepted at the listener since it was added"},
        {"listener_connections_open", METRICS_GAUGE, MEASURE_LISTENER_OPEN,
         "Connections open now at the listener"},
        {"listener_requests_total", METRICS_COUNTER, MEASURE_LISTENER_REQUESTS,
         "Requests ended at the listener since it was added"},
    };
    static const char *const kinds[] = {"tls", "redirect", "plain", "health", "metrics"};
    size_t count = input->conf != NULL ? conf_worker_listeners(input->conf) : 0;
    for (size_t f = 0; f < sizeof(figures) / sizeof(figures[0]); f++) {
        metrics_family(w, figures[f].name, figures[f].type, METRICS_LABELS("listener", "kind"),
                       figures[f].help);
        for (size_t i = 0; i < count; i++) {
            const conf_listener_t *listener = &input->conf->listeners[i];
            metrics_sample(w, METRICS_LABELS(listener->text, kinds[listener->kind]),
                           sum_of_cell(input->shm, offsetof(measures_t, listeners), MEASURE_LISTENERS,
                                       listener->id, figures[f].what));
        }
    }
}

static void plans(metrics_writer_t *w, const metrics_input_t *input)
{
    static const struct {
        const char *name;
        unsigned what;
        const char *help;
    } figures[] = {
        {"plan_requests_total", MEASURE_PLAN_REQUESTS,
         "API requests on the plan since it was added, refused ones included"},
        {"plan_refusals_total", MEASURE_PLAN_REFUSED, "API requests that the plan refused"},
        {"plan_shadow_refusals_total", MEASURE_PLAN_SHADOWED,
         "API requests that the plan would have refused, were it enforced"},
    };
    size_t count = input->conf != NULL ? input->conf->plan_count : 0;
    for (size_t f = 0; f < sizeof(figures) / sizeof(figures[0]); f++) {
        metrics_family(w, figures[f].name, METRICS_COUNTER, METRICS_LABELS("plan"), figures[f].help);
        for (size_t i = 0; i < count; i++)
            metrics_sample(w, METRICS_LABELS(input->conf->plans[i].name),
                           sum_of_cell(input->shm, offsetof(measures_t, plans), MEASURE_PLANS,
                                       input->conf->plans[i].id, figures[f].what));
    }
}

void metrics_requests(metrics_writer_t *w, const metrics_input_t *input)
{
    statuses(w, input->shm);
    codes(w, input->shm);
    durations(w, input->shm);
    access(w, input->shm);
    listeners(w, input);
    plans(w, input);
}
