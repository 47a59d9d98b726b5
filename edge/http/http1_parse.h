/*
 * One HTTP/1 request head, from bytes to a request_t, by RFC 9110 and 9112 and the rules of docs/http.md.
 * What two readers could take in two ways is refused. Nothing is remembered between calls.
 */
#ifndef BOXEDGE_HTTP1_PARSE_H
#define BOXEDGE_HTTP1_PARSE_H

#include "arena.h"
#include "fault.h"
#include "message.h"

/* A method has at most so many bytes. */
#define HTTP1_METHOD_MAX 32
/* What all Connection fields of a request name together, at most. */
#define HTTP1_CONNECTION_OPTIONS 64

typedef enum http1_parse { HTTP1_INCOMPLETE, HTTP1_OK, HTTP1_BAD } http1_parse_t;

/* What exchange_refuse is given; the strings are constants. */
typedef struct http1_error {
    int status; /* 400, 414, 417, 431, 501 or 505 */
    const char *code;
    const char *sentence;
    fault_t fault; /* why, for the log and whoever sent it */
} http1_error_t;

typedef struct http1_request_head {
    size_t len;      /* of the head, with an empty line before it */
    bool chunked;    /* the body is chunked; else request->content_length bytes, or none */
    bool keep_alive; /* the client lets the connection live on after the response */
} http1_request_head_t;

/*
 * Parses the head at the start of `data`; one empty line before it is skipped (RFC 9112 section 2.2).
 * `last_len` is how much of `data` the call before saw and found incomplete, else 0. The head has at most
 * `max_bytes` bytes and `max_fields` field lines.
 *
 * HTTP1_OK: `request` and `head` are filled; slices point into `data`, or into `pool` where something was put
 * together. HTTP1_BAD: `error` says why, and the connection cannot go on; request->version, method,
 * authority and target are what was understood, for the log (empty where nothing was). Of a head over its
 * limits Host and Origin are taken too; request->unambiguous says whether they count.
 */
MUST_USE http1_parse_t http1_parse_request(str_t data, size_t last_len, size_t max_bytes, uint32_t max_fields,
                                           arena_t *pool, request_t *request, http1_request_head_t *head,
                                           http1_error_t *error);

#endif
