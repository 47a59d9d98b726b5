#include "forward.h"

#include <assert.h>

#include "address.h"
#include "arena.h"
#include "cdn_loop.h"
#include "client.h"
#include "context.h"
#include "cookie.h"
#include "forged.h"
#include "random_id.h"
#include "text.h"
#include "trace.h"
#include "turn_back.h"

/* Maximum elements of Connection fields to compare; the codec's limits refuse more. */
#define LIST_BOUND 64

/* How the app is named towards itself. */
static host_mode_t naming_of(const exchange_t *ex)
{
    switch (ex->preview->host_header) {
    case HOST_HEADER_LOCALHOST:
        return HOST_MODE_LOCALHOST;
    case HOST_HEADER_LOCALHOST_BARE:
        return HOST_MODE_BARE;
    case HOST_HEADER_PUBLIC:
        return HOST_MODE_PUBLIC;
    case HOST_HEADER_DEFAULT:
    case HOST_HEADER_AUTO:
        break;
    }
    return ex->host_mode;
}

/* Whether a Connection field names `name`. */
static bool is_named(const fields_t *fields, str_t name)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        if (fields->at[i].id != FIELD_CONNECTION)
            continue;
        str_t rest = fields->at[i].value, element;
        for (int n = 0; n < LIST_BOUND && str_next_element(&rest, &element); n++)
            if (str_ieq(element, name))
                return true;
    }
    return false;
}

/* Whether a Connection field names more than the usual tokens, so that each field must be compared. Most
 * servers send one usual token alone, which needs no look at single elements. */
static bool names_fields(const fields_t *fields)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        str_t rest = fields->at[i].value, element;
        if (fields->at[i].id != FIELD_CONNECTION || str_eq(rest, STR("keep-alive")) ||
            str_eq(rest, STR("close")))
            continue;
        while (str_next_element(&rest, &element))
            if (!str_ieq(element, STR("keep-alive")) && !str_ieq(element, STR("close")) &&
                !str_ieq(element, STR("upgrade")))
                return true;
    }
    return false;
}

/* Hop-by-hop in both directions (RFC 9110 section 7.6.1). */
static bool is_hop_by_hop(field_id_t id)
{
    switch (id) {
    case FIELD_CONNECTION:
    case FIELD_KEEP_ALIVE:
    case FIELD_PROXY_CONNECTION:
    case FIELD_PROXY_AUTHENTICATE:
    case FIELD_PROXY_AUTHORIZATION:
    case FIELD_TE:
    case FIELD_TRANSFER_ENCODING:
    case FIELD_UPGRADE:
    case FIELD_HTTP2_SETTINGS:
        return true;
    default:
        return false;
    }
}

/* Whether a request field reaches the box unchanged. */
static bool passes(const exchange_t *ex, const field_t *field, bool trusted, bool named)
{
    if (is_hop_by_hop(field->id))
        return false;
    switch (field->id) {
    case FIELD_CF_CONNECTING_IP:
    case FIELD_EXPECT:
    case FIELD_FORWARDED:
    case FIELD_X_FORWARDED_FOR:
    case FIELD_X_FORWARDED_PROTO:
    case FIELD_X_FORWARDED_HOST:
    case FIELD_X_FORWARDED_PORT:
    case FIELD_X_REAL_IP:
    case FIELD_X_REQUEST_ID:
    case FIELD_CDN_LOOP:
    case FIELD_TRACEPARENT:
        return false;
    case FIELD_SEC_WEBSOCKET_KEY:
        return !ex->request.websocket;
    case FIELD_OTHER:
        /* A trusted proxy's other X-Forwarded-* (-Ssl, -Scheme) describe the public host, which the app must
         * not see beside a bare localhost. */
        if (forged_name(field->name, trusted && naming_of(ex) != HOST_MODE_BARE))
            return false;
        break;
    default:
        break;
    }
    return !named || !is_named(&ex->request.fields, field->name);
}

str_t forward_inbound_trace(const exchange_t *ex)
{
    const fields_t *fields = &ex->request.fields;
    str_t inbound = fields_value(fields, FIELD_TRACEPARENT);
    bool good = inbound.n != 0 && traceparent_valid(inbound) && fields_count(fields, FIELD_TRACEPARENT) == 1;
    return good ? inbound : STR("");
}

/* Of the edge's span if the exchange is sampled, else the client's if valid, else empty. One made up for an
 * exchange that is not sampled would switch the app's own tracing off. */
