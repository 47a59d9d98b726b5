#include "status_link.h"

#include <assert.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include <jansson.h>
#include <openssl/crypto.h>

#include "address.h"
#include "context.h"
#include "cookie.h"
#include "fetch.h"
#include "list.h"
#include "local.h"
#include "random_id.h"
#include "serve.h"
#include "status_page.h"
#include "status_reply.h"

/* Hex digits of the link's token and of the session: 128 bits each. */
#define SECRET_DIGITS 32
#define LINK_PATH     "/open/"
/* A few browsers' tabs; the answers of the admin socket come on this many connections. */
#define REQUESTS_MAX 32
/* Time limit of an answer; the page itself waits a little longer. */
#define ANSWER_MS 7000
/* Maximum bytes of an answer, and of a request's target. */
#define ANSWER_MAX (16u << 20)
#define TARGET_MAX 1024
/* Cookies of its name that are looked at. */
#define COOKIES_MAX 8

typedef enum link_state {
    LINK_FRESH,
    LINK_USED,
} link_state_t;

typedef struct status_link {
    const char *socket; /* the admin socket */
    uint32_t idle_ms;
    link_state_t state;
    char token[SECRET_DIGITS], session[SECRET_DIGITS];
    char host[32];        /* "127.0.0.1:PORT" */
    char cookie_name[32]; /* with the port: browsers share cookies among the ports of a host */
    loop_t *loop;
    loop_timer_t idle;
    fetcher_t *fetcher;
} status_link_t;

/* A question to the admin socket, for which an exchange waits. */
typedef struct passed {
    exchange_t *ex;
    fetch_t *fetch;
    str_t type; /* of the answer */
} passed_t;

/* The addresses of the admin socket that the page uses. */
static const struct {
    const char *path;
    const char *type;
} allowed[] = {
    {"/metrics", "text/plain; version=0.0.4; charset=utf-8"},
    {"/v1/status", "application/json"},
    {"/v1/boxes", "application/json"},
    {"/v1/recent", "application/json"},
};

/* ---- answers of its own ---- */

