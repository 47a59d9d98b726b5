/*
 * The limit step: takes the request's cost from the bucket of its key or client address, then refuses a
 * request without a valid key. Nothing of the body was taken before.
 */
#include "address.h"
#include "api.h"

#include <assert.h>
#include <stdio.h>

#include "client.h"
#include "limit_fields.h"
#include "sha256.h"
#include "worker.h"

limit_id_t api_client_id(const exchange_t *ex, const char *what)
{
    char text[32] = "";
    const struct in6_addr *address = remote_address(ex);
    limit_id_t id;
    int n = snprintf(text, 16, "%s ", what);
    assert(n > 0 && n < 16);
    memcpy(text + 16, address->s6_addr, address_owner_bytes(address));
    sha256(str_make(text, sizeof(text)), id.sha256);
    return id;
}

limit_plan_t api_limit_plan(const conf_plan_t *conf)
{
    limit_plan_t plan = {.burst = conf->burst, .in_flight = conf->in_flight};
    if (conf->rate_count != 0)
        plan.interval_ns = (conf->rate_period_ms * 1000000 + conf->rate_count - 1) / conf->rate_count;
    return plan;
}

static const char *too_many(const api_t *api)
{
    switch (api->limited) {
    case LIMIT_COST:
        return "This request costs more than your plan allows at once.";
    case LIMIT_IN_FLIGHT:
        return "Too many requests with this key are in progress at a time: try again when one has ended.";
    default:
        return api->plan_of_client
                   ? "Too many requests from your address without a known key: try again "
                     "after the time in Retry-After."
                   : "Too many requests with this key: try again after the time in Retry-After.";
    }
}

/* The counters of the exchange's plan; NULL: a reload took the plan away. */
static measure_cell_t *cell_of(const worker_t *worker, const api_t *api)
{
    measure_cell_t *cells = worker->context.counters->measures.plans;
    unsigned cell = api->conf == worker->context.conf ? worker->plan_cells[api->plan - api->conf->plans]
                                                      : measure_find(cells, MEASURE_PLANS, api->plan->id);
    return cell < MEASURE_PLANS ? &cells[cell] : NULL;
}

static void measure_plan(const worker_t *worker, const api_t *api, unsigned what)
{
    measure_cell_t *cell = cell_of(worker, api);
    if (cell != NULL)
        counter_add(&cell->counts[what], 1);
}

void api_limit_name_plans(worker_t *worker)
{
    const conf_t *conf = worker->context.conf;
    measure_cell_t *cells = worker->context.counters->measures.plans;
    uint64_t ids[MEASURE_PLANS];
    assert(conf->plan_count <= MEASURE_PLANS);
    for (size_t i = 0; i < conf->plan_count; i++)
        ids[i] = conf->plans[i].id;
    measure_assign(cells, MEASURE_PLANS, ids, (unsigned)conf->plan_count);
    for (size_t i = 0; i < conf->plan_count; i++)
        worker->plan_cells[i] = (uint8_t)measure_find(cells, MEASURE_PLANS, ids[i]);
}

/* Takes the cost. False: answered. */
static bool take(exchange_t *ex, api_t *api)
{
    worker_t *worker = worker_of(ex->context);
    limit_id_t id = api->plan_of_client ? api_client_id(ex, "client address") : api->key;
    limit_plan_t plan = api_limit_plan(api->plan);
    uint32_t cost = conf_cost_of(api->conf, ex->request.method, api_path_without_query(ex->request.target));
    api->limited = limit_take(shm_limit(worker->context.shm), worker->context.index, &id, &plan, cost,
                              loop_precise_us() * 1000, &api->limits, &api->ticket);
    measure_plan(worker, api, MEASURE_PLAN_REQUESTS);
    if (api->limited == LIMIT_ADMITTED)
        return true;
    if (api->conf->api.limits == CONF_LIMITS_SHADOW) {
        measure_plan(worker, api, MEASURE_PLAN_SHADOWED);
        counter_add(&worker->context.counters->limited_shadow_total, 1);
        return true;
    }
    counter_add(&worker->context.counters->limited_total, 1);
    measure_plan(worker, api, MEASURE_PLAN_REFUSED);
    exchange_reply_error(ex, 429, "rate_limited", too_many(api), limit_retry_after(&api->limits));
    return false;
}

static void refuse_key(exchange_t *ex, const api_t *api)
{
    fields_t fields = {0};
    const char *code = "key_required", *sentence = "Send your API key in the field X-Box-Api-Key, or as "
                                                   "Authorization: Bearer.";
    fields_add(&ex->arena, &fields, FIELD_OTHER, STR("www-authenticate"), STR("Bearer realm=\"box api\""));
    if (api->key_state == API_KEY_BAD) {
        code = "key_malformed";
        sentence = "The API key is malformed: send it once, in visible ASCII characters without quotes, "
                   "commas, semicolons, backslashes and brackets.";
    } else if (api->key_state == API_KEY_REVOKED) {
        code = "key_revoked";
        sentence = "This API key was revoked.";
    } else if (api->key_state == API_KEY_REFUSED) {
        code = "key_refused";
        sentence = "This API key is not valid.";
    }
    exchange_reply_error_with(ex, 401, code, sentence, &fields);
}

step_result_t step_api_limit(exchange_t *ex)
{
    api_t *api = ex->api;
    if (api->plan != NULL && api->conf->api.limits != CONF_LIMITS_OFF && !take(ex, api))
        return STEP_DONE;
    switch (api->key_state) {
    case API_KEY_KNOWN:
    case API_KEY_ACCEPTED:
    case API_KEY_UNPROVEN:
        return STEP_NEXT;
    case API_KEY_NEEDLESS:
        return api->preflight && api_cors_answers(ex) ? STEP_DONE : STEP_NEXT;
    case API_KEY_NONE:
    case API_KEY_BAD:
    case API_KEY_REFUSED:
    case API_KEY_REVOKED:
        break;
    }
    refuse_key(ex, api);
    return STEP_DONE;
}
