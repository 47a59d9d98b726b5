/*
 * Request heads over HTTP/2 (RFC 9113 section 8.3): turns decoded fields, one at a time, into the exchange's
 * request_t. nghttp2 checks no client messages (http2_session_setup_t). All rules are here, so that each
 * refusal has its reason.
 *
 * A malformed head (section 8.1.1) is answered like other invalid heads, and its stream is then reset. The
 * remaining fields are still decoded for the answer and the access line. A head over its limits is counted
 * but not kept, because HPACK needs every block decoded.
 */
#ifndef BOXEDGE_HTTP2_REQUEST_H
#define BOXEDGE_HTTP2_REQUEST_H

#include "exchange.h"
#include "http2_head.h"

/* Takes one field as decoded by nghttp2. `stable_name`: the name's bytes are static. Copies the bytes that it
 * keeps. */
MUST_USE http2_head_result_t http2_head_field(http2_head_t *head, exchange_t *ex,
                                              const http2_head_limits_t *limits, str_t name, bool stable_name,
                                              str_t value);
/* The reason for refusing a head; status 0: the head is valid. */
typedef struct http2_refusal {
    int status;
    bool malformed; /* RFC 9113 section 8.1.1: the stream is reset, at the latest after the answer */
    const char *code;
    const char *sentence;
    fault_t fault; /* with 400 */
} http2_refusal_t;

/*
 * Ends the section: completes ex->request, or returns the reason for refusing it. Even a refused request is
 * then safe to log and show. `end_stream`: no body follows.
 */
http2_refusal_t http2_head_finish(http2_head_t *head, exchange_t *ex, bool end_stream);

/* The urgency of the Priority field (RFC 9218 section 4.1); 3 if absent. */
unsigned http2_urgency(const fields_t *fields);

#endif