static void reply_text(exchange_t *ex, int status, fields_t *fields, const char *sentence)
{
    static const char *const names[][2] = {{"cache-control", "no-store"},
                                           {"content-security-policy", "default-src 'none'"},
                                           {"referrer-policy", "no-referrer"},
                                           {"x-content-type-options", "nosniff"}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        fields_add(&ex->arena, fields, FIELD_OTHER, str_from(names[i][0]), str_from(names[i][1]));
    exchange_reply(ex, status, STR("text/plain; charset=utf-8"), fields,
                   str_format(&ex->arena, "%s\n", sentence));
}

static step_result_t refuse(exchange_t *ex, int status, const char *sentence)
{
    fields_t fields = {0};
    reply_text(ex, status, &fields, sentence);
    return STEP_DONE;
}

static void reply_json_error(exchange_t *ex, int status, const char *sentence)
{
    fields_t fields = {0};
    json_t *body = json_pack("{s:s}", "error", sentence);
    char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    str_t copy = str_format(&ex->arena, "%s\n", text != NULL ? text : "{}");
    free(text);
    fields_add(&ex->arena, &fields, FIELD_OTHER, STR("cache-control"), STR("no-store"));
    exchange_reply(ex, status, STR("application/json"), &fields, copy);
}

/* ---- the session ---- */

static bool is_secret(str_t given, const char secret[SECRET_DIGITS])
{
    return given.n == SECRET_DIGITS && CRYPTO_memcmp(given.p, secret, SECRET_DIGITS) == 0;
}

static bool has_session(const status_link_t *link, const exchange_t *ex)
{
    const fields_t *fields = &ex->request.fields;
    unsigned looked = 0;
    for (uint32_t i = 0; i < fields->count; i++) {
        str_t rest = fields->at[i].value, value;
        if (fields->at[i].id != FIELD_COOKIE)
            continue;
        while (looked++ < COOKIES_MAX && cookie_next(&rest, str_from(link->cookie_name), &value))
            if (is_secret(value, link->session))
                return link->state == LINK_USED;
    }
    return false;
}

/* The link begins the session, once. */
static step_result_t open_link(status_link_t *link, exchange_t *ex, str_t token)
{
    fields_t fields = {0};
    if (!is_secret(token, link->token))
        return refuse(ex, 404, "There is nothing at this address.");
    if (link->state == LINK_USED)
        return refuse(ex, 410, "This link was used already: it works once. Run boxedge status --open again.");
    if (!str_eq(ex->request.method, STR("GET"))) /* a look with HEAD does not use it up */
        return refuse(ex, 200, "This link is not used yet.");
    link->state = LINK_USED;
    fields_add(&ex->arena, &fields, FIELD_OTHER, STR("location"), STR(STATUS_PAGE_PATH));
    fields_add(&ex->arena, &fields, FIELD_OTHER, STR("set-cookie"),
               str_format(&ex->arena, "%s=%.*s; Path=/; HttpOnly; SameSite=Strict", link->cookie_name,
                          SECRET_DIGITS, link->session));
    reply_text(ex, 303, &fields, "The status page is at " STATUS_PAGE_PATH ".");
    return STEP_DONE;
}

static void expired(loop_timer_t *timer)
{
    const status_link_t *link = CONTAINER_OF(status_link_t, idle, timer);
    fprintf(stderr, "boxedge: no request of the page for %u minutes: the link ends\n",
            (unsigned)(link->idle_ms / 60000));
    kill(getpid(), SIGTERM); /* as Ctrl-C */
}

static void start_idle(status_link_t *link)
{
    loop_timer_stop(&link->idle);
    loop_timer_start(link->loop, &link->idle, link->idle_ms, expired);
}

/* ---- questions to the admin socket ---- */

static void answered(void *owner, const fetch_result_t *result)
{
    passed_t *passed = owner;
    exchange_t *ex = passed->ex;
    str_t type = passed->type;
    fields_t fields = {0};
    local_wait_end(ex);
    free(passed);
    if (result->status == 0) {
        reply_json_error(ex, 502, "the edge does not answer at its admin socket");
        return;
    }
    fields_add(&ex->arena, &fields, FIELD_OTHER, STR("cache-control"), STR("no-store"));
    fields_add(&ex->arena, &fields, FIELD_OTHER, STR("x-content-type-options"), STR("nosniff"));
    exchange_reply(ex, result->status, result->status == 200 ? type : STR("application/json"), &fields,
                   str_dup(&ex->arena, result->body));
}

static void client_left(void *arg)
{
    passed_t *passed = arg;
    fetch_cancel(&passed->fetch);
    free(passed);
}

static void pass_on(status_link_t *link, exchange_t *ex, const char *type)
{
    static const fetch_handlers_t handlers = {.done = answered};
    passed_t *passed = calloc(1, sizeof(*passed));
    assert(passed != NULL);
    *passed = (passed_t){.ex = ex, .type = str_from(type)};
    const fetch_request_t request = {
        .method = "GET",
        .url = str_format(&ex->arena, "http://boxedge%.*s%c", STR_ARG(ex->request.target), '\0').p,
        .unix_socket = link->socket,
        .timeout_ms = ANSWER_MS,
        .most = ANSWER_MAX};
    passed->fetch = fetch_start(link->fetcher, &request, &handlers, passed);
    local_wait(ex, client_left, passed);
}

/* ---- requests ---- */

/* A name that resolves to this address must not read the answers (DNS rebinding). */
static step_result_t step_host(exchange_t *ex)
{
    const status_link_t *link = local_server_owner(ex);
    if (str_eq(ex->request.authority, str_from(link->host)))
        return STEP_NEXT;
    return refuse(ex, 421, "This page is served at its own address only: use the link as it was printed.");
}

static step_result_t step_method(exchange_t *ex)
{
    fields_t fields = {0};
    if (str_eq(ex->request.method, STR("GET")) || str_eq(ex->request.method, STR("HEAD")))
        return STEP_NEXT;
    fields_add(&ex->arena, &fields, FIELD_OTHER, STR("allow"), STR("GET, HEAD"));
    reply_text(ex, 405, &fields, "This page changes nothing: only GET and HEAD are allowed.");
    return STEP_DONE;
}

static step_result_t step_page(exchange_t *ex)
{
    status_link_t *link = local_server_owner(ex);
    str_t path = ex->request.target;
    const char *query = memchr(path.p, '?', path.n);
    if (query != NULL)
        path.n = (size_t)(query - path.p);
    if (str_starts(path, STR(LINK_PATH)))
        return open_link(link, ex, str_from_offset(path, strlen(LINK_PATH)));
    if (!has_session(link, ex))
        return refuse(ex, 403,
                      "This page needs its link: run boxedge status --open, and open what it prints.");
    if (local_server_is_busy(ex) || ex->request.target.n > TARGET_MAX)
        return refuse(ex, 503, "There are too many requests, or this one is too long.");
    start_idle(link);
    if (str_eq(path, STR(STATUS_PAGE_PATH))) {
        status_reply(ex);
        return STEP_DONE;
    }
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
        if (str_eq(path, str_from(allowed[i].path))) {
            pass_on(link, ex, allowed[i].type);
            return STEP_DONE;
        }
    return refuse(ex, 404, "There is nothing at this address.");
}

static const exchange_step_t steps[] = {
    {"host", step_host},
    {"method", step_method},
    {"page", step_page},
    {NULL, NULL},
};

/* ---- the command ---- */

static void begun(void *owner, loop_t *loop, const local_server_t *server, const char *url)
{
    status_link_t *link = owner;
    (void)server;
    link->loop = loop;
    link->fetcher = fetcher_new(loop);
    str_t host = str_from_offset(str_from(url), strlen("http://"));
    snprintf(link->host, sizeof(link->host), "%.*s", (int)(host.n - 1), host.p); /* without the slash */
    const char *port = strrchr(link->host, ':') + 1;
    snprintf(link->cookie_name, sizeof(link->cookie_name), "boxedge_status_%s", port);
    start_idle(link);
    printf("http://%s" LINK_PATH "%.*s\n\n"
           "Open this link in a browser of this machine: it works once. From another machine, forward the\n"
           "port first (ssh -L %s:127.0.0.1:%s HOST). Ctrl-C ends the page, and so do %u minutes without a\n"
           "request of it.\n",
           link->host, SECRET_DIGITS, link->token, port, port, (unsigned)(link->idle_ms / 60000));
    fflush(stdout);
}

static void ended(void *owner)
{
    status_link_t *link = owner;
    loop_timer_stop(&link->idle);
    fetcher_free(&link->fetcher);
}

bool status_link_serve(const char *command, const char *socket, uint32_t idle_ms)
{
    status_link_t link = {.socket = socket, .idle_ms = idle_ms};
    serve_t spec = {.command = command,
                    .steps = steps,
                    .requests_max = REQUESTS_MAX,
                    .begun = begun,
                    .ended = ended,
                    .owner = &link};
    random_source_t *random = random_source_new();
    random_hex(random, link.token, SECRET_DIGITS);
    random_hex(random, link.session, SECRET_DIGITS);
    random_source_free(&random);
    bool parsed = address_parse("127.0.0.1", &spec.address);
    assert(parsed);
    bool served = serve(&spec);
    OPENSSL_cleanse(link.token, sizeof(link.token));
    OPENSSL_cleanse(link.session, sizeof(link.session));
    return served;
}
