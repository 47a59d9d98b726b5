/*
 * The clock of a tunnel or an event stream: it holds its box only for a while after it last carried something
 * worth the name, so that a forgotten tab does not keep a box awake (docs/internals/wake.md).
 */
#ifndef BOXEDGE_IDLE_WINDOW_H
#define BOXEDGE_IDLE_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More bytes than these within a minute count. */
#define IDLE_WINDOW_BYTES     1024
#define IDLE_WINDOW_MINUTE_MS 60000

/* Times are monotonic ms. */
typedef struct quiet {
    uint64_t busy_ms;   /* it opened, or carried something in a minute that had more than IDLE_WINDOW_BYTES */
    uint64_t minute_ms; /* when the minute began that `bytes` counts: with the first byte after the one before
                           it was over */
    uint32_t bytes;
} idle_window_t;

/* It opens, which counts as if it carried much. */
void idle_window_open(idle_window_t *quiet, uint64_t now_ms);
void idle_window_carry(idle_window_t *quiet, size_t bytes, uint64_t now_ms);
/* Less than `idle_open_ms` ago it carried more than IDLE_WINDOW_BYTES in a minute, or opened. */
bool idle_window_holds(const idle_window_t *quiet, uint32_t idle_open_ms, uint64_t now_ms);

#endif
