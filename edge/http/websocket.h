/*
 * The parts of RFC 6455 that the edge needs: the handshake's key, the position in a stream of frames, and one
 * Close frame. Payload is never unmasked or inspected.
 */
#ifndef BOXEDGE_WEBSOCKET_H
#define BOXEDGE_WEBSOCKET_H

#include "str.h"

#define WEBSOCKET_ACCEPT_LEN 28
/* Maximum bytes of a Close frame's reason: of a control frame's 125 bytes, the code takes two. */
#define WEBSOCKET_REASON_MAX 123
#define WEBSOCKET_CLOSE_MAX  (4 + WEBSOCKET_REASON_MAX)

/* Whether the Sec-WebSocket-Key is 16 bytes in canonical base64, 24 characters (section 4.1). */
bool websocket_key_valid(str_t key);
/* Sec-WebSocket-Accept for `key`, 28 characters and a NUL, into `out` (section 4.2.2). */
void websocket_accept_key(str_t key, char out[WEBSOCKET_ACCEPT_LEN + 1]);

/*
 * Follows the frames of one direction (section 5.2). It observes and never refuses. After anything that it
 * does not understand (reserved opcodes, a fragmented or long control frame, a 64-bit length over 2^63-1),
 * the position is `unknown` for good. All-zero is the start.
 */
typedef struct websocket_frames {
    uint64_t left;          /* payload bytes of the current frame still to come */
    uint64_t payload_bytes; /* of data frames, so far */
    uint64_t control_bytes; /* of control frames with their headers, so far */
    unsigned char header[14];
    uint8_t header_len; /* bytes of the current frame's header so far; 0 while payload runs */
    bool control;       /* the current frame is a control frame */
    bool closed;        /* a Close frame has begun */
    bool unknown;
    /* Called when the header of a data frame with `length` bytes of payload is complete. May be NULL. */
    void (*data_begins)(struct websocket_frames *frames, uint64_t length);
} websocket_frames_t;

void websocket_frames_feed(websocket_frames_t *frames, str_t data);
/* Whether another sender's frame may go in here: at a known place between frames, before any Close. */
bool websocket_frames_between(const websocket_frames_t *frames);

/*
 * Writes an unmasked Close frame, as servers send it, into `out`. `reason` is UTF-8 of at most
 * WEBSOCKET_REASON_MAX bytes. Returns the frame's length.
 */
size_t websocket_close_frame(uint16_t code, str_t reason, char out[WEBSOCKET_CLOSE_MAX]);

#endif
