#include "demo_app.h"

#include <assert.h>

#include <jansson.h>

#include "address.h"
#include "arena.h"
#include "client.h"
#include "demo_internal.h"

str_t demo_client(exchange_t *ex)
{
    const field_t *forwarded = fields_find(&ex->request.fields, FIELD_X_FORWARDED_FOR);
    if (forwarded != NULL)
        return forwarded->value;
    char *text = arena_alloc(&ex->arena, INET6_ADDRSTRLEN);
    return address_text(remote_address(ex), text);
}

/* ---- small answers ---- */

static void reply_text(exchange_t *ex, int status, str_t text)
{
    fields_t fields = {0};
    fields_add(&ex->arena, &fields, FIELD_OTHER, STR("cache-control"), STR("no-store"));
    exchange_reply(ex, status, STR("text/plain; charset=utf-8"), &fields, text);
}

static void reply_method(exchange_t *ex, const char *allow)
{
    fields_t fields = {0};
    fields_add(&ex->arena, &fields, FIELD_OTHER, STR("allow"), str_from(allow));
    exchange_reply(ex, 405, STR("text/plain; charset=utf-8"), &fields,
                   STR("This address takes other methods.\n"));
}

/* Text of the request as JSON; '?' replaces non-ASCII bytes if it is not UTF-8. */
static json_t *text_json(str_t s)
{
    json_t *json = json_stringn(s.n != 0 ? s.p : "", s.n);
    if (json != NULL)
        return json;
    char *copy = malloc(s.n + 1);
    assert(copy != NULL);
    for (size_t i = 0; i < s.n; i++)
        copy[i] = (unsigned char)s.p[i] < 0x80 ? s.p[i] : '?';
    json = json_stringn(copy, s.n);
    free(copy);
    return json;
}

static void reply_headers(exchange_t *ex)
{
    const request_t *request = &ex->request;
    json_t *headers = json_array();
    json_array_append_new(headers, json_pack("[s,o]", "Host", text_json(request->authority)));
    for (uint32_t i = 0; i < request->fields.count; i++) {
        const field_t *field = &request->fields.at[i];
        json_array_append_new(headers, json_pack("[o,o]", text_json(field->name), text_json(field->value)));
    }
    json_t *body = json_pack("{s:o,s:o,s:s,s:o,s:o}", "method", text_json(request->method), "path",
                             text_json(request->target), "http", request->version == HTTP_1_0 ? "1.0" : "1.1",
                             "client", text_json(demo_client(ex)), "headers", headers);
    assert(body != NULL);
    char *text = json_dumps(body, JSON_INDENT(2));
    assert(text != NULL);
    json_decref(body);
    str_t copy = str_dup(&ex->arena, str_from(text));
    free(text);
    fields_t fields = {0};
    fields_add(&ex->arena, &fields, FIELD_OTHER, STR("cache-control"), STR("no-store"));
    exchange_reply(ex, 200, STR("application/json"), &fields, copy);
}

static void reply_status(exchange_t *ex, str_t code)
{
    uint64_t status;
    if (!str_to_uint(code, 599, &status) || status < 200) {
        reply_text(ex, 400, STR("/status/CODE takes 200 to 599.\n"));
        return;
    }
    bool bodyless = status == 204 || status == 205 || status == 304;
    reply_text(ex, (int)status, bodyless ? STR("") : str_format(&ex->arena, "Status %d.\n", (int)status));
}

/* ---- addresses ---- */

/* The value of a query parameter; empty for a flag. False: the parameter is absent. */
static bool query_value(str_t query, str_t name, str_t *value)
{
    while (query.n != 0) {
        const char *end = memchr(query.p, '&', query.n);
        str_t pair = str_make(query.p, end != NULL ? (size_t)(end - query.p) : query.n);
        query = str_from_offset(query, end != NULL ? pair.n + 1 : pair.n);
        if (!str_starts(pair, name) || (pair.n > name.n && pair.p[name.n] != '='))
            continue;
        *value = str_from_offset(pair, pair.n > name.n ? name.n + 1 : name.n);
        return true;
    }
    return false;
}

static void route_bytes(exchange_t *ex, str_t query)
{
    str_t value;
    uint64_t count;
    if (!query_value(query, STR("n"), &value) || !str_to_uint(value, UINT64_MAX / 2, &count)) {
        reply_text(ex, 400, STR("/bytes?n=N takes a number of bytes.\n"));
        return;
    }
    demo_bytes(ex, count, query_value(query, STR("chunked"), &value));
}

static void route_slow(exchange_t *ex, str_t query)
{
    str_t value;
    uint64_t ms;
    if (!query_value(query, STR("ms"), &value) || !str_to_uint(value, DEMO_SLOW_MAX_MS, &ms)) {
        reply_text(ex, 400, STR("/slow?ms=N takes 0 to 60000 milliseconds.\n"));
        return;
    }
    demo_slow(ex, (uint32_t)ms);
}

static void route_upload(exchange_t *ex)
{
    str_t method = ex->request.method;
    if (str_eq(method, STR("POST")) || str_eq(method, STR("PUT")))
        demo_upload(ex);
    else
        reply_method(ex, "POST, PUT");
}

static void route_echo(exchange_t *ex)
{
    if (ex->request.websocket) {
        demo_echo(ex);
        return;
    }
    fields_t fields = {0};
    fields_add(&ex->arena, &fields, FIELD_UPGRADE, STR("upgrade"), STR("websocket"));
    exchange_reply(ex, 426, STR("text/plain; charset=utf-8"), &fields,
                   STR("This address speaks WebSocket.\n"));
}

/* The read-only addresses. */
static void route_get(exchange_t *ex, str_t path, str_t query)
{
    if (str_eq(path, STR("/")))
        demo_page(ex);
    else if (str_eq(path, STR("/events")))
        demo_events(ex);
    else if (str_eq(path, STR("/bytes")))
        route_bytes(ex, query);
    else if (str_eq(path, STR("/slow")))
        route_slow(ex, query);
    else
        reply_text(ex, 404, STR("The demo app has no such address.\n"));
}

static step_result_t step_demo(exchange_t *ex)
{
    str_t path = ex->request.target;
    str_t query = str_make(NULL, 0);
    const char *mark = memchr(path.p, '?', path.n);
    if (mark != NULL) {
        path.n = (size_t)(mark - path.p);
        query = str_from_offset(ex->request.target, path.n + 1);
    }
    bool get = str_eq(ex->request.method, STR("GET")) || str_eq(ex->request.method, STR("HEAD"));
    if (str_eq(path, STR("/upload")))
        route_upload(ex);
    else if (str_eq(path, STR("/echo")))
        route_echo(ex);
    else if (str_starts(path, STR("/status/")))
        reply_status(ex, str_from_offset(path, STR("/status/").n));
    else if (str_eq(path, STR("/headers")))
        reply_headers(ex);
    else if (get)
        route_get(ex, path, query);
    else
        reply_method(ex, "GET, HEAD");
    return STEP_DONE;
}

const exchange_step_t demo_app_steps[] = {
    {"demo", step_demo},
    {NULL, NULL},
};
