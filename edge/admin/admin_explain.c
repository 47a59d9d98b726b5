/*
 * The answer to a request for a host, and its reason: GET /v1/explain?host=HOST[&client=ADDRESS]. The
 * functions of a worker's steps judge (routes_find, blocks_has, store_box_ready); this file adds the reasons.
 */
#include <assert.h>
#include <stdarg.h>

#include "address.h"
#include "admin_internal.h"
#include "blocks.h"
#include "hostname.h"
#include "routes.h"

/* Maximum bytes of a host with its port. */
#define HOST_MAX 300
/* Other previews of the box that an answer names. */
#define OTHERS_MAX 8

typedef struct explain_job {
    admin_job_t base;
    char host[HOST_MAX + 1];
    char domain[HOST_MAX + 1];
    struct in6_addr client;
    bool has_client;
    const _Atomic uint64_t *epoch;
    uint64_t now; /* unix seconds */
    /* set by the job: */
    hostname_result_t kind;
    hostname_t name;
    blocks_answer_t preview_blocked, client_blocked;
    routes_result_t result;
    store_preview_t preview; /* for ROUTES_FOUND */
    store_box_t box;
    bool is_kept; /* for ROUTES_NO_PREVIEW: the store has a record of the preview */
    bool is_being_deleted;
    uint16_t others[OTHERS_MAX]; /* ports of its box with a preview */
    size_t other_count;
} explain_job_t;

/* ---- the store's part ---- */

static void ignore_failure(bool readable, const char *sentence)
{
    (void)readable;
    (void)sentence; /* the answer is BLOCKS_UNKNOWN */
}

static void read_blocks(explain_job_t *job, store_t *store, str_t id)
{
    blocks_t *blocks = blocks_new(store, job->epoch, ignore_failure);
    if (job->preview_blocked == BLOCKS_CLEAR && id.n != 0)
        job->preview_blocked = blocks_has_preview(blocks, id, job->name.port);
    if (job->has_client)
        job->client_blocked = blocks_has_client(blocks, &job->client);
    blocks_free(&blocks);
}

static bool add_other(const store_preview_t *preview, void *arg)
{
    explain_job_t *job = arg;
    job->others[job->other_count++] = preview->port;
    return job->other_count < OTHERS_MAX;
}

/* Why no preview exists. */
static void read_absence(explain_job_t *job, store_t *store)
{
    str_t id = str_make(job->name.id, job->name.id_len);
    job->is_kept = store_find_preview(store, id, job->name.port, &job->preview) == STORE_OK;
    if (job->is_kept)
        id = str_from(job->preview.id);
    else if (store_each_preview_from(store, id, 0, true, add_other, job) != STORE_OK)
        job->other_count = 0; /* the answer is without this advice */
    job->is_being_deleted = store_is_being_deleted(store, id) == STORE_OK;
}

static void explain_run(store_job_t *base, store_t *store)
{
    explain_job_t *job = CONTAINER_OF(explain_job_t, base.job, base);
    str_t domain = str_from(job->domain);
    const route_t *route;
    job->kind = hostname_parse(str_from(job->host), domain, &job->name);
    str_t id = str_make(job->name.id, job->kind == HOSTNAME_PREVIEW ? job->name.id_len : 0);
    read_blocks(job, store, id);
    routes_t *routes = routes_new(store, domain, job->epoch);
    job->result = routes_find(routes, str_from(job->host), job->now, &route);
    if (job->result == ROUTES_FOUND) {
        job->preview = *route->preview;
        job->box = route->box;
        read_blocks(job, store, str_from(job->preview.id)); /* `host` may have the alias */
    } else if (job->result == ROUTES_NO_PREVIEW && job->kind == HOSTNAME_PREVIEW) {
        read_absence(job, store);
    }
    snprintf(job->base.why, sizeof(job->base.why), "%s", routes_error(routes));
    routes_free(&routes);
    job->base.result = STORE_OK; /* the answer names unreadable parts */
}

/* ---- the answer ---- */

typedef struct explanation {
    json_t *body, *findings;
} explanation_t;

