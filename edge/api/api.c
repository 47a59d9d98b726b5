/*
 * The state of an exchange with the API. Its end and its server's answer affect limits, keys and the choice
 * of servers. The steps are in api_key.c, api_limit.c and api_pick.c.
 */
#include "api.h"

#include <assert.h>

#include "arena.h"
#include "client.h"
#include "limit_fields.h"
#include "worker.h"

/* Time for which the edge refuses a key that the upstream has refused. */
#define REFUSED_MS 5000
/* Maximum new keys of one client address that may become known in one burst after a rest. */
#define NEW_KEYS_BURST 1000000

static origin_tls_t *acquire_tls(origin_tls_t *tls)
{
    return tls != NULL ? origin_tls_acquire(tls) : NULL;
}

api_t *api_new(exchange_t *ex)
{
    assert(ex->api == NULL);
    api_t *api = arena_alloc(&ex->arena, sizeof(*api));
    conf_t *conf = conf_acquire(ex->context->conf);
    assert(conf->api.upstream_index < conf->upstream_count);
    *api = (api_t){.conf = conf,
                   .upstream = &conf->upstreams[conf->api.upstream_index],
                   .upstream_index = (unsigned)conf->api.upstream_index,
                   .origin_tls = acquire_tls(worker_of(ex->context)->origin_tls),
                   .outcome = BALANCE_LEFT};
    ex->api = api;
    return api;
}

void api_inherit(exchange_t *ex, const api_t *from)
{
    api_t *api = arena_alloc(&ex->arena, sizeof(*api));
    *api = (api_t){.conf = conf_acquire(from->conf),
                   .upstream = from->upstream,
                   .upstream_index = from->upstream_index,
                   .origin_tls = acquire_tls(from->origin_tls),
                   .key_state = from->key_state,
                   .key = from->key,
                   .outcome = BALANCE_LEFT};
    ex->api = api;
}

/* Whether a server in trouble sends this status. Other 5xx concern the request. */
static bool is_failure(int status)
{
    return status == 500 || status == 502 || status == 503 || status == 504;
}

/*
 * Whether the upstream has checked the key and accepted it. Redirects, 404 and other refusals may come before
 * the check. The same holds for an answer to OPTIONS, which browsers send without a key, and for any answer
 * of a route without keys.
 */
static bool proves_key(const exchange_t *ex)
{
    return ex->response.status < 300 && !str_ieq(ex->request.method, STR("OPTIONS")) &&
           conf_proves_key(ex->api->conf, ex->request.method, api_path_without_query(ex->request.target));
}

/* One client address makes a bounded number of new keys known, each of which has its own plan. */
static bool may_prove_more(const exchange_t *ex, uint64_t now_ns)
{
    const conf_t *conf = ex->api->conf;
    limit_t *limit = shm_limit(ex->context->shm);
    conf_plan_t rate = {.rate_count = conf->api.new_keys_count,
                        .rate_period_ms = conf->api.new_keys_period_ms,
                        .burst =
                            (uint32_t)(conf->api.new_keys_count < NEW_KEYS_BURST ? conf->api.new_keys_count
                                                                                 : NEW_KEYS_BURST)};
    if (rate.rate_count == 0 || limit_has(limit, &ex->api->key))
        return true;
    limit_plan_t plan = api_limit_plan(&rate);
    limit_id_t client = api_client_id(ex, "new keys of");
    limit_state_t state;
    limit_ticket_t ticket = {0};
    limit_result_t result = limit_take(limit, ex->context->index, &client, &plan, 1, now_ns, &state, &ticket);
    limit_release(limit, ex->context->index, &ticket);
    return result == LIMIT_ADMITTED;
}

/* Learns from the upstream's answer about a key without an earlier acceptance: 401 refuses it. */
static void learn_key(exchange_t *ex)
{
    api_t *api = ex->api;
    limit_t *limit = shm_limit(ex->context->shm);
    uint64_t now_ns = loop_precise_us() * 1000;
    if (api->key_state != API_KEY_UNPROVEN)
        return;
    if (ex->response.status == 401)
        limit_refuse(limit, &api->key, now_ns, REFUSED_MS);
    else if (proves_key(ex) && api->conf->api.default_limits != NULL && may_prove_more(ex, now_ns))
        limit_accept(limit, &api->key, now_ns);
}

