/*
 * Response heads over HTTP/2 (RFC 9113 section 8.3.2): decoded fields, one at a time, become a response_t.
 * nghttp2 has checked the pseudo-field, names, values and connection-specific fields. This checks bounds, the
 * status and the length. A head over its bounds is still counted but not kept, because HPACK must decode
 * every block.
 */
#ifndef BOXEDGE_HTTP2_RESPONSE_HEAD_H
#define BOXEDGE_HTTP2_RESPONSE_HEAD_H

#include "http2_head.h"
#include "message.h"

/* Takes one field as nghttp2 decoded it, in order. `stable_name`: the name's bytes live forever. Copies the
 * kept parts into `pool`. */
MUST_USE http2_head_result_t http2_response_field(http2_head_t *head, arena_t *pool,
                                                  const http2_head_limits_t *limits, response_t *response,
                                                  str_t name, bool stable_name, str_t value);
/*
 * Completes the section and `response`. False: it is malformed or over its bounds. `head_request`: the
 * request's method was HEAD; `end_stream`: nothing follows.
 */
MUST_USE bool http2_response_finish(const http2_head_t *head, response_t *response, bool head_request,
                                    bool end_stream);

/* The reason for a forbidden field without a more specific one. */
#define HTTP2_RESPONSE_BAD_FIELD "A field has a name or value that HTTP/2 does not allow."

/* http2_head_blame with only a reason and bytes. */
static inline void http2_response_blame(http2_head_t *head, arena_t *pool, const char *reason, str_t bytes)
{
    http2_head_blame(head, pool, &(fault_t){.kind = FAULT_MALFORMED, .reason = reason, .bytes = bytes});
}

/*
 * Extracts the stream and the field from the text that nghttp2 passes to its error callback, the only
 * callback that gets the field for which nghttp2 resets a stream. False if the text, which may change with
 * nghttp2, has none; the reason is then less exact. The slices point into `message`.
 */
MUST_USE bool http2_response_refused_field(str_t message, int32_t *stream, str_t *name, str_t *value);
/* Blames this field of a head; `head` and `response` have the earlier fields. */
void http2_response_refused(http2_head_t *head, arena_t *pool, const response_t *response, str_t name,
                            str_t value);
/* The same for a field of the trailers. */
void http2_response_trailer_refused(http2_head_t *head, arena_t *pool, str_t name);
/* The reason for which nghttp2 refuses a head with valid fields; NULL: unknown. */
const char *http2_response_bad_section(const response_t *response, bool end_stream);

#endif
