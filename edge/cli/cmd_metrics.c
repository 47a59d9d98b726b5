/*
 * Prints the metrics of the running edge, or serves them over TCP. The edge itself has them on its admin
 * socket only. The server asks that socket at each request for one path, so a client of the port reaches
 * nothing else.
 */
#include "commands.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "address.h"
#include "admin_client.h"
#include "cli.h"
#include "cli_sockets.h"
#include "cli_words.h"
#include "fetch.h"
#include "local.h"
#include "serve.h"

/* Maximum requests at a time. */
#define REQUESTS_MAX 64
/* Time limit for the edge's answer to one request. */
#define WITHIN_MS 10000u

/* The reason for the last request without metrics. */
typedef enum trouble {
    TROUBLE_NONE,
    TROUBLE_FORBIDDEN, /* this user may not use the socket */
    TROUBLE_TOO_LARGE, /* the edge's answer */
    TROUBLE_SILENT,    /* no edge runs, or it does not answer */
} trouble_t;

typedef struct exporter {
    cli_sockets_t sockets;
    fetcher_t *fetcher;
    const local_server_t *server;
    trouble_t reported; /* on stderr */
} exporter_t;

/* A request that waits for the edge, in its exchange's arena. */
typedef struct scrape {
    exchange_t *ex;
    fetch_t *fetch;
    size_t next;       /* the socket to try next */
    trouble_t trouble; /* the most informative one of all sockets */
    const char *place; /* its socket */
} scrape_t;

static int usage(FILE *out, int status)
{
    fprintf(out,
            "usage: boxedge metrics [OPTION]...\n\n"
            "Prints the metrics of the running edge in the text format of Prometheus. With --port it serves\n"
            "them at /metrics until SIGTERM or Ctrl-C, for a Prometheus that cannot reach the admin socket.\n"
            "Each client that reaches the port can read them.\n\n"
            "  --port PORT        port to serve them on, 1-65535; 0 takes a free port and prints it\n"
            "  --address ADDRESS  IPv4 or IPv6 address to serve them on (default 127.0.0.1)\n");
    fputs(cli_common_help, out);
    return status;
}

static exporter_t *exporter_of(const exchange_t *ex)
{
    return local_server_owner(ex);
}

static void reply_text(exchange_t *ex, int status, str_t text)
{
    exchange_reply(ex, status, STR("text/plain; charset=utf-8"), NULL, text);
}

/* ---- one scrape ---- */

static void try_next(scrape_t *scrape);

/* Answers with the edge's metrics and those of this server. */
static void reply_metrics(exchange_t *ex, str_t body)
{
    const counters_t *counters = local_server_counters(exporter_of(ex)->server);
    static const char name[] = "boxedge_exporter_connections_given_up_total";
    char own[256];
    int n = snprintf(own, sizeof own,
                     "# HELP %s Idle connections of boxedge metrics --port closed to make room for others\n"
                     "# TYPE %s counter\n%s %llu\n",
                     name, name, name, (unsigned long long)counters->connections_given_up_total);
    assert(n > 0 && (size_t)n < sizeof own);
    char *text = arena_alloc(&ex->arena, body.n + (size_t)n);
    memcpy(text, body.p, body.n);
    memcpy(text + body.n, own, (size_t)n);
    exchange_reply(ex, 200, STR("text/plain; version=0.0.4; charset=utf-8"), NULL,
                   str_make(text, body.n + (size_t)n));
}

/* Writes the reason to stderr, once until it changes. A client of the port learns no path. */
static void reply_trouble(exchange_t *ex, trouble_t trouble, const char *place)
{
    static const char advice[] = "run this command as root, or as a user of the socket's group";
    exporter_t *exporter = exporter_of(ex);
    if (trouble == TROUBLE_FORBIDDEN && exporter->reported != trouble)
        fprintf(stderr, "boxedge metrics: this user may not use %s: %s\n", place, advice);
    if (trouble == TROUBLE_TOO_LARGE && exporter->reported != trouble)
        fprintf(stderr, "boxedge metrics: the edge's metrics are larger than %u bytes\n", ADMIN_ANSWER_MAX);
    exporter->reported = trouble;
    if (trouble == TROUBLE_FORBIDDEN)
        reply_text(ex, 503, STR("The user of this server may not use the edge's admin socket.\n"));
    else if (trouble == TROUBLE_TOO_LARGE)
        reply_text(ex, 503, STR("The edge's metrics are too large.\n"));
    else
        reply_text(ex, 503, STR("The edge does not run or does not answer.\n"));
}

static trouble_t trouble_of(const fetch_result_t *result, const char *place)
{
    if (result->too_large)
        return TROUBLE_TOO_LARGE;
    if (result->status == 0 && faccessat(AT_FDCWD, place, W_OK, AT_EACCESS) != 0 && errno == EACCES)
        return TROUBLE_FORBIDDEN;
    return TROUBLE_SILENT;
}

static void on_done(void *owner, const fetch_result_t *result)
{
    scrape_t *scrape = owner;
    exchange_t *ex = scrape->ex;
    const cli_sockets_t *sockets = &exporter_of(ex)->sockets;
    scrape->fetch = NULL;
    if (result->status == 200) {
        local_wait_end(ex);
        exporter_of(ex)->reported = TROUBLE_NONE;
        reply_metrics(ex, result->body);
        return;
    }
    trouble_t trouble = trouble_of(result, sockets->paths[scrape->next - 1]);
    if (scrape->trouble == TROUBLE_NONE || trouble < scrape->trouble) {
        scrape->trouble = trouble;
        scrape->place = sockets->paths[scrape->next - 1];
    }
    if (result->status == 0 && !result->too_large && scrape->next < sockets->count) {
        try_next(scrape);
        return;
    }
    local_wait_end(ex);
    reply_trouble(ex, scrape->trouble, scrape->place);
}

