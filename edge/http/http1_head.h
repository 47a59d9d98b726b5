/*
 * The text of HTTP/1 response heads (RFC 9112 section 4) for clients.
 */
#ifndef BOXEDGE_HTTP1_HEAD_H
#define BOXEDGE_HTTP1_HEAD_H

#include "message.h"

#include "arena.h"

typedef struct http1_head {
    bool chunked;    /* Transfer-Encoding: chunked */
    bool close;      /* Connection: close */
    bool keep_alive; /* Connection: keep-alive, for HTTP/1.0 clients */
    str_t date;      /* used if the response has no Date */
} http1_head_t;

/* The whole head, with the empty line, in `arena`. */
str_t http1_head_text(arena_t *arena, const response_t *response, const http1_head_t *head);
/* A head with a status of 100-199 and these fields. */
str_t http1_head_informational(arena_t *arena, int status, const fields_t *fields);

#endif
