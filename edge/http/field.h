/*
 * Field sections (RFC 9110 section 5, trailers included): names and values as received, in order. Names that
 * the edge knows have an identity, so that rules compare numbers. A section lives in an arena (arena_t); its
 * slices point into that arena or into memory that lives as long.
 */
#ifndef BOXEDGE_FIELD_H
#define BOXEDGE_FIELD_H

#include "str.h"

#include "arena.h"

/* Every field name that a rule of the edge uses: identity, name in lower case. */
#define FIELD_NAMES(X)                                                                                       \
    X(ACCEPT, "accept")                                                                                      \
    X(ACCESS_CONTROL_REQUEST_METHOD, "access-control-request-method")                                        \
    X(AUTHORIZATION, "authorization")                                                                        \
    X(CDN_LOOP, "cdn-loop")                                                                                  \
    X(CF_CONNECTING_IP, "cf-connecting-ip")                                                                  \
    X(CONNECTION, "connection")                                                                              \
    X(CONTENT_LENGTH, "content-length")                                                                      \
    X(CONTENT_TYPE, "content-type")                                                                          \
    X(COOKIE, "cookie")                                                                                      \
    X(DATE, "date")                                                                                          \
    X(EXPECT, "expect")                                                                                      \
    X(FORWARDED, "forwarded")                                                                                \
    X(HOST, "host")                                                                                          \
    X(HTTP2_SETTINGS, "http2-settings")                                                                      \
    X(KEEP_ALIVE, "keep-alive")                                                                              \
    X(LOCATION, "location")                                                                                  \
    X(ORIGIN, "origin")                                                                                      \
    X(PROXY_AUTHENTICATE, "proxy-authenticate")                                                              \
    X(PROXY_AUTHORIZATION, "proxy-authorization")                                                            \
    X(PROXY_CONNECTION, "proxy-connection")                                                                  \
    X(REFERER, "referer")                                                                                    \
    X(SEC_FETCH_DEST, "sec-fetch-dest")                                                                      \
    X(SEC_FETCH_MODE, "sec-fetch-mode")                                                                      \
    X(SEC_FETCH_SITE, "sec-fetch-site")                                                                      \
    X(SEC_WEBSOCKET_ACCEPT, "sec-websocket-accept")                                                          \
    X(SEC_WEBSOCKET_KEY, "sec-websocket-key")                                                                \
    X(SEC_WEBSOCKET_VERSION, "sec-websocket-version")                                                        \
    X(SET_COOKIE, "set-cookie")                                                                              \
    X(TE, "te")                                                                                              \
    X(TRACEPARENT, "traceparent")                                                                            \
    X(TRACESTATE, "tracestate")                                                                              \
    X(TRAILER, "trailer")                                                                                    \
    X(TRANSFER_ENCODING, "transfer-encoding")                                                                \
    X(UPGRADE, "upgrade")                                                                                    \
    X(USER_AGENT, "user-agent")                                                                              \
    X(VARY, "vary")                                                                                          \
    X(X_BOX_API_KEY, "x-box-api-key")                                                                        \
    X(X_FORWARDED_FOR, "x-forwarded-for")                                                                    \
    X(X_FORWARDED_HOST, "x-forwarded-host")                                                                  \
    X(X_FORWARDED_PORT, "x-forwarded-port")                                                                  \
    X(X_FORWARDED_PROTO, "x-forwarded-proto")                                                                \
    X(X_PREVIEW_TOKEN, "x-preview-token")                                                                    \
    X(X_REAL_IP, "x-real-ip")                                                                                \
    X(X_REQUEST_ID, "x-request-id")                                                                          \
    X(X_REQUESTED_WITH, "x-requested-with")

typedef enum field_id {
    FIELD_OTHER = 0,
#define X(id, name) FIELD_##id,
    FIELD_NAMES(X)
#undef X
        FIELD_ID_COUNT
} field_id_t;

/*
 * The fields that are still read once a request's head was freed (request_head.h): identity, maximum bytes of
 * the value, maximum number of that name (more than 1 if readers must notice repetition). The first six are
 * for answers of the edge itself (exchange_browser).
 */
