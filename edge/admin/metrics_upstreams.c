/* The upstreams of the API and their servers. Addresses are on the admin socket only: GET /v1/upstreams tells
 * which address has which slot. */
#include "metrics_internal.h"

typedef struct figure {
    const char *name;
    metrics_type_t type;
    const char *help;
    uint64_t (*value)(const balance_view_t *view);
} figure_t;

static uint64_t up(const balance_view_t *view)
{
    return view->up;
}

static uint64_t drained(const balance_view_t *view)
{
    return view->drained;
}

static uint64_t ejected(const balance_view_t *view)
{
    return view->ejected_ms != 0;
}

static uint64_t in_flight(const balance_view_t *view)
{
    return view->in_flight;
}

static uint64_t latency(const balance_view_t *view)
{
    return view->latency_us;
}

static uint64_t requests(const balance_view_t *view)
{
    return view->requests;
}

static uint64_t failures(const balance_view_t *view)
{
    return view->failures;
}

static uint64_t ejections(const balance_view_t *view)
{
    return view->ejections;
}

static const figure_t figures[] = {
    {"upstream_server_up", METRICS_GAUGE,
     "1 if active checks find the server healthy, or if there are no checks", up},
    {"upstream_server_drained", METRICS_GAUGE, "1 while the server is drained by command", drained},
    {"upstream_server_ejected", METRICS_GAUGE,
     "1 while the server is excluded after failed requests in a row", ejected},
    {"upstream_server_in_flight", METRICS_GAUGE, "Requests in flight at the server", in_flight},
    {"upstream_server_latency_seconds", METRICS_GAUGE,
     "Smoothed time to the first byte; 0 without a recent one", latency},
    {"upstream_server_requests_total", METRICS_COUNTER, "Requests sent to the server since it was added",
     requests},
    {"upstream_server_failures_total", METRICS_COUNTER, "Requests sent to the server that failed", failures},
    {"upstream_server_ejections_total", METRICS_COUNTER, "Exclusions of the server after failed requests",
     ejections},
};

static void write_server(metrics_writer_t *w, const figure_t *figure, const conf_upstream_t *upstream,
                         const balance_view_t *view)
{
    char slot[12];
    (void)snprintf(slot, sizeof(slot), "%u", view->slot);
    const char *const values[] = {upstream->name, view->server.name, slot, NULL};
    if (figure->value == latency)
        metrics_sample_us(w, values, latency(view));
    else
        metrics_sample(w, values, figure->value(view));
}

static void each_server(metrics_writer_t *w, const figure_t *figure, const metrics_input_t *input)
{
    const balance_t *balance = shm_balance(input->shm);
    size_t count = input->conf != NULL ? input->conf->upstream_count : 0;
    for (unsigned i = 0; i < count; i++)
        for (unsigned slot = 0; slot < BALANCE_SERVERS_MAX; slot++) {
            balance_view_t view;
            if (balance_look(balance, i, slot, input->now_ms, &view) &&
                balance_is_of(&view.server, &input->conf->upstreams[i]))
                write_server(w, figure, &input->conf->upstreams[i], &view);
        }
}

void metrics_upstreams(metrics_writer_t *w, const metrics_input_t *input)
{
    size_t count = input->conf != NULL ? input->conf->upstream_count : 0;
    for (size_t f = 0; f < sizeof(figures) / sizeof(figures[0]); f++) {
        metrics_family(w, figures[f].name, figures[f].type, METRICS_LABELS("upstream", "server", "slot"),
                       figures[f].help);
        each_server(w, &figures[f], input);
    }
    metrics_family(w, "upstream_waiting", METRICS_GAUGE, METRICS_LABELS("upstream"),
                   "Requests that wait for a free slot at a server");
    for (unsigned i = 0; i < count; i++)
        metrics_sample(w, METRICS_LABELS(input->conf->upstreams[i].name),
                       balance_waiters(shm_balance(input->shm), i));
}
