/*
 * The heads of HTTP messages as codecs, exchanges and origins pass them to each other, for every HTTP version
 * (RFC 9110 section 6).
 */
#ifndef BOXEDGE_MESSAGE_H
#define BOXEDGE_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "field.h"
#include "str.h"

/* request_t.content_length and response_t.content_length if no length is given. */
#define LENGTH_UNKNOWN UINT64_MAX

typedef enum http_version { HTTP_1_0 = 10, HTTP_1_1 = 11, HTTP_2 = 20 } http_version_t;

/* A request head that its codec has checked by the rules of docs/http.md. Slices live until
 * request_head_release. */
typedef struct request {
    http_version_t version;
    str_t method;
    str_t authority; /* Host or :authority as it came; empty only for HTTP/1.0 without Host */
    str_t target;    /* raw path and query: starts with '/', or is "*" for OPTIONS */
    fields_t fields; /* without Host and pseudo-fields; Cookie crumbs joined to one field; without
                        Content-Length and Transfer-Encoding, which content_length and has_body replace */
    fields_t trailers;
    uint64_t content_length; /* LENGTH_UNKNOWN: no length given */
    bool has_body;           /* body bytes may come (a length over 0, chunked, or an open HTTP/2 stream) */
    bool expect_continue;    /* the client waits for 100 (Continue) before its body */
    bool unambiguous;        /* Host and Origin have only one reading; also for a refused head */
    bool websocket;      /* a WebSocket handshake: HTTP/1 Upgrade or HTTP/2 extended CONNECT, version 13 */
    str_t websocket_key; /* Sec-WebSocket-Key of an HTTP/1 handshake; empty over HTTP/2 */
} request_t;

/* A response head. Slices live only until send_head returns. */
typedef struct response {
    int status;
    str_t reason;    /* the phrase received over HTTP/1, valid by its grammar; empty: none */
    fields_t fields; /* without connection-level fields, Content-Length and Transfer-Encoding */
    fields_t trailers;
    uint64_t content_length; /* LENGTH_UNKNOWN: framed by the codec */
    bool bodyless;           /* no body bytes follow: HEAD, 204, 304, or length 0 */
    bool tunnel; /* an accepted WebSocket: from here on, bodies are raw bytes in both directions */
} response_t;

#endif