static str_t traceparent(const exchange_t *ex)
{
    return ex->trace != NULL ? str_make(ex->trace->outgoing, TRACEPARENT_BYTES) : forward_inbound_trace(ex);
}

/* All values of one field, joined, followed by `ours`. */
static str_t appended(const exchange_t *ex, arena_t *pool, field_id_t id, bool keep_inbound, str_t ours)
{
    const fields_t *fields = &ex->request.fields;
    size_t n = ours.n;
    for (uint32_t i = 0; keep_inbound && i < fields->count; i++)
        if (fields->at[i].id == id)
            n += fields->at[i].value.n + 2;
    if (n == ours.n)
        return ours;
    text_t head = text_new(pool, n);
    for (uint32_t i = 0; i < fields->count; i++) {
        if (fields->at[i].id != id)
            continue;
        text_put(&head, fields->at[i].value);
        text_put(&head, STR(", "));
    }
    text_put(&head, ours);
    return text_str(&head);
}

/* The fields that only the edge sets. */
typedef struct own_fields {
    str_t host, client, proto, forwarded_host, port, loop, trace;
    bool bare; /* without the three that name the public host */
} own_fields_t;

static str_t inbound_or(const exchange_t *ex, bool trusted, field_id_t id, str_t ours)
{
    str_t inbound = trusted ? fields_value(&ex->request.fields, id) : str_make(NULL, 0);
    return inbound.n != 0 ? inbound : ours;
}

/* The client's scheme, as apps get it. */
static str_t public_scheme(const exchange_t *ex)
{
    str_t inbound = fields_value(&ex->request.fields, FIELD_X_FORWARDED_PROTO);
    bool one = remote_is_trusted(ex) && fields_count(&ex->request.fields, FIELD_X_FORWARDED_PROTO) == 1;
    if (one && str_ieq(inbound, STR("http")))
        return STR("http");
    return remote_is_https(ex) || (one && str_ieq(inbound, STR("https"))) ? STR("https") : STR("http");
}

/* "localhost:<port>", as a browser on the app's machine names it. */
static str_t local_authority(const exchange_t *ex, arena_t *pool)
{
    str_t port = str_decimal(pool, ex->preview->port);
    text_t text = text_new(pool, sizeof("localhost:") + port.n);
    text_put(&text, STR("localhost:"));
    text_put(&text, port);
    return text_str(&text);
}

static own_fields_t own_fields(const exchange_t *ex, arena_t *pool, bool trusted)
{
    const conf_t *conf = ex->context->conf;
    char *address = arena_alloc(pool, INET6_ADDRSTRLEN);
    own_fields_t own = {.host = ex->request.authority};
    own.client = address_text(remote_address(ex), address);
    own.proto = public_scheme(ex);
    own.forwarded_host = inbound_or(ex, trusted, FIELD_X_FORWARDED_HOST, ex->request.authority);
    uint16_t port = remote_is_https(ex) ? conf->public_port : ex->client->local_port;
    own.port = inbound_or(ex, trusted, FIELD_X_FORWARDED_PORT, str_decimal(pool, port));
    str_t mark = cdn_loop_mark(pool, str_from(conf->node), ex->request.authority);
    own.loop = appended(ex, pool, FIELD_CDN_LOOP, true, mark);
    own.trace = traceparent(ex);
    own.bare = naming_of(ex) == HOST_MODE_BARE;
    if (naming_of(ex) != HOST_MODE_PUBLIC)
        own.host = local_authority(ex, pool);
    return own;
}

bool forward_has_close(const exchange_t *ex)
{
    const request_t *request = &ex->request;
    return !ex->target.pool_after_body && !request->websocket &&
           (request->has_body || str_eq(request->method, STR("HEAD")));
}

static void put_framing(text_t *head, const exchange_t *ex, arena_t *pool)
{
    const request_t *request = &ex->request;
    if (forward_has_close(ex))
        text_put(head, STR("Connection: close\r\n"));
    if (request->websocket)
        text_put(head, STR("Connection: Upgrade\r\nUpgrade: websocket\r\n"));
    else if (request->content_length != LENGTH_UNKNOWN)
        text_put_field(head, STR("Content-Length"), str_decimal(pool, request->content_length));
    else if (request->has_body)
        text_put(head, STR("Transfer-Encoding: chunked\r\n"));
}

/* For a box that gets localhost as its host: the preview's own origin becomes that of localhost. */
typedef struct rewrite {
    str_t own_origin; /* empty: no field is rewritten */
    str_t local_origin;
} rewrite_t;

