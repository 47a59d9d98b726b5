/*
 * Listeners of kind metrics: /metrics, /healthz and /readyz over TCP, read-only. Nothing else of the admin
 * API is reachable there. The controller reads the certificate and the token by itself, so that it never gets
 * the keys of the edge's other listeners.
 */
#include <assert.h>
#include <errno.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "admin_internal.h"
#include "credentials.h"
#include "local.h"
#include "process_log.h"
#include "token_file.h"
#include "whole_file.h"

/* Maximum requests at a time on one listener. */
#define REQUESTS_MAX 64

typedef struct admin_listener {
    list_t link;
    char text[64]; /* conf_listener_t.text */
    local_server_t *server;
    bool tls;
    bool needs_token;
    bool has_token;     /* it was readable */
    bool kept;          /* in the new configuration too */
    uint64_t expires_s; /* of its certificate, unix seconds; 0: unknown */
    uint8_t token[32];  /* secret_hash */
} admin_listener_t;

static admin_listener_t *listener_of(const exchange_t *ex)
{
    const list_t *all = &admin_of(ex)->listeners;
    for (list_t *link = all->next; link != all; link = link->next) {
        admin_listener_t *listener = CONTAINER_OF(admin_listener_t, link, link);
        if (listener->server == local_server_of(ex))
            return listener;
    }
    assert(!"an exchange of no listener");
    return NULL;
}

/* ---- requests ---- */

static void reply_text(exchange_t *ex, int status, const fields_t *fields, str_t text)
{
    exchange_reply(ex, status, STR("text/plain; charset=utf-8"), fields, text);
}

static bool has_token(exchange_t *ex, const admin_listener_t *listener)
{
    str_t secret, value = fields_value(&ex->request.fields, FIELD_AUTHORIZATION);
    char *room = arena_alloc(&ex->arena, value.n + 1);
    return listener->has_token && fields_count(&ex->request.fields, FIELD_AUTHORIZATION) == 1 &&
           authorization_parse(value, room, value.n + 1, &secret) == AUTHORIZATION_BEARER &&
           secret_matches(secret, listener->token);
}

static void refuse_token(exchange_t *ex)
{
    fields_t fields = {0};
    fields_add(&ex->arena, &fields, FIELD_OTHER, STR("www-authenticate"), STR("Bearer realm=\"metrics\""));
    reply_text(ex, 401, &fields, STR("The metrics need the bearer token of this listener.\n"));
}

static void refuse_method(exchange_t *ex)
{
    fields_t fields = {0};
    fields_add(&ex->arena, &fields, FIELD_OTHER, STR("allow"), STR("GET, HEAD"));
    reply_text(ex, 405, &fields, STR("This address is for reading.\n"));
}

static step_result_t step_read(exchange_t *ex)
{
    static const struct {
        str_t path;
        local_handler_t handler;
    } addresses[] = {
        {{"/metrics", 8}, admin_metrics}, {{"/healthz", 8}, admin_health}, {{"/readyz", 7}, admin_ready}};
    str_t method = ex->request.method, path = ex->request.target;
    const char *query = memchr(path.p, '?', path.n);
    if (query != NULL)
        path.n = (size_t)(query - path.p);
    size_t i = 0;
    while (i < 3 && !str_eq(path, addresses[i].path))
        i++;
    if (local_server_is_busy(ex)) {
        reply_text(ex, 503, NULL, STR("This listener has too many requests under way.\n"));
    } else if (i == 3) {
        reply_text(ex, 404, NULL, STR("Only /metrics, /healthz and /readyz are here.\n"));
    } else if (!str_eq(method, STR("GET")) && !str_eq(method, STR("HEAD"))) {
        refuse_method(ex);
    } else if (i == 0 && listener_of(ex)->needs_token && !has_token(ex, listener_of(ex))) {
        refuse_token(ex);
    } else {
        local_collect(ex, 0, addresses[i].handler, NULL);
    }
    return STEP_DONE;
}

static const exchange_step_t steps[] = {
    {"read", step_read},
    {NULL, NULL},
};

/* ---- secrets ---- */

static void take_token(admin_listener_t *listener, const conf_listener_t *conf)
{
    char token[TOKEN_FILE_MAX + 1];
    listener->needs_token = conf->token_file[0] != '\0';
    if (!listener->needs_token)
        return;
    bool read = token_file_read(conf->token_file, token);
    if (read)
        secret_hash(str_from(token), listener->token);
    listener->has_token |= read;
    if (!read)
        process_log(LOG_METRICS_LISTENER_FILES, "controller",
                    "listener %s: its token file cannot be read: %s", conf->text, strerror(errno));
    OPENSSL_cleanse(token, sizeof(token));
}

/* NULL after a message. Else sets the time at which its certificate expires. */
static tls_t *make_tls(const conf_listener_t *conf, uint64_t *expires_s)
{
    tls_ticket_keys_t keys = {.count = 1};
    size_t len;
    tls_pem_t pem = {.chain = whole_file_read(conf->tls_certificate, &len),
                     .key = whole_file_read(conf->tls_key, &len)};
    char error[512] = "its certificate or key cannot be read", name[2];
    tls_t *tls = NULL;
    if (pem.chain != NULL && pem.key != NULL && RAND_bytes(keys.secret[0], sizeof(keys.secret[0])) == 1)
        tls = tls_new(&pem, 1, &keys, error, sizeof(error));
    if (tls == NULL)
        process_log(LOG_METRICS_LISTENER_FILES, "controller", "listener %s: %s", conf->text, error);
    else
        tls_offer_http1(tls);
    if (tls != NULL && !tls_pem_facts(&pem, expires_s, name, sizeof(name)))
        *expires_s = 0;
    OPENSSL_cleanse(&keys, sizeof(keys));
    tls_pem_fini(&pem);
    return tls;
}

