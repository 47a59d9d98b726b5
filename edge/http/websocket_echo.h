/*
 * The server's side of a WebSocket that echoes every message (RFC 6455): frames in, frames out. Strict: a
 * violation of the protocol ends it with a Close frame that has the reason. It uses no sockets.
 */
#ifndef BOXEDGE_WEBSOCKET_ECHO_H
#define BOXEDGE_WEBSOCKET_ECHO_H

#include "str.h"

/* Maximum bytes of one message, with its fragments joined. */
#define WEBSOCKET_ECHO_MESSAGE_MAX 1048576

typedef struct websocket_echo websocket_echo_t;

websocket_echo_t *websocket_echo_new(void);
void websocket_echo_free(websocket_echo_t **echo);

/* The number of bytes that websocket_echo_feed takes now: 0 while too much output is pending (consume it
 * first). After the end, the echo takes all input and discards it. */
size_t websocket_echo_room(const websocket_echo_t *echo);
/* Takes bytes from the client, at most websocket_echo_room. */
void websocket_echo_feed(websocket_echo_t *echo, str_t data);

/* The pending output; valid until the next call that changes the echo. */
str_t websocket_echo_output(const websocket_echo_t *echo);
/* Drops the first n bytes of the output after they were sent. */
void websocket_echo_consume(websocket_echo_t *echo, size_t n);
/* Whether a Close frame is in the output; nothing follows it. */
bool websocket_echo_ended(const websocket_echo_t *echo);

#endif
