/*
 * Prints the metrics of the running edge, or serves them over TCP. The edge itself has them on its admin
 * socket only. The server asks that socket at each request for one path, so a client of the port reaches
 * nothing else.
 */
#include "commands.h"

#include <assert.h>
#include <stdlib.h>

#include "address.h"
#include "admin_client.h"
#include "cli.h"
#include "cli_sockets.h"
#include "cli_words.h"
#include "fetch.h"
#include "local.h"
#include "serve.h"

#define CLIENTS_MAX 64
/* Time limit for the edge's answer to one request. */
#define WITHIN_MS 10000u

typedef struct exporter {
    cli_sockets_t sockets;
    fetcher_t *fetcher;
} exporter_t;

/* A request that waits for the edge, in its exchange's arena. */
typedef struct scrape {
    exchange_t *ex;
    fetch_t *fetch;
    size_t next; /* the socket to try next */
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

static void on_done(void *owner, const fetch_result_t *result)
{
    scrape_t *scrape = owner;
    exchange_t *ex = scrape->ex;
    scrape->fetch = NULL;
    if (result->status == 0 && scrape->next < exporter_of(ex)->sockets.count) {
        try_next(scrape);
        return;
    }
    local_wait_end(ex);
    if (result->status == 200)
        exchange_reply(ex, 200, STR("text/plain; version=0.0.4; charset=utf-8"), NULL,
                       str_dup(&ex->arena, result->body));
    else
        reply_text(ex, 503, STR("The edge does not run or does not answer.\n"));
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

static void on_begun(void *owner, loop_t *loop, const char *url)
{
    exporter_t *exporter = owner;
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
                    .clients_max = CLIENTS_MAX,
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
