/*
 * Which messages of a client on an open tunnel are heartbeats: those that repeat by length and period, as
 * scripts send them. A person's come by neither (docs/design.md, "Waking"). Knows no loop: times are
 * parameters, monotonic ms.
 */
#ifndef BOXEDGE_HEARTBEAT_H
#define BOXEDGE_HEARTBEAT_H

#include <stdint.h>

/* Lengths that are remembered of one tunnel; the one that was seen longest ago gives way. */
#define HEARTBEAT_LENGTHS 4
/* A heartbeat may come so much sooner or later than its period says: an eighth of that, and this. */
#define HEARTBEAT_SLACK_MS 50
/* What comes faster is no heartbeat: keys are held down, and pointers are moved. */
#define HEARTBEAT_PERIOD_MIN_MS 500
/* Heartbeats that browsers left out, or put off in a hidden tab, in a row. */
#define HEARTBEAT_MISSED_MAX 4

typedef enum heartbeat {
    HEARTBEAT_NEW,     /* too few of this length to tell */
    HEARTBEAT_REGULAR, /* it came when it was due */
    HEARTBEAT_OTHER,   /* its length is known, and it came at another time */
} heartbeat_t;

typedef struct heartbeat_length {
    uint64_t length;
    uint64_t last_ms;   /* 0: free */
    uint32_t period_ms; /* 0: one was seen */
} heartbeat_length_t;

/* Start from all zeroes. */
typedef struct heartbeats {
    heartbeat_length_t lengths[HEARTBEAT_LENGTHS];
} heartbeats_t;

/* A message of `length` bytes comes now (not 0). */
heartbeat_t heartbeat_note(heartbeats_t *beats, uint64_t length, uint64_t now_ms);

#endif
