/*
 * The rules for requests that may wake a box (docs/internals/wake.md, "Requests that wake nothing"): a client
 * must wait for the answer.
 */
#include <assert.h>

#include "access.h"
#include "arena.h"
#include "client.h"
#include "exchange_browser.h"
#include "step.h"
#include "wake.h"
#include "wake_reply.h"
#include "wake_tabs.h"
#include "worker.h"

/* Retry-After of a client over its rate, in seconds. */
#define RATE_RETRY_S 10
/* In seconds: a sleeping box does not change by itself. */
#define ASLEEP_RETRY_S 60

static bool contains_word(str_t value, str_t word)
{
    for (size_t i = 0; i + word.n <= value.n; i++)
        if (str_ieq(str_make(value.p + i, word.n), word))
            return true;
    return false;
}

/* Whether a browser or crawler sends the request on its own. */
static bool is_automatic(const exchange_t *ex)
{
    str_t target = ex->request.target;
    const char *query = memchr(target.p, '?', target.n);
    str_t path = query != NULL ? str_make(target.p, (size_t)(query - target.p)) : target;
    return str_eq(path, STR("/favicon.ico")) || str_eq(path, STR("/robots.txt")) ||
           contains_word(exchange_purpose(ex), STR("prefetch"));
}

/* Whether a browser asks before another request. Only that request counts. */
static bool is_preflight(const exchange_t *ex)
{
    if (!str_eq(ex->request.method, STR("OPTIONS")))
        return false;
    browser_request_t browser = exchange_browser(ex);
    return browser_is_preflight(&browser);
}

bool wake_is_wished(const exchange_t *ex)
{
    return !is_automatic(ex) && !is_preflight(ex) &&
           !str_eq(str_trim(fields_value_named(&ex->request.fields, STR("x-box-no-wake"))), STR("1"));
}

/*
 * Not 404: a crawler that finds no robots.txt may fetch everything, and its next request would wake the box.
 * After a 5xx it stays away (RFC 9309 sections 2.3.1.3 and 2.3.1.4). Browsers take a 404 for a missing
 * favicon, and ask again after a 503.
 */
static void reply_asleep(exchange_t *ex)
{
    exchange_reply_error(ex, 503, "box_asleep", "The box is asleep, and this request does not wake it.",
                         ASLEEP_RETRY_S);
}

/*
 * Answers for a box that sleeps. The edge does not know the box's rules, so it allows everything, uncached;
 * the request itself wakes the box, whose answer decides. Only origins on the preview's list may send
 * credentials.
 */
static void reply_preflight(exchange_t *ex)
{
    const fields_t *fields = &ex->request.fields;
    str_t headers = fields_value_named(&ex->request.fields, STR("access-control-request-headers"));
    fields_t answer = {0};
    arena_t *arena = &ex->arena;
    exchange_add_own_fields(ex, &answer);
    fields_add(arena, &answer, FIELD_OTHER, STR("access-control-allow-methods"),
               fields_value(fields, FIELD_ACCESS_CONTROL_REQUEST_METHOD));
    if (headers.n != 0)
        fields_add(arena, &answer, FIELD_OTHER, STR("access-control-allow-headers"), headers);
    fields_add(arena, &answer, FIELD_OTHER, STR("access-control-max-age"), STR("0"));
    fields_add(arena, &answer, FIELD_VARY, STR("vary"),
               STR("Access-Control-Request-Method, Access-Control-Request-Headers"));
    ex->local_code = "preflight_asleep";
    exchange_reply(ex, 204, str_make(NULL, 0), &answer, str_make(NULL, 0));
}

bool wake_rules_pass(exchange_t *ex)
{
    wake_client_t *wakes = worker_of(ex->context)->wake_client;
    browser_request_t browser = exchange_browser(ex);
    if (browser_is_preflight(&browser)) {
        /* The access step has counted preflights of private previews. */
        bool is_protected = ex->preview->bearer || ex->preview->basic;
        if (is_protected || access_take_preflight(ex))
            reply_preflight(ex);
        return false;
    }
    if (!wake_is_wished(ex)) {
        reply_asleep(ex);
        return false;
    }
    /* A doubted box may be running: a check of it is no wake by the client. */
    bool goes_on = ex->box.doubted || wake_goes_on(wakes, str_from(ex->preview->id), ex->preview->port);
    if (!wake_tabs_allow(ex, goes_on)) {
        wake_reply_forgotten(ex);
        return false;
    }
    if (goes_on || wake_client_rate_allows(wakes, remote_address(ex)))
        return true;
    exchange_reply_error(ex, 429, "wake_rate",
                         "This address wakes too many boxes; try again in a few seconds.", RATE_RETRY_S);
    return false;
}
