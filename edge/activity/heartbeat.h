/*
 * Recognises heartbeats among a client's messages on an open tunnel. Scripts send them with a fixed length
 * and period; a person's messages have neither (docs/internals/wake.md, "Activity"). Knows no loop: times are
 * parameters, monotonic ms.
 */
#ifndef BOXEDGE_HEARTBEAT_H
#define BOXEDGE_HEARTBEAT_H

#include <stdint.h>

/* Remembered lengths per tunnel; a new one replaces the least recent. */
#define HEARTBEAT_LENGTHS 4
/* Tolerance of a period: an eighth of it, plus this. */
#define HEARTBEAT_SLACK_MS 50
/* Faster messages are no heartbeats: held keys and moving pointers send them. */
#define HEARTBEAT_PERIOD_MIN_MS 500
/* Maximum periods between two heartbeats: browsers skip or delay some in a hidden tab. */
#define HEARTBEAT_PERIODS_MAX 4

typedef enum heartbeat {
    HEARTBEAT_NEW,     /* too few of this length yet */
    HEARTBEAT_REGULAR, /* came when it was due */
    HEARTBEAT_OTHER,   /* known length, at another time */
} heartbeat_t;

typedef struct heartbeat_length {
    uint64_t length;
    uint64_t last_ms;   /* 0: free */
    uint32_t period_ms; /* 0: only one message yet */
} heartbeat_length_t;

/* Zero-filled is valid. */
typedef struct heartbeats {
    heartbeat_length_t lengths[HEARTBEAT_LENGTHS];
} heartbeats_t;

/* Notes a message of `length` bytes; `now_ms` is not 0. */
heartbeat_t heartbeat_note(heartbeats_t *beats, uint64_t length, uint64_t now_ms);

#endif