/* Starts the call of the next socket. A running edge listens on one of them. */
static void try_next(scrape_t *scrape)
{
    static const fetch_handlers_t handlers = {.done = on_done};
    exporter_t *exporter = exporter_of(scrape->ex);
    const fetch_request_t request = {.method = "GET",
                                     .url = "http://boxedge/metrics",
                                     .unix_socket = exporter->sockets.paths[scrape->next++],
                                     .timeout_ms = WITHIN_MS,
                                     .most = ADMIN_ANSWER_MAX,
                                     .alone = true};
    scrape->fetch = fetch_start(exporter->fetcher, &request, &handlers, scrape);
}

static void client_left(void *arg)
{
    scrape_t *scrape = arg;
    fetch_cancel(&scrape->fetch);
}

static step_result_t step_metrics(exchange_t *ex)
{
    str_t method = ex->request.method;
    if (local_server_is_busy(ex)) {
        reply_text(ex, 503, STR("This server has too many requests under way.\n"));
        return STEP_DONE;
    }
    if (!str_eq(ex->request.target, STR("/metrics"))) {
        reply_text(ex, 404, STR("Only /metrics is here.\n"));
        return STEP_DONE;
    }
    if (!str_eq(method, STR("GET")) && !str_eq(method, STR("HEAD"))) {
        fields_t fields = {0};
        fields_add(&ex->arena, &fields, FIELD_OTHER, STR("allow"), STR("GET, HEAD"));
        exchange_reply(ex, 405, STR("text/plain; charset=utf-8"), &fields,
                       STR("This address is for reading.\n"));
        return STEP_DONE;
    }
    scrape_t *scrape = arena_alloc(&ex->arena, sizeof *scrape);
    *scrape = (scrape_t){.ex = ex};
    local_wait(ex, client_left, scrape);
    try_next(scrape);
    return STEP_DONE;
}

static const exchange_step_t steps[] = {
    {"metrics", step_metrics},
    {NULL, NULL},
};

/* ---- the server ---- */

static void on_crowded(void *owner, bool idle)
{
    (void)owner;
    if (idle)
        fputs("boxedge metrics: all connections are in use: for each further one, the one without a request "
              "for longest closes (boxedge_exporter_connections_given_up_total)\n",
              stderr);
    else
        fprintf(stderr, "boxedge metrics: %d requests are under way: further ones get 503\n", REQUESTS_MAX);
}

static void on_begun(void *owner, loop_t *loop, const local_server_t *server, const char *url)
{
    exporter_t *exporter = owner;
    exporter->server = server;
    exporter->fetcher = fetcher_new(loop);
    printf("metrics on %smetrics\n", url);
    fflush(stdout);
}

static void on_ended(void *owner)
{
    exporter_t *exporter = owner;
    fetcher_free(&exporter->fetcher);
}

/* Names the wrong word, and prints the usage. */
static int refuse(const char *word, const char *why)
{
    fprintf(stderr, "boxedge metrics: \"%s\" %s\n\n", word, why);
    return usage(stderr, CLI_USAGE);
}

static int serve_metrics(const cli_t *cli)
{
    exporter_t exporter = {0};
    const char *address = cli->address != NULL ? cli->address : "127.0.0.1";
    uint64_t port;
    serve_t spec = {.command = "metrics",
                    .steps = steps,
                    .requests_max = REQUESTS_MAX,
                    .crowded = on_crowded,
                    .begun = on_begun,
                    .ended = on_ended,
                    .owner = &exporter};
    if (!str_to_uint(str_from(cli->port), 65535, &port))
        return refuse(cli->port, "is not a port");
    if (!address_parse(address, &spec.address))
        return refuse(address, "is not an IPv4 or IPv6 address");
    if (!cli_sockets_find(&exporter.sockets, cli->socket, cli->conf))
        return CLI_FAILED;
    spec.port = (uint16_t)port;
    int status = serve(&spec) ? CLI_OK : CLI_FAILED;
    cli_sockets_free(&exporter.sockets);
    return status;
}

static int print_metrics(const cli_t *cli)
{
    char *text;
    int status = cli_request_text(cli, "/metrics", "the edge has no metrics", &text);
    if (status != CLI_OK)
        return status;
    fputs(text, stdout);
    free(text);
    return CLI_OK;
}

int cmd_metrics(int argc, char **argv)
{
    cli_t cli;
    if (!cli_parse(argc, argv, CLI_LISTEN, &cli))
        return CLI_USAGE;
    if (cli.help)
        return usage(stdout, CLI_OK);
    if (cli.arg_count != 0) {
        static const cli_verb_t none[] = {{"", ""}, {NULL, NULL}};
        cli_explain_words(&cli, "metrics", none);
        return usage(stderr, CLI_USAGE);
    }
    if (cli.port != NULL)
        return serve_metrics(&cli);
    if (cli.address != NULL)
        return refuse("--address", "needs --port");
    return print_metrics(&cli);
}
