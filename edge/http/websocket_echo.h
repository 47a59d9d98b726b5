/*
 * The server's side of a WebSocket that sends every message back (RFC 6455): frames in, frames out. Strict:
 * what breaks the protocol ends it with a Close frame that says why. Nothing here knows of sockets.
 */
#ifndef BOXEDGE_WEBSOCKET_ECHO_H
#define BOXEDGE_WEBSOCKET_ECHO_H

#include "str.h"

/* The most that one message may have, in bytes, its fragments put together. */
#define WEBSOCKET_ECHO_MESSAGE_MAX 1048576

typedef struct websocket_echo websocket_echo_t;

websocket_echo_t *websocket_echo_new(void);
void websocket_echo_free(websocket_echo_t **echo);

/* How many bytes websocket_echo_feed takes now: none while many wait to be sent (then consume first). Once
 * the echo has ended everything is taken and thrown away. */
size_t websocket_echo_room(const websocket_echo_t *echo);
/* Bytes from the client, at most so many. */
void websocket_echo_feed(websocket_echo_t *echo, str_t data);

/* What waits to be sent; valid until the next call that changes the echo. */
str_t websocket_echo_output(const websocket_echo_t *echo);
/* The first n bytes of it were sent. */
void websocket_echo_consume(websocket_echo_t *echo, size_t n);
/* True once a Close frame is in the output: nothing follows it. */
bool websocket_echo_ended(const websocket_echo_t *echo);

#endif
