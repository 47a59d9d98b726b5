/*
 * A field section over HTTP/2 during its arrival (RFC 9113 section 8.2): its bounds, its pseudo-fields, and
 * its faults. http2_request.h and http2_response_head.h turn it into a head.
 */
#ifndef BOXEDGE_HTTP2_HEAD_H
#define BOXEDGE_HTTP2_HEAD_H

#include "arena.h"
#include "fault.h"
#include "field.h"

/* A field section over this many times the limit is not decoded to its end: the connection closes. */
#define HTTP2_HEAD_HOPELESS 16

typedef struct http2_head_limits {
    uint32_t fields; /* all cookie crumbs count as one */
    uint32_t bytes;  /* names, values and 32 per field (RFC 9113 section 6.5.2) */
} http2_head_limits_t;

/* A head, or a trailer section, during its arrival. All-zero is valid. */
typedef struct http2_head {
    str_t scheme, protocol, host;
    size_t bytes;
    uint64_t seen;  /* a bit per identity */
    uint32_t count; /* regular fields; all crumbs count as one */
    uint8_t pseudo; /* a bit per pseudo-field of requests */
    bool malformed; /* `fault` has the reason */
    bool oversize;
    bool repeated; /* a field that must come once came twice */
    str_t repeated_name;
    fault_t fault; /* why it is malformed; reason NULL: not known */
} http2_head_t;

typedef enum http2_head_result {
    HTTP2_HEAD_OK,
    HTTP2_HEAD_HOPELESS_SIZE, /* close the connection */
} http2_head_result_t;

/* Whether a field is valid by RFC 9113 section 8.2.1. `stable_name`: the name is one of HPACK's table, which
 * are all valid. Does not judge the name of a pseudo-field. */
bool http2_head_field_is_valid(str_t name, bool stable_name, str_t value);
/*
 * Adds one field of a trailer section of either direction, as nghttp2 decoded it, to `trailers`. A forbidden
 * field makes the section malformed.
 */
MUST_USE http2_head_result_t http2_trailer_field(http2_head_t *head, arena_t *pool, fields_t *trailers,
                                                 const http2_head_limits_t *limits, str_t name, str_t value);
/* Marks the head as malformed. The first reason stays, with a copy in `pool` of its bytes: the name of a
 * field, or a value that is no secret. */
void http2_head_blame(http2_head_t *head, arena_t *pool, const fault_t *fault);
/* Counts a field that nghttp2 found invalid, and marks the head as malformed. */
MUST_USE http2_head_result_t http2_head_invalid(http2_head_t *head, const http2_head_limits_t *limits,
                                                size_t name_len, size_t value_len);

/* Counts one field line of n bytes; above the limit, the head is oversize. */
MUST_USE http2_head_result_t http2_head_count(http2_head_t *head, const http2_head_limits_t *limits,
                                              size_t n);

#endif
