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
#include "http2_head.h"

/* One field as nghttp2 decoded it. `stable_name`: the name's bytes live for ever. Copies what it keeps. */
MUST_USE http2_head_result_t http2_head_field(http2_head_t *head, exchange_t *ex,
                                              const http2_head_limits_t *limits, str_t name, bool stable_name,
                                              str_t value);
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