/* "<scheme>://<authority>" as browsers write it: without the default port. */
static str_t origin_of(arena_t *pool, str_t scheme, str_t authority)
{
    str_t port = scheme.n == 5 ? STR(":443") : STR(":80");
    if (authority.n > port.n && str_eq(str_from_offset(authority, authority.n - port.n), port))
        authority.n -= port.n;
    text_t text = text_new(pool, scheme.n + 3 + authority.n);
    text_put(&text, scheme);
    text_put(&text, STR("://"));
    text_put(&text, authority);
    return text_str(&text);
}

static rewrite_t rewrite_for(const exchange_t *ex, arena_t *pool, const own_fields_t *own)
{
    rewrite_t rewrite = {{NULL, 0}, {NULL, 0}};
    if (naming_of(ex) != HOST_MODE_PUBLIC) {
        rewrite.own_origin = origin_of(pool, public_scheme(ex), ex->request.authority);
        rewrite.local_origin = origin_of(pool, STR("http"), own->host);
    }
    return rewrite;
}

/* The parts of an outgoing request, shared by the heads of both protocols. */
typedef struct outgoing {
    bool trusted;
    bool named; /* Connection names fields */
    own_fields_t own;
    rewrite_t rewrite;
} outgoing_t;

static outgoing_t outgoing(const exchange_t *ex, arena_t *pool)
{
    bool trusted = remote_is_trusted(ex);
    outgoing_t out = {
        .trusted = trusted, .named = names_fields(&ex->request.fields), .own = own_fields(ex, pool, trusted)};
    out.rewrite = rewrite_for(ex, pool, &out.own);
    return out;
}

/* Origin or Referer, moved from the preview's own origin to that of localhost. */
static str_t rewritten(arena_t *pool, const rewrite_t *rewrite, str_t value)
{
    str_t own = rewrite->own_origin;
    if (own.n == 0 || value.n < own.n || !str_ieq(str_make(value.p, own.n), own))
        return value;
    str_t rest = str_from_offset(value, own.n);
    if (rest.n != 0 && rest.p[0] != '/' && rest.p[0] != '?')
        return value; /* a longer host, or another port */
    text_t text = text_new(pool, rewrite->local_origin.n + rest.n);
    text_put(&text, rewrite->local_origin);
    text_put(&text, rest);
    return text_str(&text);
}

/* Whether the client's field passes; *value is then its new value. */
static bool client_field(const exchange_t *ex, arena_t *pool, const outgoing_t *out, const field_t *field,
                         str_t *value)
{
    if (!passes(ex, field, out->trusted, out->named))
        return false;
    bool compared = field->id == FIELD_ORIGIN || field->id == FIELD_REFERER;
    *value = compared ? rewritten(pool, &out->rewrite, field->value) : field->value;
    return true;
}

#define OWN_FIELDS 8

/* The edge's own fields, after the client's; returns their number. */
static size_t own_list(const exchange_t *ex, const own_fields_t *own, field_t list[OWN_FIELDS])
{
    size_t n = 0;
    list[n++] = (field_t){STR("X-Forwarded-For"), own->client, FIELD_X_FORWARDED_FOR};
    if (!own->bare) {
        list[n++] = (field_t){STR("X-Forwarded-Proto"), own->proto, FIELD_X_FORWARDED_PROTO};
        list[n++] = (field_t){STR("X-Forwarded-Host"), own->forwarded_host, FIELD_X_FORWARDED_HOST};
        list[n++] = (field_t){STR("X-Forwarded-Port"), own->port, FIELD_X_FORWARDED_PORT};
    }
    list[n++] = (field_t){STR("X-Request-Id"), str_from(ex->request_id), FIELD_X_REQUEST_ID};
    list[n++] = (field_t){STR("CDN-Loop"), own->loop, FIELD_CDN_LOOP};
    list[n++] = (field_t){STR("X-Real-IP"), own->client, FIELD_X_REAL_IP};
    if (own->trace.n != 0)
        list[n++] = (field_t){STR("traceparent"), own->trace, FIELD_TRACEPARENT};
    return n;
}

/* An upper bound of the head's length: every field of the client and of the edge, each with its longest
 * possible value. */
static size_t head_bound(const request_t *request, const own_fields_t *own, const rewrite_t *rewrite)
{
    size_t n = 512 + request->method.n + request->target.n + own->host.n + 2 * own->client.n + own->proto.n +
               own->forwarded_host.n + own->port.n + own->loop.n + own->trace.n;
    for (uint32_t i = 0; i < request->fields.count; i++)
        n += request->fields.at[i].name.n + request->fields.at[i].value.n + rewrite->local_origin.n + 4;
    return n;
}

