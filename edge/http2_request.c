#include "http2_request.h"

#include <assert.h>

#include "authority.h"
#include "grammar.h"
#include "request_head.h"

/* A method has at most so many bytes, as in HTTP/1. */
#define METHOD_MAX 32
/* What the definition of SETTINGS_MAX_HEADER_LIST_SIZE adds for each field. */
#define FIELD_OVERHEAD 32

_Static_assert(FIELD_ID_COUNT <= 64, "http2_head_t.seen has a bit for each identity");

http2_head_result_t http2_head_count(http2_head_t *head, const http2_head_limits_t *limits, size_t n)
{
    head->bytes += n + FIELD_OVERHEAD;
    if (head->bytes > limits->bytes)
        head->oversize = true;
    return head->bytes / HTTP2_HEAD_HOPELESS > limits->bytes ? HTTP2_HEAD_HOPELESS_SIZE : HTTP2_HEAD_OK;
}

static bool was_seen(http2_head_t *head, field_id_t id)
{
    uint64_t bit = UINT64_C(1) << id;
    bool seen = (head->seen & bit) != 0;
    head->seen |= bit;
    return seen;
}

/* nghttp2 refuses unknown and repeated pseudo-fields. */
static void take_pseudo(http2_head_t *head, exchange_t *ex, str_t name, str_t value)
{
    str_t copy = str_dup(request_head_pool(ex, head->bytes), value);
    if (str_eq(name, STR(":path")))
        ex->request.target = copy;
    else if (str_eq(name, STR(":method")))
        ex->request.method = copy;
    else if (str_eq(name, STR(":authority")))
        ex->request.authority = copy;
    else if (str_eq(name, STR(":scheme")))
        head->scheme = copy;
    else if (str_eq(name, STR(":protocol")))
        head->protocol = copy;
    else
        head->malformed = true;
}

static void take_regular(http2_head_t *head, exchange_t *ex, const http2_head_limits_t *limits, field_id_t id,
                         str_t name, str_t value)
{
    request_t *request = &ex->request;
    if (id != FIELD_OTHER) {
        bool seen = was_seen(head, id);
        if (seen && field_is_single(id)) {
            head->repeated = true;
            head->repeated_name = field_name(id);
        }
        if (seen && id == FIELD_COOKIE)
            head->count--; /* all crumbs are one field */
    }
    if (++head->count > limits->fields) {
        head->oversize = true;
        return;
    }
    h2o_mem_pool_t *pool = request_head_pool(ex, head->bytes);
    str_t copy = str_dup(pool, value);
    switch (id) {
    case FIELD_HOST:
        head->host = copy;
        return;
    case FIELD_CONTENT_LENGTH:
        if (!str_to_uint(value, INT64_MAX, &request->content_length))
            head->malformed = true;
        return;
    default:
        fields_add(pool, &request->fields, id, name, copy);
    }
}

http2_head_result_t http2_head_field(http2_head_t *head, exchange_t *ex, const http2_head_limits_t *limits,
                                     str_t name, bool stable_name, str_t value)
{
    http2_head_result_t result = http2_head_count(head, limits, name.n + value.n);
    if (head->malformed || head->oversize)
        return result;
    if (name.n != 0 && name.p[0] == ':') {
        take_pseudo(head, ex, name, value);
        return result;
    }
    field_id_t id = field_lookup(name);
    if (id != FIELD_OTHER)
        name = field_name(id);
    else if (!stable_name)
        name = str_dup(request_head_pool(ex, head->bytes), name);
    take_regular(head, ex, limits, id, name, value);
    return result;
}

http2_head_result_t http2_trailer_field(http2_head_t *head, h2o_mem_pool_t *pool, fields_t *trailers,
                                        const http2_head_limits_t *limits, str_t name, str_t value)
{
    http2_head_result_t result = http2_head_count(head, limits, name.n + value.n);
    field_id_t id = field_lookup(name);
    if (++head->count > limits->fields)
        head->oversize = true;
    if (!field_trailer_allowed(id, name))
        head->malformed = true;
    if (head->malformed || head->oversize)
        return result;
    fields_add(pool, trailers, id, str_dup(pool, name), str_dup(pool, value));
    return result;
}

http2_head_result_t http2_head_invalid(http2_head_t *head, const http2_head_limits_t *limits, size_t name_len,
                                       size_t value_len)
{
    head->malformed = true;
    return http2_head_count(head, limits, name_len + value_len);
}

static const http2_refusal_t good = {.status = 0};

static http2_refusal_t refuse(int status, const char *code, const char *sentence)
{
    return (http2_refusal_t){status, code, sentence, {.reason = NULL}};
}

/* `bytes` go into the log. */
static http2_refusal_t bad_in(const char *sentence, str_t bytes)
{
    return (http2_refusal_t){400, "bad_request", sentence, {.reason = sentence, .bytes = bytes}};
}

static http2_refusal_t bad(const char *sentence)
{
    return bad_in(sentence, str_make(NULL, 0));
}

static http2_refusal_t bad_text(const char *sentence, str_t text, bool (*is_allowed)(str_t text))
{
    return (http2_refusal_t){400, "bad_request", sentence, fault_of_text(sentence, text, is_allowed)};
}

