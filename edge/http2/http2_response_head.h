/*
 * Response heads over HTTP/2 (RFC 9113 section 8.3.2): decoded fields, one at a time, become a response_t.
 * nghttp2 has checked the pseudo-field, names, values and connection-specific fields; bounds, the status and
 * the length are decided here. A head over its bounds is counted on and not kept, as HPACK needs every block
 * decoded.
 */
#ifndef BOXEDGE_HTTP2_RESPONSE_HEAD_H
#define BOXEDGE_HTTP2_RESPONSE_HEAD_H

#include "http2_head.h"
#include "message.h"

/* One field as nghttp2 decoded it, in the order of their coming. `stable_name`: the name's bytes live for
 * ever. Copies what it keeps into `pool`. */
MUST_USE http2_head_result_t http2_response_field(http2_head_t *head, arena_t *pool,
                                                  const http2_head_limits_t *limits, response_t *response,
                                                  str_t name, bool stable_name, str_t value);
/*
 * The section is complete: false where it is malformed or over its bounds. Fills what is left of `response`.
 * `head_request`: the request's method was HEAD; `end_stream`: nothing follows.
 */
MUST_USE bool http2_response_finish(const http2_head_t *head, response_t *response, bool head_request,
                                    bool end_stream);

/* Where nothing more is known of a field that HTTP/2 does not allow. */
#define HTTP2_RESPONSE_BAD_FIELD "A field has a name or value that HTTP/2 does not allow."

/* http2_head_blame with a reason and the bytes alone. */
static inline void http2_response_blame(http2_head_t *head, arena_t *pool, const char *reason, str_t bytes)
{
    http2_head_blame(head, pool, &(fault_t){.kind = FAULT_MALFORMED, .reason = reason, .bytes = bytes});
}

/*
 * The stream and the field in the text that nghttp2 passes to its error callback. No other callback has the
 * field that makes nghttp2 reset a stream. False where the text, which may change with nghttp2, has none;
 * the reason is then less exact. The slices are of `message`.
 */
MUST_USE bool http2_response_refused_field(str_t message, int32_t *stream, str_t *name, str_t *value);
/* Blames this field of a head; `head` and `response` have the fields before it. */
void http2_response_refused(http2_head_t *head, arena_t *pool, const response_t *response, str_t name,
                            str_t value);
/* The same for a field of the trailers. */
void http2_response_trailer_refused(http2_head_t *head, arena_t *pool, str_t name);
/* Why nghttp2 refuses a head of which it took every field; NULL: unknown. */
const char *http2_response_bad_section(const response_t *response, bool end_stream);

#endif
