/*
 * Parses an HTTP/1 response head of an origin into a response_t, by RFC 9112. As strict as for requests: a
 * head that could be read in two ways is bad, and the caller answers 502.
 */
#ifndef BOXEDGE_HTTP1_RESPONSE_H
#define BOXEDGE_HTTP1_RESPONSE_H

#include "arena.h"
#include "fault.h"
#include "http1_parse.h"
#include "message.h"

typedef struct http1_response_head {
    size_t len;
    bool chunked;                  /* the body is chunked */
    fault_t fault;                 /* with HTTP1_BAD: the reason */
    bool until_close;              /* the body ends with the connection */
    bool no_body_by_rule;          /* HEAD, 1xx, 204, 304: bodyless, even if the origin announced a body */
    bool keep_alive;               /* the connection may carry another request after this response */
    uint32_t keep_alive_timeout_s; /* Keep-Alive: timeout=N; 0: not given */
} http1_response_head_t;

/*
 * Parses the head at the start of `data`; `last_len`, `max_bytes` and `max_fields` as in http1_parse_request.
 * `head_request`: the request was HEAD. A head with a 1xx status is bodyless; another head follows, except
 * after 101. All lines may end with LF alone (RFC 9112 section 2.2). Repeated equal lengths count as one
 * (section 6.3). response->content_length is the origin's, even if the response is bodyless (HEAD, 304).
 * response->tunnel stays false. Slices point into `data`.
 */
MUST_USE http1_parse_t http1_parse_response(str_t data, size_t last_len, size_t max_bytes,
                                            uint32_t max_fields, bool head_request, arena_t *pool,
                                            response_t *response, http1_response_head_t *head);

#endif
