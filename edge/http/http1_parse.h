/*
 * Parses an HTTP/1 request head into a request_t, by RFC 9110 and 9112 and the rules of docs/http.md. Refuses
 * any head that two readers could read differently. Keeps no state between calls.
 */
#ifndef BOXEDGE_HTTP1_PARSE_H
#define BOXEDGE_HTTP1_PARSE_H

#include "arena.h"
#include "fault.h"
#include "message.h"

/* Maximum bytes of a method. */
#define HTTP1_METHOD_MAX 32
/* Maximum number of names in all Connection fields of a request together. */
#define HTTP1_CONNECTION_OPTIONS 64

typedef enum http1_parse { HTTP1_INCOMPLETE, HTTP1_OK, HTTP1_BAD } http1_parse_t;

/* The arguments for exchange_refuse; the strings are constants. */
typedef struct http1_error {
    int status; /* 400, 414, 417, 431, 501 or 505 */
    const char *code;
    const char *sentence;
    fault_t fault; /* the reason, for the log and the sender */
} http1_error_t;

typedef struct http1_request_head {
    size_t len;      /* of the head, with an empty line before it */
    bool chunked;    /* the body is chunked; else request->content_length bytes, or none */
    bool keep_alive; /* the client allows another request on the connection after the response */
} http1_request_head_t;

/* The length of the head at the start of `data`, an empty line before it included (RFC 9112 section 2.2); 0
 * if its end has not come. The first `seen` bytes are known to hold no end. */
size_t http1_head_end(str_t data, size_t seen);

/*
 * Parses the head at the start of `data`; skips one empty line before it (RFC 9112 section 2.2). The previous
 * call saw the first `last_len` bytes and found them incomplete; 0 for the first call. The head may have at
 * most `max_bytes` bytes and `max_fields` field lines.
 *
 * HTTP1_OK: fills `request` and `head`; slices point into `data`, or into `pool` for joined text. HTTP1_BAD:
 * `error` has the reason, and the connection cannot continue. request->version, method, authority and target
 * are then the understood parts, for the log (empty if none). If a head exceeds its limits, Host and Origin
 * are read too; they count only if request->unambiguous is set.
 */
MUST_USE http1_parse_t http1_parse_request(str_t data, size_t last_len, size_t max_bytes, uint32_t max_fields,
                                           arena_t *pool, request_t *request, http1_request_head_t *head,
                                           http1_error_t *error);

#endif
