#include "http2_request.h"

#include <assert.h>

#include "arena.h"
#include "authority.h"
#include "grammar.h"
#include "request_head.h"

/* Maximum bytes of a method, as in HTTP/1. */
#define METHOD_MAX 32

_Static_assert(FIELD_ID_COUNT <= 64, "http2_head_t.seen has a bit for each identity");

static bool was_seen(http2_head_t *head, field_id_t id)
{
    uint64_t bit = UINT64_C(1) << id;
    bool seen = (head->seen & bit) != 0;
    head->seen |= bit;
    return seen;
}

static void blame(http2_head_t *head, exchange_t *ex, const char *reason, str_t bytes)
{
    http2_head_blame(head, &ex->arena, &(fault_t){.reason = reason, .bytes = bytes});
}

/* RFC 9113 section 8.2.2. */
static bool is_of_connection(field_id_t id, str_t value)
{
    switch (id) {
    case FIELD_CONNECTION:
    case FIELD_KEEP_ALIVE:
    case FIELD_PROXY_CONNECTION:
    case FIELD_TRANSFER_ENCODING:
    case FIELD_UPGRADE:
        return true;
    case FIELD_TE:
        return !str_ieq(value, STR("trailers"));
    default:
        return false;
    }
}

/* ---- pseudo-fields (RFC 9113 section 8.3.1) ---- */

enum { METHOD = 1, SCHEME = 2, AUTHORITY = 4, PATH = 8, PROTOCOL = 16 };

/* 0 for an unknown name. */
static unsigned pseudo_bit(str_t name)
{
    if (str_eq(name, STR(":path")))
        return PATH;
    if (str_eq(name, STR(":method")))
        return METHOD;
    if (str_eq(name, STR(":authority")))
        return AUTHORITY;
    if (str_eq(name, STR(":scheme")))
        return SCHEME;
    return str_eq(name, STR(":protocol")) ? PROTOCOL : 0;
}

static void keep_pseudo(http2_head_t *head, request_t *request, unsigned bit, str_t value)
{
    if (bit == PATH)
        request->target = value;
    else if (bit == METHOD)
        request->method = value;
    else if (bit == AUTHORITY)
        request->authority = value;
    else if (bit == SCHEME)
        head->scheme = value;
    else
        head->protocol = value;
}

static void take_pseudo(http2_head_t *head, exchange_t *ex, str_t name, str_t value)
{
    unsigned bit = pseudo_bit(name);
    if (bit == 0) {
        blame(head, ex, "A field begins with ':' but is not a pseudo-field of requests.", name);
        return;
    }
    if ((head->pseudo & bit) != 0) {
        blame(head, ex, "A pseudo-field came twice.", name);
        return;
    }
    if (head->count != 0)
        blame(head, ex, "A pseudo-field came after another field.", name);
    else if (value.n == 0)
        blame(head, ex, "A pseudo-field is empty.", name);
    head->pseudo = (uint8_t)(head->pseudo | bit);
    keep_pseudo(head, &ex->request, bit, str_dup(request_head_pool(ex, head->bytes), value));
}

static const char *missing_pseudo(const http2_head_t *head, const request_t *request)
{
    bool plain_connect = str_eq(request->method, STR("CONNECT")) && (head->pseudo & PROTOCOL) == 0;
    if ((head->pseudo & METHOD) == 0)
        return "The request has no :method.";
    if (plain_connect) /* section 8.5 */
        return (head->pseudo & (SCHEME | PATH)) != 0 ? "A CONNECT has :scheme or :path without :protocol."
                                                     : NULL;
    if ((head->pseudo & SCHEME) == 0)
        return "The request has no :scheme.";
    return (head->pseudo & PATH) == 0 ? "The request has no :path." : NULL;
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
            head->count--; /* all cookie crumbs form one field */
        if (is_of_connection(id, value)) {
            blame(head, ex, "The request has a connection-specific field, which HTTP/2 forbids.", name);
            return;
        }
    }
    if (++head->count > limits->fields) {
        head->oversize = true;
        return;
    }
    arena_t *pool = request_head_pool(ex, head->bytes);
    str_t copy = str_dup(pool, value);
    switch (id) {
    case FIELD_HOST:
        if (value.n == 0) /* section 8.3.1 */
            blame(head, ex, "Host is empty.", value);
        head->host = copy;
        return;
    case FIELD_CONTENT_LENGTH:
        if (!str_to_uint(value, INT64_MAX, &request->content_length))
            blame(head, ex, "Content-Length is not a number.", value);
        return;
    default:
        fields_add(pool, &request->fields, id, name, copy);
    }
}

