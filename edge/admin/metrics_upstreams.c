/* Names of the configuration need no escapes in labels. */
#include "address.h"
#include "metrics.h"

typedef struct figure {
    const char *name, *type, *help;
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
    {"up", "gauge", "1 if active checks find the server healthy, or if there are no checks", up},
    {"drained", "gauge", "1 while the server is drained by command", drained},
    {"ejected", "gauge", "1 while the server is excluded after failed requests in a row", ejected},
    {"in_flight", "gauge", "Requests in flight at the server", in_flight},
    {"latency_microseconds", "gauge", "Smoothed time to the first byte; 0 without a recent one", latency},
    {"requests_total", "counter", "Requests sent to the server since it was added", requests},
    {"failures_total", "counter", "Requests sent to the server that failed", failures},
    {"ejections_total", "counter", "Exclusions of the server after failed requests", ejections},
};

static void head(FILE *out, const char *name, const figure_t *figure)
{
    fprintf(out, "# HELP boxedge_%s%s %s\n# TYPE boxedge_%s%s %s\n", name, figure->name, figure->help, name,
            figure->name, figure->type);
}

static void each_server(FILE *out, const figure_t *figure, const conf_t *conf, const balance_t *balance,
                        uint64_t now_ms)
{
    head(out, "upstream_server_", figure);
    for (unsigned i = 0; i < conf->upstream_count; i++)
        for (unsigned slot = 0; slot < BALANCE_SERVERS_MAX; slot++) {
            balance_view_t view;
            char address[ADDRESS_PORT_BYTES];
            if (!balance_look(balance, i, slot, now_ms, &view) ||
                !balance_is_of(&view.server, &conf->upstreams[i]))
                continue;
            fprintf(out, "boxedge_upstream_server_%s{upstream=\"%s\",server=\"%s\",address=\"%s\"} %llu\n",
                    figure->name, conf->upstreams[i].name, view.server.name,
                    address_port_text(&view.server.address, view.server.port, address),
                    (unsigned long long)figure->value(&view));
        }
}

void metrics_upstreams(FILE *out, const conf_t *conf, const balance_t *balance, uint64_t now_ms)
{
    static const figure_t waiting = {"waiting", "gauge", "Requests that wait for a free slot at a server",
                                     NULL};
    for (size_t f = 0; f < sizeof(figures) / sizeof(figures[0]); f++)
        each_server(out, &figures[f], conf, balance, now_ms);
    head(out, "upstream_", &waiting);
    for (unsigned i = 0; i < conf->upstream_count; i++)
        fprintf(out, "boxedge_upstream_waiting{upstream=\"%s\"} %u\n", conf->upstreams[i].name,
                balance_waiters(balance, i));
}
