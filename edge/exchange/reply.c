/*
 * Answers of the edge itself: complete bodies, and errors in the form that the client reads (docs/http.md,
 * "Errors").
 */
#include <assert.h>

#include <jansson.h>

#include "address.h"
#include "arena.h"
#include "cause.h"
#include "client.h"
#include "context.h"
#include "exchange.h"
#include "exchange_browser.h"
#include "failure_page.h"
#include "grpc.h"
#include "pages.h"
#include "pipeline.h"
#include "step.h"
#include "wake_page.h"

/* Length of a script's nonce. */
#define NONCE_DIGITS 32

void exchange_reply_more(exchange_t *ex)
{
    size_t room = ex->client_ops->room(ex);
    while (room != 0 && ex->reply_rest.n != 0) {
        size_t n = ex->reply_rest.n < room ? ex->reply_rest.n : room;
        ex->response_bytes += n;
        ex->client_ops->send_body(ex, str_make(ex->reply_rest.p, n));
        ex->reply_rest = str_from_offset(ex->reply_rest, n);
        room = ex->client_ops->room(ex);
    }
    if (ex->reply_rest.n == 0)
        exchange_answered(ex);
    ex->client_ops->flush(ex);
}

void exchange_reply(exchange_t *ex, int status, str_t content_type, const fields_t *fields, str_t body)
{
    assert(ex->state < EXCHANGE_RESPONSE);
    bool head = str_eq(ex->request.method, STR("HEAD"));
    bool no_content = status == 204 || status == 304;
    assert(!no_content || body.n == 0);
    ex->response = (response_t){.status = status,
                                .content_length = no_content ? LENGTH_UNKNOWN : body.n,
                                .bodyless = head || no_content || body.n == 0};
    if (content_type.n != 0)
        fields_add(&ex->arena, &ex->response.fields, FIELD_CONTENT_TYPE, STR("content-type"), content_type);
    for (uint32_t i = 0; fields != NULL && i < fields->count; i++)
        fields_add(&ex->arena, &ex->response.fields, fields->at[i].id, fields->at[i].name,
                   fields->at[i].value);
    exchange_answer(ex);
    ex->reply_rest = ex->response.bodyless ? str_make(NULL, 0) : body;
    exchange_reply_more(ex);
}

static str_t error_json(exchange_t *ex, const char *code, const char *sentence)
{
    json_t *json = json_pack("{s:s,s:s,s:s*,s:s}", "error", sentence, "code", code, "detail", ex->detail,
                             "request_id", ex->request_id);
    assert(json != NULL); /* sentences and codes are the edge's own: valid UTF-8 */
    char *text = json_dumps(json, JSON_COMPACT);
    assert(text != NULL);
    str_t body = str_format(&ex->arena, "%s\n", text);
    free(text);
    json_decref(json);
    return body;
}

/* Any script may read an answer without credentials; with credentials, only scripts of listed origins. */
static bool credentials_allowed(exchange_t *ex, str_t origin)
{
    bool (*lists_origin)(exchange_t *, str_t) = ex->context->pipeline->hooks.lists_origin;
    return lists_origin != NULL && lists_origin(ex, origin);
}

/* Lets scripts of other origins read the answer and its Retry-After (Fetch standard, CORS). */
static void add_cors(exchange_t *ex, fields_t *fields)
{
    str_t origin = fields_value(&ex->request.fields, FIELD_ORIGIN);
    if (origin.n == 0)
        return;
    fields_add(&ex->arena, fields, FIELD_OTHER, STR("access-control-allow-origin"), origin);
    if (credentials_allowed(ex, origin))
        fields_add(&ex->arena, fields, FIELD_OTHER, STR("access-control-allow-credentials"), STR("true"));
    fields_add(&ex->arena, fields, FIELD_OTHER, STR("access-control-expose-headers"), STR(EXPOSED_FIELDS));
    fields_add(&ex->arena, fields, FIELD_VARY, STR("vary"), STR("Origin"));
}

