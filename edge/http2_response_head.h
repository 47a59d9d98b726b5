/*
 * Response heads over HTTP/2 (RFC 9113 section 8.3.2): decoded fields, one at a time, become a response_t.
 * nghttp2 has checked the pseudo-field, names, values and connection-specific fields; bounds, the status and
 * the length are decided here. A head over its bounds is counted on and not kept, as HPACK needs every block
 * decoded (http2_request.h).
 */
#ifndef BOXEDGE_HTTP2_RESPONSE_HEAD_H
#define BOXEDGE_HTTP2_RESPONSE_HEAD_H

#include "http2_request.h"

/* One field as nghttp2 decoded it, in the order of their coming. `stable_name`: the name's bytes live for
 * ever. Copies what it keeps into `pool`. */
MUST_USE http2_head_result_t http2_response_field(http2_head_t *head, h2o_mem_pool_t *pool,
                                                  const http2_head_limits_t *limits, response_t *response,
                                                  str_t name, bool stable_name, str_t value);
/*
 * The section is complete: false where it is malformed or over its bounds. Fills what is left of `response`.
 * `head_request`: the request's method was HEAD; `end_stream`: nothing follows.
 */
MUST_USE bool http2_response_finish(const http2_head_t *head, response_t *response, bool head_request,
                                    bool end_stream);

#endif