/* ---- the listeners ---- */

static void on_crowded(void *owner, bool idle)
{
    (void)owner;
    process_log(LOG_METRICS_CROWDED, "controller",
                idle ? "a listener of kind metrics has no place left: for each further connection, the one "
                       "without a request for longest closes"
                     : "a listener of kind metrics has %d requests under way, its maximum: further ones get "
                       "503",
                REQUESTS_MAX);
}

static void listener_free(admin_listener_t *listener)
{
    list_unlink(&listener->link);
    local_server_free(&listener->server);
    OPENSSL_cleanse(listener, sizeof(*listener));
    free(listener);
}

static admin_listener_t *find(const admin_t *admin, const conf_listener_t *conf)
{
    for (list_t *link = admin->listeners.next; link != &admin->listeners; link = link->next) {
        admin_listener_t *listener = CONTAINER_OF(admin_listener_t, link, link);
        if (strcmp(listener->text, conf->text) == 0 && listener->tls == (conf->tls_certificate[0] != '\0'))
            return listener;
    }
    return NULL;
}

/* Takes `fd` over if it serves on it. */
static void open_listener(admin_t *admin, const conf_t *conf, const conf_listener_t *from, int *fd)
{
    bool has_tls = from->tls_certificate[0] != '\0';
    uint64_t expires_s = 0;
    tls_t *tls = has_tls ? make_tls(from, &expires_s) : NULL;
    if (has_tls && tls == NULL)
        return;
    admin_listener_t *listener = calloc(1, sizeof(*listener));
    assert(listener != NULL);
    *listener = (admin_listener_t){.tls = has_tls, .kept = true, .expires_s = expires_s};
    snprintf(listener->text, sizeof(listener->text), "%s", from->text);
    take_token(listener, from);
    const local_server_spec_t spec = {
        .steps = steps, .max_requests = REQUESTS_MAX, .crowded = on_crowded, .owner = admin, .tls = tls};
    listener->server = local_server_new(admin->loop, conf, *fd, &spec);
    *fd = -1;
    list_insert(&admin->listeners, &listener->link);
}

/* Its socket stays, and so do its connections. A certificate that cannot be read leaves the one of before. */
static void keep_listener(admin_listener_t *listener, const conf_listener_t *from)
{
    tls_t *tls = listener->tls ? make_tls(from, &listener->expires_s) : NULL;
    if (tls != NULL)
        local_server_set_tls(listener->server, tls);
    take_token(listener, from);
    listener->kept = true;
}

void admin_listen(admin_t *admin, const conf_t *conf, int *fds, size_t count)
{
    size_t first = conf_worker_listeners(conf);
    for (list_t *link = admin->listeners.next; link != &admin->listeners; link = link->next)
        CONTAINER_OF(admin_listener_t, link, link)->kept = false;
    for (size_t i = 0; i < count && first + i < conf->listener_count; i++) {
        const conf_listener_t *from = &conf->listeners[first + i];
        admin_listener_t *listener = find(admin, from);
        if (listener != NULL)
            keep_listener(listener, from);
        else
            open_listener(admin, conf, from, &fds[i]);
    }
    for (list_t *link = admin->listeners.next, *next; link != &admin->listeners; link = next) {
        admin_listener_t *listener = CONTAINER_OF(admin_listener_t, link, link);
        next = link->next;
        if (!listener->kept)
            listener_free(listener);
    }
}

void admin_listeners_set_conf(admin_t *admin, const conf_t *conf)
{
    for (list_t *link = admin->listeners.next; link != &admin->listeners; link = link->next)
        local_server_set_conf(CONTAINER_OF(admin_listener_t, link, link)->server, conf);
}

void admin_listeners_drain(admin_t *admin)
{
    for (list_t *link = admin->listeners.next; link != &admin->listeners; link = link->next)
        local_server_drain(CONTAINER_OF(admin_listener_t, link, link)->server);
}

uint64_t admin_listeners_clients(const admin_t *admin)
{
    uint64_t count = 0;
    for (list_t *link = admin->listeners.next; link != &admin->listeners; link = link->next)
        count += local_server_clients(CONTAINER_OF(admin_listener_t, link, link)->server);
    return count;
}

void admin_listeners_free(admin_t *admin)
{
    while (!list_is_empty(&admin->listeners))
        listener_free(CONTAINER_OF(admin_listener_t, link, admin->listeners.next));
}

metrics_admin_t admin_listeners_figures(const admin_t *admin)
{
    metrics_admin_t figures = {0};
    for (list_t *link = admin->listeners.next; link != &admin->listeners; link = link->next)
        admin_add_figures(CONTAINER_OF(admin_listener_t, link, link)->server, &figures);
    return figures;
}

size_t admin_listeners_certificates(const admin_t *admin, metrics_certificate_t *out, size_t size)
{
    size_t count = 0;
    for (list_t *link = admin->listeners.next; link != &admin->listeners && count < size; link = link->next) {
        const admin_listener_t *listener = CONTAINER_OF(admin_listener_t, link, link);
        if (listener->tls)
            out[count++] = (metrics_certificate_t){listener->text, listener->expires_s};
    }
    return count;
}
