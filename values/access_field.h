/*
 * The fields of an access line, in their order: the names that `log.fields` knows. docs/operations.md has
 * their meaning.
 */
#ifndef BOXEDGE_ACCESS_FIELD_H
#define BOXEDGE_ACCESS_FIELD_H

#include "str.h"

/* X(symbol, name) */
#define ACCESS_FIELDS(X)                                                                                     \
    X(TIME, "time")                                                                                          \
    X(REQUEST_ID, "request_id")                                                                              \
    X(TRACE_ID, "trace_id")                                                                                  \
    X(CLIENT, "client")                                                                                      \
    X(PROXY, "proxy")                                                                                        \
    X(HOST, "host")                                                                                          \
    X(BOX, "box")                                                                                            \
    X(PORT, "port")                                                                                          \
    X(KIND, "kind")                                                                                          \
    X(METHOD, "method")                                                                                      \
    X(PATH, "path")                                                                                          \
    X(HTTP, "http")                                                                                          \
    X(TLS, "tls")                                                                                            \
    X(USER_AGENT, "user_agent")                                                                              \
    X(STATUS, "status")                                                                                      \
    X(REQUEST_BYTES, "request_bytes")                                                                        \
    X(RESPONSE_BYTES, "response_bytes")                                                                      \
    X(DURATION_MS, "duration_ms")                                                                            \
    X(WAKE, "wake")                                                                                          \
    X(WAKE_MS, "wake_ms")                                                                                    \
    X(KEY, "key")                                                                                            \
    X(PLAN, "plan")                                                                                          \
    X(LIMITED, "limited")                                                                                    \
    X(UPSTREAM, "upstream")                                                                                  \
    X(ATTEMPTS, "attempts")                                                                                  \
    X(QUEUED_MS, "queued_ms")                                                                                \
    X(CONNECT_MS, "connect_ms")                                                                              \
    X(FIRST_BYTE_MS, "first_byte_ms")                                                                        \
    X(ORIGIN, "origin")                                                                                      \
    X(REASON, "reason")                                                                                      \
    X(DETAIL, "detail")                                                                                      \
    X(TUNNEL, "tunnel")                                                                                      \
    X(RESENT, "resent")                                                                                      \
    X(END, "end")

typedef enum access_field {
#define X(symbol, name) ACCESS_FIELD_##symbol,
    ACCESS_FIELDS(X)
#undef X
        ACCESS_FIELD_COUNT,
} access_field_t;

/* A set of fields: bit 1 << field. */
typedef uint64_t access_fields_t;
#define ACCESS_FIELDS_ALL       ((UINT64_C(1) << ACCESS_FIELD_COUNT) - 1)
#define ACCESS_FIELD_BIT(field) (UINT64_C(1) << (field))

_Static_assert(ACCESS_FIELD_COUNT < 64, "a set has a bit for each field");

/* The field with this name, or ACCESS_FIELD_COUNT. The search begins at `first`: the fields of a line have an
 * order. */
access_field_t access_field_find(str_t name, access_field_t first);
str_t access_field_name(access_field_t field);

#endif