str_t forward_request_head(const exchange_t *ex, arena_t *pool, str_t websocket_key)
{
    const request_t *request = &ex->request;
    assert(!request->fields.dropped); /* the head is whole */
    outgoing_t out = outgoing(ex, pool);
    size_t capacity = head_bound(request, &out.own, &out.rewrite);
    text_t head = text_new(pool, capacity);
    text_put(&head, request->method);
    text_put(&head, STR(" "));
    text_put(&head, request->target);
    text_put(&head, STR(" HTTP/1.1\r\n"));
    text_put_field(&head, STR("Host"), out.own.host);
    put_framing(&head, ex, pool);
    str_t value;
    for (uint32_t i = 0; i < request->fields.count; i++)
        if (client_field(ex, pool, &out, &request->fields.at[i], &value))
            text_put_field(&head, request->fields.at[i].name, value);
    if (request->websocket)
        text_put_field(&head, STR("Sec-WebSocket-Key"), websocket_key);
    field_t own[OWN_FIELDS];
    size_t count = own_list(ex, &out.own, own);
    for (size_t i = 0; i < count; i++)
        text_put_field(&head, own[i].name, own[i].value);
    text_put(&head, STR("\r\n"));
    return text_str(&head);
}

/* Whether the client takes trailers: the only use of TE over HTTP/2 (RFC 9113 section 8.2.2). */
static bool takes_trailers(const fields_t *fields)
{
    for (uint32_t i = 0; i < fields->count; i++) {
        if (fields->at[i].id != FIELD_TE)
            continue;
        str_t rest = fields->at[i].value, element;
        for (int n = 0; n < LIST_BOUND && str_next_element(&rest, &element); n++)
            if (str_ieq(element, STR("trailers")))
                return true;
    }
    return false;
}

void forward_request_fields(const exchange_t *ex, arena_t *pool, fields_t *fields)
{
    const request_t *request = &ex->request;
    assert(!request->fields.dropped);
    outgoing_t out = outgoing(ex, pool);
    /* Four pseudo-fields, Content-Length and TE, beside the client's fields and the edge's own. */
    fields_reserve(pool, fields, request->fields.count + OWN_FIELDS + 6);
    fields_add(pool, fields, FIELD_OTHER, STR(":method"), request->method);
    fields_add(pool, fields, FIELD_OTHER, STR(":scheme"), ex->target.tls ? STR("https") : STR("http"));
    fields_add(pool, fields, FIELD_OTHER, STR(":authority"), out.own.host);
    fields_add(pool, fields, FIELD_OTHER, STR(":path"), request->target);
    if (request->content_length != LENGTH_UNKNOWN)
        fields_add(pool, fields, FIELD_CONTENT_LENGTH, STR("content-length"),
                   str_decimal(pool, request->content_length));
    str_t value;
    for (uint32_t i = 0; i < request->fields.count; i++)
        if (client_field(ex, pool, &out, &request->fields.at[i], &value))
            fields_add(pool, fields, request->fields.at[i].id, request->fields.at[i].name, value);
    if (takes_trailers(&request->fields))
        fields_add(pool, fields, FIELD_TE, STR("te"), STR("trailers"));
    field_t own[OWN_FIELDS];
    size_t count = own_list(ex, &out.own, own);
    for (size_t i = 0; i < count; i++)
        fields_add(pool, fields, own[i].id, own[i].name, own[i].value);
}

/* Whether a trailer is allowed after '_' is read as '-'. */
static bool is_trailer(exchange_t *ex, str_t name)
{
    str_t plain = str_dup(&ex->arena, name);
    for (size_t i = 0; i < plain.n; i++)
        if (plain.p[i] == '_')
            ((char *)(uintptr_t)plain.p)[i] = '-';
    return field_trailer_allowed(field_lookup(plain), plain) && !forged_name(name, false);
}

typedef struct trailer_filter {
    exchange_t *ex;
    bool named; /* Connection names fields */
} trailer_filter_t;

static bool keep_trailer(field_t *field, void *arg)
{
    trailer_filter_t *filter = arg;
    return is_trailer(filter->ex, field->name) && passes(filter->ex, field, false, filter->named);
}

void forward_filter_trailers(exchange_t *ex)
{
    trailer_filter_t filter = {.ex = ex, .named = names_fields(&ex->request.fields)};
    fields_filter(&ex->request.trailers, keep_trailer, &filter);
}