http2_head_result_t http2_head_field(http2_head_t *head, exchange_t *ex, const http2_head_limits_t *limits,
                                     str_t name, bool stable_name, str_t value)
{
    http2_head_result_t result = http2_head_count(head, limits, name.n + value.n);
    if (head->oversize)
        return result;
    if (!http2_head_field_is_valid(name, stable_name, value)) {
        fault_t fault = fault_of_http2_field(name, value);
        http2_head_blame(head, &ex->arena, &fault);
        return result;
    }
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

static const http2_refusal_t good = {.status = 0};

static http2_refusal_t refuse(int status, const char *code, const char *sentence)
{
    return (http2_refusal_t){.status = status, .code = code, .sentence = sentence};
}

/* `bytes` go to the log. */
static http2_refusal_t bad_in(const char *sentence, str_t bytes)
{
    http2_refusal_t refusal = refuse(400, "bad_request", sentence);
    refusal.fault = (fault_t){.reason = sentence, .bytes = bytes};
    return refusal;
}

static http2_refusal_t bad(const char *sentence)
{
    return bad_in(sentence, str_make(NULL, 0));
}

static http2_refusal_t bad_text(const char *sentence, str_t text, bool (*is_allowed)(str_t text))
{
    http2_refusal_t refusal = refuse(400, "bad_request", sentence);
    refusal.fault = fault_of_text(sentence, text, is_allowed);
    return refusal;
}

static http2_refusal_t malformed(const fault_t *fault)
{
    http2_refusal_t refusal = refuse(400, "bad_request", fault->reason);
    refusal.malformed = true;
    refusal.fault = *fault;
    return refusal;
}

/* RFC 9113 section 8.3.1: :authority and Host must name the same host; one of them is enough. */
static http2_refusal_t check_authority(const http2_head_t *head, request_t *request)
{
    authority_t authority, host;
    if (request->authority.n == 0)
        request->authority = head->host;
    if (!authority_parse(request->authority, &authority))
        return bad_in("The authority is missing or not a host name.", authority_harmless(request->authority));
    if (head->host.n == 0)
        return good;
    uint16_t default_port = str_ieq(head->scheme, STR("https")) ? 443 : 80;
    if (!authority_parse(head->host, &host) || !authority_same(&authority, &host, default_port))
        return bad_in("Host and :authority disagree.", authority_harmless(head->host));
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
    if (str_eq(request->target, STR("*")))
        return bad_in("The target * goes with OPTIONS only.", request->method);
    return bad_text("The request target is not a path.", request->target, grammar_is_target);
}

/* CONNECT: an extended one for a WebSocket becomes the equivalent HTTP/1 handshake (RFC 8441). */
static http2_refusal_t check_connect(const http2_head_t *head, request_t *request, bool end_stream)
{
    if (head->protocol.n == 0)
        return refuse(501, "not_implemented", "The edge does not support CONNECT.");
    if (!str_ieq(head->protocol, STR("websocket")))
        return refuse(501, "not_implemented", "The only supported :protocol is websocket.");
    if (!str_eq(fields_value(&request->fields, FIELD_SEC_WEBSOCKET_VERSION), STR("13")))
        return bad("A WebSocket handshake needs Sec-WebSocket-Version: 13.");
    if (end_stream || request->content_length != LENGTH_UNKNOWN)
        return bad("A WebSocket handshake must leave its stream open and have no Content-Length.");
    request->method = STR("GET");
    request->websocket = true;
    request->has_body = false; /* the tunnel follows */
    return good;
}

/* RFC 9110 section 10.1.1. */
static http2_refusal_t check_expect(request_t *request)
{
    const field_t *expect = fields_find(&request->fields, FIELD_EXPECT);
    if (expect == NULL)
        return good;
    if (!str_ieq(expect->value, STR("100-continue")))
        return refuse(417, "expectation_failed", "The only supported expectation is 100-continue.");
    request->expect_continue = request->has_body;
    return good;
}

static http2_refusal_t check_method(const request_t *request)
{
    if (!grammar_is_token(request->method))
        return bad_text("The method is not a token.", request->method, grammar_is_token);
    if (request->method.n > METHOD_MAX)
        return refuse(501, "not_implemented", "The method is too long.");
    return good;
}

/* Section 8.1.1: a malformed request, by its present and missing fields. */
static http2_refusal_t check_section(http2_head_t *head, exchange_t *ex, bool end_stream)
{
    const request_t *request = &ex->request;
    if (head->malformed)
        return malformed(&head->fault);
    if (head->oversize)
        return refuse(431, "head_too_large", "The request's header fields are too large.");
    fault_t fault = {.reason = missing_pseudo(head, request)};
    if (fault.reason == NULL && end_stream && request->content_length != LENGTH_UNKNOWN &&
        request->content_length != 0)
        fault.reason = "The request ends with its head, but its Content-Length announces a body.";
    return fault.reason != NULL ? malformed(&fault) : good;
}

/* For a refused head. If it is over its limits, the fields within them count. */
static bool is_unambiguous(const http2_head_t *head, request_t *request)
{
    return !head->malformed && !head->repeated && check_authority(head, request).status == 0;
}

/* Limits the request fields that the answer and the access line show of a refused request: an invalid
 * authority or target may contain secrets. */
static void hide_nonsense(const http2_head_t *head, request_t *request)
{
    authority_t authority;
    bool path = request->target.n != 0 && (request->target.p[0] == '/' || str_eq(request->target, STR("*")));
    if (request->authority.n == 0)
        request->authority = head->host;
    if (!authority_parse(request->authority, &authority))
        request->authority = STR("");
    if (!path)
        request->target = STR("");
}

static http2_refusal_t check(http2_head_t *head, exchange_t *ex, bool end_stream)
{
    request_t *request = &ex->request;
    http2_refusal_t section = check_section(head, ex, end_stream);
    if (section.status != 0)
        return section;
    if ((head->seen & (UINT64_C(1) << FIELD_COOKIE)) != 0)
        fields_join_cookies(request_head_pool(ex, head->bytes), &request->fields);
    if (head->repeated)
        return bad_in("A field that must appear once appears twice.", head->repeated_name);
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

http2_refusal_t http2_head_finish(http2_head_t *head, exchange_t *ex, bool end_stream)
{
    request_t *request = &ex->request;
    request->has_body = !end_stream;
    http2_refusal_t refusal = check(head, ex, end_stream);
    request->unambiguous = refusal.status == 0 || is_unambiguous(head, request);
    if (refusal.status != 0)
        hide_nonsense(head, request);
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
