#include "exchange_browser.h"

#include "arena.h"

browser_request_t exchange_browser(const exchange_t *ex)
{
    const fields_t *fields = &ex->request.fields;
    return (browser_request_t){
        .method = ex->request.method,
        .origin = fields_value(fields, FIELD_ORIGIN),
        .sec_fetch_mode = fields_value(fields, FIELD_SEC_FETCH_MODE),
        .sec_fetch_dest = fields_value(fields, FIELD_SEC_FETCH_DEST),
        .sec_fetch_site = fields_value(fields, FIELD_SEC_FETCH_SITE),
        .accept = fields_value(fields, FIELD_ACCEPT),
        .x_requested_with = fields_value(fields, FIELD_X_REQUESTED_WITH),
        .access_control_request_method = fields_value(fields, FIELD_ACCESS_CONTROL_REQUEST_METHOD),
        .has_body = ex->request.has_body,
        .upgrade = ex->request.websocket,
    };
}

str_t exchange_own_origin(exchange_t *ex)
{
    str_t authority = ex->request.authority;
    if (authority.n > 4 && memcmp(authority.p + authority.n - 4, ":443", 4) == 0)
        authority.n -= 4;
    return str_format(&ex->arena, "https://%.*s", STR_ARG(authority));
}

str_t exchange_purpose(const exchange_t *ex)
{
    str_t purpose = fields_value_named(&ex->request.fields, STR("sec-purpose"));
    return purpose.n != 0 ? purpose : fields_value_named(&ex->request.fields, STR("purpose"));
}