/* The host of an authority, without its port. */
static str_t host_part(str_t authority)
{
    const char *colon = authority.n != 0 ? memrchr(authority.p, ':', authority.n) : NULL;
    return colon != NULL ? str_make(authority.p, (size_t)(colon - authority.p)) : authority;
}

/*
 * Turns "http://<own host>/x" of an app that does not know of TLS into "https://<own authority>/x" if the
 * client speaks https. That saves a detour through port 80. Keeps another port of that host.
 */
static str_t secure_location(exchange_t *ex, str_t value)
{
    static const str_t scheme = {"http://", 7};
    str_t own = ex->request.authority;
    if (!remote_is_https(ex) || value.n < scheme.n || !str_ieq(str_make(value.p, scheme.n), scheme))
        return value;
    str_t authority = str_from_offset(value, scheme.n), rest;
    size_t n = 0;
    while (n < authority.n && memchr("/?#", authority.p[n], 3) == NULL)
        n++;
    rest = str_from_offset(authority, n);
    authority.n = n;
    str_t port = str_from_offset(authority, host_part(authority).n);
    bool own_port = port.n == 0 || str_eq(port, STR(":80")) || str_ieq(authority, own);
    if (!own_port || !str_ieq(host_part(authority), host_part(own)))
        return value;
    text_t text = text_new(&ex->arena, 8 + own.n + rest.n);
    text_put(&text, STR("https://"));
    text_put(&text, own);
    text_put(&text, rest);
    return text_str(&text);
}

/* Turns the name that the app has for itself back to the public one, in a field that may have it. */
static str_t turned_back(exchange_t *ex, const turn_back_t *to, const field_t *field)
{
    arena_t *pool = &ex->arena;
    if (field->id == FIELD_LOCATION)
        return turn_back_url(pool, to, field->value);
    if (field->id != FIELD_OTHER)
        return field->value;
    switch (field->name.n) {
    case 7:
        return str_ieq(field->name, STR("refresh")) ? turn_back_refresh(pool, to, field->value)
                                                    : field->value;
    case 16:
        return str_ieq(field->name, STR("content-location")) ? turn_back_url(pool, to, field->value)
                                                             : field->value;
    case 23:
    case 35:
        return str_ieq(field->name, STR("content-security-policy")) ||
                       str_ieq(field->name, STR("content-security-policy-report-only"))
                   ? turn_back_policy(pool, to, field->value)
                   : field->value;
    case 27:
        return str_ieq(field->name, STR("access-control-allow-origin"))
                   ? turn_back_origin(pool, to, field->value)
                   : field->value;
    default:
        return field->value;
    }
}

/* Previews share a parent domain: a box may set cookies for its own host only. */
static str_t confined_cookie(exchange_t *ex, str_t value)
{
    str_t host = host_part(ex->request.authority);
    char *out = arena_alloc(&ex->arena, value.n != 0 ? value.n : 1);
    size_t len;
    return set_cookie_confine(value, host, out, value.n, &len) ? str_make(out, len) : value;
}

/* A copy of the fields if their Connection names any, to compare with while fields are removed; else
 * empty. */
static fields_t naming_fields(exchange_t *ex, const fields_t *fields)
{
    fields_t copy = {0};
    if (!names_fields(fields))
        return copy;
    fields_reserve(&ex->arena, &copy, fields->count);
    memcpy(copy.at, fields->at, fields->count * sizeof(*fields->at));
    copy.count = fields->count;
    return copy;
}

typedef struct response_filter {
    exchange_t *ex;
    fields_t naming;
    bool turns; /* the app has localhost as its name */
    turn_back_t to;
} response_filter_t;

static bool keep_of_response(field_t *field, void *arg)
{
    const response_filter_t *filter = arg;
    exchange_t *ex = filter->ex;
    if (is_hop_by_hop(field->id) || (filter->naming.count != 0 && is_named(&filter->naming, field->name)))
        return false;
    if (filter->turns)
        field->value = turned_back(ex, &filter->to, field);
    if (field->id == FIELD_LOCATION)
        field->value = secure_location(ex, field->value);
    else if (field->id == FIELD_SET_COOKIE)
        field->value = confined_cookie(ex, field->value);
    return true;
}

void forward_filter_response(exchange_t *ex, fields_t *fields)
{
    response_filter_t filter = {
        .ex = ex, .naming = naming_fields(ex, fields), .turns = naming_of(ex) != HOST_MODE_PUBLIC};
    if (filter.turns)
        filter.to = (turn_back_t){
            .port = ex->preview->port, .https = public_scheme(ex).n == 5, .authority = ex->request.authority};
    fields_filter(fields, keep_of_response, &filter);
}