#define FIELD_AGENT_BYTES 256 /* of User-Agent, in the access line */
#define FIELDS_KEPT(X)                                                                                       \
    X(ACCEPT, 256, 1)                                                                                        \
    X(ACCESS_CONTROL_REQUEST_METHOD, 32, 1)                                                                  \
    X(SEC_FETCH_DEST, 32, 1)                                                                                 \
    X(SEC_FETCH_MODE, 32, 1)                                                                                 \
    X(SEC_FETCH_SITE, 32, 1)                                                                                 \
    X(X_REQUESTED_WITH, 32, 1)                                                                               \
    X(CONTENT_TYPE, 64, 1)                  /* failures of gRPC calls (grpc_is_request) */                   \
    X(ORIGIN, 288, 1)                       /* CORS of answers; a host has at most 255 bytes */              \
    X(USER_AGENT, FIELD_AGENT_BYTES + 1, 1) /* the access line, which marks a cut */                         \
    X(TRACEPARENT, 56, 2)                   /* the access line (traceparent.h) */                            \
    X(X_FORWARDED_PROTO, 16, 2)             /* Location of a response (public_scheme) */

typedef struct field {
    str_t name;  /* as received; HTTP/2 names are lower case already */
    str_t value; /* without surrounding white space */
    field_id_t id;
} field_t;

typedef struct fields {
    field_t *at;
    uint32_t count;
    uint32_t capacity : 31;
    uint32_t dropped : 1; /* of a request: only the fields of FIELDS_KEPT are left */
} fields_t;

/* The identity of a name, ignoring case; FIELD_OTHER if no rule uses it. */
field_id_t field_lookup(str_t name);
/* The lower-case name of an identity other than FIELD_OTHER. */
str_t field_name(field_id_t id);
/* Whether a head may have it only once, because two readers could each believe another one (RFC 9110 section
 * 5.3). */
bool field_is_single(field_id_t id);
/* False for names that may not come as a trailer: framing, routing, credentials, control (RFC 9110 section
 * 6.5.1). `id` is the identity of `name`. */
bool field_trailer_allowed(field_id_t id, str_t name);

/* Makes room for exactly `count` fields in an empty section. */
void fields_reserve(arena_t *pool, fields_t *fields, uint32_t count);
/* Appends a field; keeps the slices without a copy. The array grows in `pool`. */
void fields_add(arena_t *pool, fields_t *fields, field_id_t id, str_t name, str_t value);
/* The first field of that identity (not FIELD_OTHER), or NULL. Asserts that its kind was not dropped. */
const field_t *fields_find(const fields_t *fields, field_id_t id);
size_t fields_count(const fields_t *fields, field_id_t id);
/* The value of the first such field, or an empty slice. */
str_t fields_value(const fields_t *fields, field_id_t id);
/* The value of the first field of that name, ignoring case, or an empty slice. For names without an
 * identity. */
str_t fields_value_named(const fields_t *fields, str_t name);
/* Keeps the fields for which `keep` returns true, in order. `keep` may change a field's value; it must not
 * look at other fields of the section. Inline, so that `keep` is inlined too. */
static inline void fields_filter(fields_t *fields, bool (*keep)(field_t *field, void *arg), void *arg)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < fields->count; i++) {
        if (!keep(&fields->at[i], arg))
            continue;
        if (kept != i)
            fields->at[kept] = fields->at[i];
        kept++;
    }
    fields->count = kept;
}
/* Joins all Cookie fields into one with "; ", in the place of the first (RFC 9113 section 8.2.3). */
void fields_join_cookies(arena_t *pool, fields_t *fields);

/* A copy of `s` in the arena. */
str_t str_dup(arena_t *pool, str_t s);
/* `n` in decimal. */
str_t str_decimal(arena_t *pool, uint64_t n);
/* printf into the arena; the result is at most 1 MiB long (asserted), more than any head. */
str_t str_format(arena_t *pool, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