/* An authority without user and password (RFC 3986 section 3.2.1), which are secrets. */
static str_t without_user(str_t authority)
{
    size_t at = authority.n;
    while (at != 0 && authority.p[at - 1] != '@')
        at--;
    return str_from_offset(authority, at);
}

/* RFC 9113 section 8.3.1: :authority and Host are the same host; one is enough. */
static http2_refusal_t check_authority(const http2_head_t *head, request_t *request)
{
    authority_t authority, host;
    if (request->authority.n == 0)
        request->authority = head->host;
    if (!authority_parse(request->authority, &authority))
        return bad_in("The authority is missing or not a host name.", without_user(request->authority));
    if (head->host.n == 0)
        return good;
    uint16_t default_port = str_ieq(head->scheme, STR("https")) ? 443 : 80;
    if (!authority_parse(head->host, &host) || !authority_same(&authority, &host, default_port))
        return bad_in("Host and :authority disagree.", without_user(head->host));
    return good;
}

static http2_refusal_t check_target(const request_t *request)
{
    if (!grammar_is_target(request->target))
        return bad_text("The request target is empty or has characters that must be percent-encoded.",
                        request->target, grammar_is_target);
    if (request->target.p[0] == '/')
        return good;
    if (str_eq(request->target, STR("*")) && str_eq(request->method, STR("OPTIONS")))
        return good;
    return bad_text("The request target is not a path.", request->target, grammar_is_target);
}

/* CONNECT: an extended one for a WebSocket becomes the handshake that HTTP/1 has (RFC 8441). */
static http2_refusal_t check_connect(const http2_head_t *head, request_t *request, bool end_stream)
{
    if (head->protocol.n == 0)
        return refuse(501, "not_implemented", "CONNECT is not offered here.");
    if (!str_ieq(head->protocol, STR("websocket")))
        return refuse(501, "not_implemented", "The only :protocol here is websocket.");
    if (!str_eq(fields_value(&request->fields, FIELD_SEC_WEBSOCKET_VERSION), STR("13")))
        return bad("A WebSocket handshake needs Sec-WebSocket-Version: 13.");
    if (end_stream || request->content_length != LENGTH_UNKNOWN)
        return bad("A WebSocket handshake leaves its stream open and has no length.");
    request->method = STR("GET");
    request->websocket = true;
    request->has_body = false; /* what follows is the tunnel */
    return good;
}

/* RFC 9110 section 10.1.1. */
static http2_refusal_t check_expect(request_t *request)
{
    const field_t *expect = fields_find(&request->fields, FIELD_EXPECT);
    if (expect == NULL)
        return good;
    if (!str_ieq(expect->value, STR("100-continue")))
        return refuse(417, "expectation_failed", "The only expectation here is 100-continue.");
    request->expect_continue = request->has_body;
    return good;
}

static http2_refusal_t check_method(const request_t *request)
{
    if (!grammar_is_token(request->method))
        return bad_text("The method is not a token.", request->method, grammar_is_token);
    if (request->method.n > METHOD_MAX)
        return refuse(501, "not_implemented", "No method is that long.");
    return good;
}

http2_refusal_t http2_head_finish(http2_head_t *head, exchange_t *ex, bool end_stream)
{
    assert(!head->malformed);
    request_t *request = &ex->request;
    request->has_body = !end_stream;
    if (head->oversize)
        return refuse(431, "head_too_large", "The request's header fields are too large.");
    if ((head->seen & (UINT64_C(1) << FIELD_COOKIE)) != 0)
        fields_join_cookies(request_head_pool(ex, head->bytes), &request->fields);
    if (head->repeated)
        return bad_in("A field that must come once came twice.", head->repeated_name);
    http2_refusal_t refusal = check_method(request);
    bool connect = str_eq(request->method, STR("CONNECT"));
    if (refusal.status == 0 && connect)
        refusal = check_connect(head, request, end_stream);
    else if (refusal.status == 0 && head->protocol.n != 0)
        refusal = bad_in(":protocol goes with CONNECT only.", head->protocol);
    if (refusal.status == 0 && !str_ieq(head->scheme, STR("https")) && !str_ieq(head->scheme, STR("http")))
        refusal = bad_in("The scheme is neither http nor https.", head->scheme);
    if (refusal.status == 0)
        refusal = check_target(request);
    if (refusal.status == 0)
        refusal = check_authority(head, request);
    if (refusal.status == 0)
        refusal = check_expect(request);
    return refusal;
}

unsigned http2_urgency(const fields_t *fields)
{
    assert(!fields->dropped);
    for (uint32_t i = 0; i < fields->count; i++) {
        const field_t *field = &fields->at[i];
        if (field->id != FIELD_OTHER || !str_eq(field->name, STR("priority")))
            continue;
        str_t rest = field->value, member;
        while (str_next_element(&rest, &member))
            if (member.n == 3 && member.p[0] == 'u' && member.p[1] == '=' && member.p[2] >= '0' &&
                member.p[2] <= '7')
                return (unsigned)(member.p[2] - '0');
    }
    return 3;
}
