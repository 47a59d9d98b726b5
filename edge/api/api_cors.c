/*
 * Calls of web pages (Fetch standard, CORS protocol). A preflight shows no key by design: it passes on the
 * plan of the client's address. For origins in api.cors the edge answers preflights, and allows pages to read
 * the API's responses. Other origins are the upstream's matter.
 */
#include "api.h"
#include "exchange_browser.h"

#include "access.h"
#include "browser.h"
#include "step.h"

/* Seconds for which a browser may keep the answer to a preflight. */
#define MAX_AGE "600"

bool api_is_preflight(const exchange_t *ex)
{
    browser_request_t browser = exchange_browser(ex);
    return browser_is_preflight(&browser);
}

static void add(exchange_t *ex, fields_t *fields, str_t name, str_t value)
{
    fields_add(&ex->arena, fields, FIELD_OTHER, name, value);
}

bool api_cors_answers(exchange_t *ex)
{
    const fields_t *request_fields = &ex->request.fields;
    str_t origin = fields_value(request_fields, FIELD_ORIGIN);
    str_t headers = fields_value_named(request_fields, STR("access-control-request-headers"));
    fields_t fields = {0};
    if (!conf_allows_origin(ex->api->conf, origin))
        return false;
    exchange_add_own_fields(ex, &fields);
    add(ex, &fields, STR("access-control-allow-methods"),
        fields_value(request_fields, FIELD_ACCESS_CONTROL_REQUEST_METHOD));
    if (headers.n != 0)
        add(ex, &fields, STR("access-control-allow-headers"), headers);
    add(ex, &fields, STR("access-control-max-age"), STR(MAX_AGE));
    fields_add(&ex->arena, &fields, FIELD_VARY, STR("vary"),
               STR("Access-Control-Request-Method, Access-Control-Request-Headers"));
    ex->local_code = "preflight";
    exchange_reply(ex, 204, str_make(NULL, 0), &fields, str_make(NULL, 0));
    return true;
}

void api_cors_add(exchange_t *ex, fields_t *fields)
{
    str_t origin = fields_value(&ex->request.fields, FIELD_ORIGIN);
    if (origin.n == 0 || !conf_allows_origin(ex->api->conf, origin) ||
        fields_value_named(fields, STR("access-control-allow-origin")).n != 0)
        return;
    add(ex, fields, STR("access-control-allow-origin"), origin);
    add(ex, fields, STR("access-control-expose-headers"), STR(EXPOSED_FIELDS));
    fields_add(&ex->arena, fields, FIELD_VARY, STR("vary"), STR("Origin"));
}
