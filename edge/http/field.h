/*
 * Field sections (RFC 9110 section 5, trailers included): names and values as they came, in order, with an
 * identity for the names that the edge knows, so that rules compare numbers. A section lives in an arena
 * (arena_t), its slices point into that arena or into memory that lives as long.
 */
#ifndef BOXEDGE_FIELD_H
#define BOXEDGE_FIELD_H

#include "str.h"

#include "arena.h"

/* Every field name that some rule of the edge asks for: identity, name in lower case. */
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
 * The fields that anything reads once a request's head was freed (request_head.h): identity, bytes of the
 * value at most, how many of that name at most (more than 1 where readers tell one from several). No reader
 * needs more. The first six are for answers of the edge's own (exchange_browser).
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
    X(ORIGIN, 288, 1)                       /* CORS of answers; a host has 255 bytes at most */              \
    X(USER_AGENT, FIELD_AGENT_BYTES + 1, 1) /* the access line, which marks a cut */                         \
    X(X_FORWARDED_PROTO, 16, 2)             /* Location of a response (public_scheme) */

typedef struct field {
    str_t name;  /* as it came; HTTP/2 names are lower case already */
    str_t value; /* without surrounding white space */
    field_id_t id;
} field_t;

typedef struct fields {
    field_t *at;
    uint32_t count;
    uint32_t capacity : 31;
    uint32_t dropped : 1; /* of a request, only those of FIELDS_KEPT are left */
} fields_t;

/* The identity of a name, in any case; FIELD_OTHER for one that no rule asks for. */
field_id_t field_lookup(str_t name);
/* The lower-case name of an identity other than FIELD_OTHER. */
str_t field_name(field_id_t id);
/* True where a head must not have it twice, because two readers could each believe another one (RFC 9110
 * section 5.3). */
bool field_is_single(field_id_t id);
/* False for what must not come as a trailer: framing, routing, credentials, control (RFC 9110 section 6.5.1);
 * `id` is the identity of `name`. */
bool field_trailer_allowed(field_id_t id, str_t name);

/* Room for exactly `count` fields in an empty section, where that many are about to be added. */
void fields_reserve(arena_t *pool, fields_t *fields, uint32_t count);
/* Appends; the slices are kept, not copied. The array grows in `pool`. */
void fields_add(arena_t *pool, fields_t *fields, field_id_t id, str_t name, str_t value);
/* The first field of that identity (not FIELD_OTHER), or NULL. Asserts that such fields were not dropped. */
const field_t *fields_find(const fields_t *fields, field_id_t id);
size_t fields_count(const fields_t *fields, field_id_t id);
/* The value of the first such field, or an empty slice. */
str_t fields_value(const fields_t *fields, field_id_t id);
/* The value of the first field of that name, in any case, or an empty slice: for names without an identity.
 */
str_t fields_value_named(const fields_t *fields, str_t name);
/* Keeps the fields for which `keep` returns true, in their order. `keep` may change a field's value; it must
 * not look at other fields of the section. Inline, so that `keep` is, too. */
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
/* Joins all Cookie fields to one with "; ", in the place of the first (RFC 9113 section 8.2.3). */
void fields_join_cookies(arena_t *pool, fields_t *fields);

/* A copy of `s` in the arena. */
str_t str_dup(arena_t *pool, str_t s);
/* `n` in decimal. */
str_t str_decimal(arena_t *pool, uint64_t n);
/* printf into the arena; the result is at most 1 MiB long (asserted), more than any head. */
str_t str_format(arena_t *pool, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