void exchange_add_own_fields(exchange_t *ex, fields_t *fields)
{
    fields_add(&ex->arena, fields, FIELD_OTHER, STR("cache-control"), STR("no-store"));
    fields_add(&ex->arena, fields, FIELD_X_REQUEST_ID, STR("x-request-id"), str_from(ex->request_id));
    add_cors(ex, fields);
}

/* The page for a person; adds the policy that it needs. */
static str_t error_page(exchange_t *ex, int status, const char *code, const char *sentence, fields_t *fields)
{
    page_error_t about = {.status = status,
                          .code = code,
                          .sentence = sentence,
                          .detail = ex->detail,
                          .request_id = str_from(ex->request_id),
                          .host = ex->request.authority};
    bool of_box = ex->routed && status >= 500 && failure_page_knows(code);
    if (!of_box) {
        fields_add(&ex->arena, fields, FIELD_OTHER, STR("content-security-policy"), STR(PAGES_CSP));
        return page_error(&ex->arena, &about);
    }
    char *nonce = arena_alloc(&ex->arena, NONCE_DIGITS);
    random_hex(ex->context->random, nonce, NONCE_DIGITS);
    failure_page_t page = {.error = about,
                           .code = code,
                           .box = ex->preview->id,
                           .port = ex->preview->port,
                           .provider = ex->box.provider,
                           .on_loopback = address_is_loopback(&ex->box.address),
                           .nonce = str_make(nonce, NONCE_DIGITS)};
    fields_add(&ex->arena, fields, FIELD_OTHER, STR("content-security-policy"),
               wake_page_policy(&ex->arena, page.nonce));
    return failure_page(&ex->arena, &page);
}

void exchange_reply_page(exchange_t *ex, int status, const char *code, const fields_t *extra, str_t html)
{
    fields_t fields = {0};
    ex->local_code = code;
    exchange_add_own_fields(ex, &fields);
    for (uint32_t i = 0; i < extra->count; i++)
        fields_add(&ex->arena, &fields, extra->at[i].id, extra->at[i].name, extra->at[i].value);
    exchange_reply(ex, status, STR("text/html; charset=utf-8"), &fields, html);
}

void exchange_reply_error_with(exchange_t *ex, int status, const char *code, const char *sentence,
                               const fields_t *extra)
{
    ex->local_code = code;
    cause_of_answer(ex, status, sentence);
    if (ex->state >= EXCHANGE_RESPONSE) {
        exchange_cut(ex);
        return;
    }
    if (status == 400 && ex->detail == NULL) {
        fault_t fault = {.reason = str_dup(&ex->arena, str_make(sentence, strlen(sentence) + 1)).p};
        fault_report(ex, &fault, false);
    }
    fields_t fields = {0};
    exchange_add_own_fields(ex, &fields);
    for (uint32_t i = 0; i < extra->count; i++)
        fields_add(&ex->arena, &fields, extra->at[i].id, extra->at[i].name, extra->at[i].value);
    browser_request_t browser = exchange_browser(ex);
    if (grpc_is_request(&ex->request)) {
        grpc_add_status(&ex->arena, &fields, status, code, ex->detail != NULL ? ex->detail : sentence);
        exchange_reply(ex, 200, STR("application/grpc"), &fields, str_make(NULL, 0));
    } else if (browser_is_navigation(&browser)) {
        str_t page = error_page(ex, status, code, sentence, &fields);
        exchange_reply(ex, status, STR("text/html; charset=utf-8"), &fields, page);
    } else {
        exchange_reply(ex, status, STR("application/json"), &fields, error_json(ex, code, sentence));
    }
}

void exchange_reply_error(exchange_t *ex, int status, const char *code, const char *sentence,
                          unsigned retry_after)
{
    fields_t extra = {0};
    if (retry_after != 0)
        fields_add(&ex->arena, &extra, FIELD_OTHER, STR("retry-after"), str_decimal(&ex->arena, retry_after));
    exchange_reply_error_with(ex, status, code, sentence, &extra);
}