static void find(explanation_t *to, const char *subject, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void find(explanation_t *to, const char *subject, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    json_t *text = json_vsprintf(format, args);
    va_end(args);
    json_array_append_new(to->findings, json_pack("{s:s,s:o}", "subject", subject, "finding",
                                                  text != NULL ? text : json_string("?")));
}

/* The edge answers by itself. */
static void refuse(explanation_t *to, int status, const char *code)
{
    json_object_set_new(to->body, "status", json_integer(status));
    json_object_set_new(to->body, "code", json_string(code));
}

/* True: a block refuses the request, or none can be read. */
static bool explain_blocks(const explain_job_t *job, explanation_t *to)
{
    bool unread = job->preview_blocked == BLOCKS_UNKNOWN || job->client_blocked == BLOCKS_UNKNOWN;
    bool preview = job->preview_blocked == BLOCKS_BLOCKED, client = job->client_blocked == BLOCKS_BLOCKED;
    if (unread) {
        find(to, "blocks", "cannot be read");
        refuse(to, 503, "store_unavailable");
    } else if (preview || client) {
        find(to, "blocks", "%s blocked (`boxedge block list`)",
             preview ? "the box or this port of it is" : "the client's network is");
        refuse(to, 403, "blocked");
    } else {
        find(to, "blocks", "none applies%s", job->has_client ? "" : "; networks of clients are not compared");
    }
    return unread || preview || client;
}

static void explain_absence(const explain_job_t *job, explanation_t *to)
{
    refuse(to, 404, "preview_not_found");
    if (job->is_being_deleted) {
        find(to, "preview", "none: the deletion of its box was asked for, and the API has not refused it");
    } else if (job->is_kept) {
        find(to, "preview", "none: it has expired, and is about to be deleted");
    } else if (job->other_count == 0) {
        find(to, "preview", "none of box %s: `boxedge preview create %s %u` makes one", job->name.id,
             job->name.id, job->name.port);
    } else {
        char ports[OTHERS_MAX * 8] = "";
        for (size_t i = 0, n = 0; i < job->other_count; i++)
            n += (size_t)snprintf(ports + n, sizeof(ports) - n, "%s%u", i == 0 ? "" : ", ", job->others[i]);
        find(to, "preview", "none of port %u; box %s has previews of %s%s", job->name.port, job->name.id,
             ports, job->other_count == OTHERS_MAX ? " and perhaps more" : "");
    }
}

static const char *access_text(const store_preview_t *preview)
{
    if (preview->bearer && preview->basic)
        return "a bearer token, or user and password";
    if (preview->bearer)
        return "a bearer token";
    return preview->basic ? "user and password" : NULL;
}

static const char *host_text(const exchange_t *ex, const store_preview_t *preview, const store_box_t *box)
{
    host_header_t mode = store_host_header(preview, box->provider);
    bool tries = mode == HOST_HEADER_AUTO;
    switch (tries ? admin_host_header_found(ex, preview, box) : mode) {
    case HOST_HEADER_LOCALHOST:
        return tries ? ", with localhost as its host, which its app asked for (auto)"
                     : ", with localhost as its host";
    case HOST_HEADER_LOCALHOST_BARE:
        return tries ? ", with localhost as its host and no field that names the public one, which its app "
                       "asked "
                       "for (auto)"
                     : ", with localhost as its host and no field that names the public one";
    case HOST_HEADER_DEFAULT:
    case HOST_HEADER_PUBLIC:
    case HOST_HEADER_AUTO:
        break;
    }
    if (!tries)
        return "";
    return store_tries_hosts(preview, box->provider)
               ? ", with localhost as its host if its app refuses the public one (auto)"
               : ", always with the public host, since it is public (auto)";
}

static void explain_preview(const exchange_t *ex, const explain_job_t *job, explanation_t *to)
{
    const store_preview_t *preview = &job->preview;
    const char *access = access_text(preview);
    find(to, "preview", "port %u of box %s, %s%s", preview->port, preview->id,
         preview->protocol == PREVIEW_H2C ? "HTTP/2 without TLS" : "HTTP/1.1",
         host_text(ex, preview, &job->box));
    if (access == NULL)
        find(to, "access", "public");
    else
        find(to, "access", "asks for %s; without, a request gets 401 unauthorized", access);
    json_object_set_new(to->body, "public", json_boolean(access == NULL));
}

static const char *box_state(const store_box_t *box, bool exists)
{
    if (!exists)
        return box->state == BOX_UNKNOWN ? "no provider knows it" : "gone";
    switch (box->state) {
    case BOX_RUNNING:
        return box->doubted ? "presumably running; its provider is asked first" : "running";
    case BOX_PAUSED:
        return "paused";
    case BOX_UNKNOWN:
        return "not known yet; the control plane is asked";
    case BOX_GONE:
        break;
    }
    return "gone";
}

static void explain_box(const exchange_t *ex, const explain_job_t *job, explanation_t *to)
{
    const conf_t *conf = ex->context->conf;
    const store_box_t *box = &job->box;
    uint16_t port = job->preview.port;
    bool exists = routes_box_exists(box, conf->control_plane.url[0] != '\0', job->now);
    if (box->state == BOX_UNKNOWN)
        find(to, "box", "%s", box_state(box, exists));
    else
        find(to, "box", "%s (%s)", box_state(box, exists), store_provider_name(box->provider));
    if (!exists) {
        refuse(to, 404, "preview_not_found");
        return;
    }
    if (box->state != BOX_UNKNOWN && !store_box_exposes(box, port)) {
        find(to, "port", "%u is none of the ports that the box declares", port);
        refuse(to, 502, "port_not_exposed");
        return;
    }
    bool fixed = box->provider == PROVIDER_STATIC && box->state == BOX_RUNNING;
    bool ready = fixed || store_box_ready(box, port, loop_now(ex->context->loop));
    json_object_set_new(to->body, "wakes", json_boolean(!ready));
    if (box->state == BOX_RUNNING) {
        char origin[ADDRESS_PORT_BYTES];
        (void)address_port_text(&box->address, box->fixed_port != 0 ? box->fixed_port : port, origin);
        json_object_set_new(to->body, "origin", json_string(origin));
    }
}

static void explain_host(const exchange_t *ex, const explain_job_t *job, explanation_t *to)
{
    const conf_t *conf = ex->context->conf;
    bool api = job->kind == HOSTNAME_FOREIGN && conf_is_api_host(conf, str_from(job->host));
    json_object_set_new(to->body, "kind",
                        json_string(job->kind != HOSTNAME_FOREIGN ? "preview"
                                    : api                         ? "api"
                                                                  : "other"));
    if (api) {
        find(to, "host", "a name of the API (`api.hosts`)");
        if (explain_blocks(job, to))
            return;
        find(to, "upstream", "%s; `boxedge upstream list` shows its servers", conf->api.upstream);
        json_object_set_new(to->body, "upstream", json_string(conf->api.upstream));
    } else if (job->kind == HOSTNAME_FOREIGN) {
        find(to, "host", "neither below %s nor in `api.hosts`", conf->preview_domain);
        refuse(to, 421, "wrong_host");
    } else if (job->kind == HOSTNAME_MALFORMED) {
        find(to, "host", "below %s, but not of the form BOX-PORT", conf->preview_domain);
        if (!explain_blocks(job, to))
            refuse(to, 404, "preview_not_found");
    } else {
        find(to, "host", "port %u of \"%s\" below %s", job->name.port, job->name.id, conf->preview_domain);
        if (explain_blocks(job, to))
            return;
        if (job->result == ROUTES_FOUND) {
            explain_preview(ex, job, to);
            explain_box(ex, job, to);
        } else if (job->result == ROUTES_NO_PREVIEW) {
            explain_absence(job, to);
        } else {
            bool damaged = job->result == ROUTES_DAMAGED;
            find(to, "preview", "cannot be read: %s", job->base.why);
            refuse(to, 503, damaged ? "preview_damaged" : "store_unavailable");
        }
    }
}

static void explain_answer(exchange_t *ex, admin_job_t *base)
{
    const explain_job_t *job = (const explain_job_t *)base;
    explanation_t to = {.body = json_pack("{s:s}", "host", job->host), .findings = json_array()};
    assert(to.body != NULL && to.findings != NULL);
    explain_host(ex, job, &to);
    json_object_set_new(to.body, "findings", to.findings);
    admin_reply(ex, 200, to.body);
}

/* ---- the request ---- */

static bool take_address(str_t text, struct in6_addr *out)
{
    char copy[INET6_ADDRSTRLEN];
    if (text.n >= sizeof(copy))
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    return address_parse(copy, out);
}

/* A host and port as clients write them; all else cannot be a part of a request's authority. */
static bool take_host(str_t text, char out[HOST_MAX + 1])
{
    if (text.n == 0 || text.n > HOST_MAX)
        return false;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] <= ' ' || text.p[i] > '~')
            return false;
        out[i] = str_lower(text.p[i]);
    }
    out[text.n] = '\0';
    return true;
}

static bool take_parameter(void *arg, str_t name, str_t value)
{
    explain_job_t *job = arg;
    if (str_eq(name, STR("host")))
        return take_host(value, job->host);
    if (!str_eq(name, STR("client")))
        return false;
    job->has_client = take_address(value, &job->client);
    return job->has_client;
}

void admin_explain(exchange_t *ex, str_t body, void *arg)
{
    (void)body;
    (void)arg;
    explain_job_t *job = calloc(1, sizeof(*job));
    assert(job != NULL);
    if (!admin_each_parameter(ex->request.target, take_parameter, job) || job->host[0] == '\0') {
        free(job);
        admin_error(ex, 400, "bad_parameter", NULL,
                    "The query must be host=HOST, and optionally client=ADDRESS, an IPv4 or IPv6 address.");
        return;
    }
    snprintf(job->domain, sizeof(job->domain), "%s", ex->context->conf->preview_domain);
    job->epoch = shm_epoch(admin_of(ex)->shm);
    job->now = loop_wall_us(ex->context->loop) / 1000000;
    job->base.job.run = explain_run;
    job->base.answer = explain_answer;
    admin_job_start(ex, &job->base);
}