static void answered(exchange_t *ex)
{
    api_t *api = ex->api;
    api->outcome = is_failure(ex->response.status) ? BALANCE_FAILED : BALANCE_SUCCEEDED;
    api->latency_us = (uint32_t)(loop_precise_us() - api->picked_us);
    learn_key(ex);
    api_deletion_answered(ex);
}

/* Whether the server cannot have seen anything of the request. */
static bool is_before_writing(origin_failure_t failure)
{
    switch (failure) {
    case ORIGIN_UNREACHABLE:
    case ORIGIN_NOT_LISTENING:
    case ORIGIN_ON_LOOPBACK:
    case ORIGIN_CONNECT_TIMEOUT:
    case ORIGIN_TLS_FAILED:
    case ORIGIN_IS_EDGE:
    case ORIGIN_NO_DESCRIPTOR:
    case ORIGIN_REFUSED:
    case ORIGIN_NO_WEBSOCKET:
        return true;
    case ORIGIN_CLOSED:
    case ORIGIN_CUT:
    case ORIGIN_BAD_RESPONSE:
    case ORIGIN_OVER_LIMIT:
    case ORIGIN_IS_HTTP2:
    case ORIGIN_NOT_HTTP2:
    case ORIGIN_TIMEOUT:
    case ORIGIN_STALLED:
    case ORIGIN_FAILURES:
        break;
    }
    return false;
}

void api_failed(exchange_t *ex, origin_failure_t failure)
{
    if (ex->api == NULL)
        return;
    ex->api->unwritten = is_before_writing(failure);
    ex->api->outcome = failure != ORIGIN_NO_DESCRIPTOR ? BALANCE_FAILED : BALANCE_LEFT;
}

static bool is_limit_field(str_t name)
{
    static const str_t prefixes[] = {{"ratelimit", 9}, {"x-ratelimit-", 12}};
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (name.n >= prefixes[i].n && str_ieq(str_make(name.p, prefixes[i].n), prefixes[i]))
            return true;
    return false;
}

static bool keep_without_limits(field_t *field, void *arg)
{
    (void)arg;
    return field->id != FIELD_OTHER || !is_limit_field(field->name);
}

static void add(exchange_t *ex, fields_t *fields, str_t name, const char *value)
{
    fields_add(&ex->arena, fields, FIELD_OTHER, name, str_from(value));
}

void api_local_head(exchange_t *ex)
{
    const api_t *api = ex->api;
    fields_t *fields = &ex->response.fields;
    if (api == NULL)
        return;
    api_cors_add(ex, fields);
    if (api->plan == NULL || api->conf->api.limits != CONF_LIMITS_ENFORCE)
        return;
    limit_plan_t plan = api_limit_plan(api->plan);
    limit_fields_t *text = arena_alloc(&ex->arena, sizeof(*text));
    if (!limit_fields_write(text, str_from(api->plan->name), &plan, &api->limits))
        return;
    fields_filter(fields, keep_without_limits, NULL); /* the upstream's own fields describe another limit */
    add(ex, fields, STR("ratelimit-policy"), text->policy);
    add(ex, fields, STR("ratelimit"), text->limit);
    add(ex, fields, STR("x-ratelimit-limit"), text->x_limit);
    add(ex, fields, STR("x-ratelimit-remaining"), text->x_remaining);
    add(ex, fields, STR("x-ratelimit-reset"), text->x_reset);
}

void api_response_head(exchange_t *ex)
{
    if (ex->api == NULL)
        return;
    answered(ex);
    api_local_head(ex);
}

void api_release_server(exchange_t *ex)
{
    api_t *api = ex->api;
    worker_t *worker = worker_of(ex->context);
    if (!api->pick.held)
        return;
    if (balance_done(shm_balance(worker->context.shm), worker->context.index, api->upstream_index,
                     api->upstream, &api->pick, api->outcome, api->latency_us,
                     loop_now(worker->context.loop)))
        upstream_queue_freed(worker->upstream_queue, api->upstream_index);
    api->outcome = BALANCE_LEFT;
    api->latency_us = 0;
}

void api_end(exchange_t *ex)
{
    api_t *api = ex->api;
    if (api == NULL)
        return;
    assert(api->waiter.ex == NULL);
    api_release_server(ex);
    limit_release(shm_limit(ex->context->shm), ex->context->index, &api->ticket);
    conf_release(&api->conf);
    origin_tls_release(&api->origin_tls);
    ex->api = NULL;
}
