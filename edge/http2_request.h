/*
 * Request heads over HTTP/2 (RFC 9113 section 8.3): decoded fields, one at a time, become the exchange's
 * request_t. nghttp2 checks no message of clients (http2_session_setup_t): all rules are here, so that each
 * refusal has its reason.
 *
 * A head that is malformed (section 8.1.1) is refused as well as one that breaks another rule, and its stream
 * is then reset. The rest of its fields is taken all the same: the answer and the access line show them. A
 * head over its bounds is counted on and not kept, because HPACK needs every block decoded.
 */
#ifndef BOXEDGE_HTTP2_REQUEST_H
#define BOXEDGE_HTTP2_REQUEST_H

#include "exchange.h"

#include "arena.h"

/* A field section of this many times the limit is not decoded to its end: the connection is closed. */
#define HTTP2_HEAD_HOPELESS 16

typedef struct http2_head_limits {
    uint32_t fields; /* all cookie crumbs are one */
    uint32_t bytes;  /* names, values and 32 a field (RFC 9113 section 6.5.2) */
} http2_head_limits_t;

/* A head, or a trailer section, while it comes. Zero-filled is valid. */
typedef struct http2_head {
    str_t scheme, protocol, host;
    size_t bytes;
    uint64_t seen;  /* a bit an identity */
    uint32_t count; /* regular fields; all crumbs are one */
    uint8_t pseudo; /* a bit a pseudo-field of requests */
    bool malformed; /* `fault` says why */
    bool oversize;
    bool repeated; /* a field that must come once came twice: */
    str_t repeated_name;
    fault_t fault; /* why it is malformed; reason NULL: no more is known than that it is */
} http2_head_t;

typedef enum http2_head_result {
    HTTP2_HEAD_OK,
    HTTP2_HEAD_HOPELESS_SIZE, /* close the connection */
} http2_head_result_t;

/* One field as nghttp2 decoded it. `stable_name`: the name's bytes live for ever. Copies what it keeps. */
MUST_USE http2_head_result_t http2_head_field(http2_head_t *head, exchange_t *ex,
                                              const http2_head_limits_t *limits, str_t name, bool stable_name,
                                              str_t value);
/* The same for a trailer section of either direction, into `trailers`. A field that must not be there makes
 * it malformed. */
MUST_USE http2_head_result_t http2_trailer_field(http2_head_t *head, arena_t *pool, fields_t *trailers,
                                                 const http2_head_limits_t *limits, str_t name, str_t value);
/* The head is malformed. The first reason stays, with a copy of its bytes in `pool`: the name of a field, or
 * a value that is no secret. */
void http2_head_blame(http2_head_t *head, arena_t *pool, const fault_t *fault);
/* Counts a field that nghttp2 found invalid: the head is malformed. */
MUST_USE http2_head_result_t http2_head_invalid(http2_head_t *head, const http2_head_limits_t *limits,
                                                size_t name_len, size_t value_len);

/* Counts one field line of so many bytes: above the limit the head is oversize. */
MUST_USE http2_head_result_t http2_head_count(http2_head_t *head, const http2_head_limits_t *limits,
                                              size_t n);

/* Why a head is refused; status 0: it is good. */
typedef struct http2_refusal {
    int status;
    bool malformed; /* RFC 9113 section 8.1.1: the stream is reset, if only behind the answer */
    const char *code;
    const char *sentence;
    fault_t fault; /* with 400 */
} http2_refusal_t;

/*
 * The section is complete: fills what is left of ex->request, or says what is wrong with it; ex->request is
 * then fit to be shown. `end_stream`: no body follows.
 */
http2_refusal_t http2_head_finish(http2_head_t *head, exchange_t *ex, bool end_stream);

/* The urgency that a Priority field asks for (RFC 9218 section 4.1), 3 where it asks for none. */
unsigned http2_urgency(const fields_t *fields);

#endif
