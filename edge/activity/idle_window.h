/*
 * The idle clock of a tunnel or an event stream, which holds its box only for a while after its last notable
 * traffic. A forgotten tab does not keep a box awake (docs/internals/wake.md).
 */
#ifndef BOXEDGE_IDLE_WINDOW_H
#define BOXEDGE_IDLE_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Traffic of more bytes than this within a minute counts. */
#define IDLE_WINDOW_BYTES     1024
#define IDLE_WINDOW_MINUTE_MS 60000

/* Times are monotonic ms. */
typedef struct idle_window {
    uint64_t busy_ms; /* it opened, or last carried something in a minute with more than IDLE_WINDOW_BYTES */
    uint64_t minute_ms; /* begin of the minute that `bytes` counts: its first byte */
    uint32_t bytes;
} idle_window_t;

/* The stream opens, which counts as traffic. */
void idle_window_open(idle_window_t *window, uint64_t now_ms);
void idle_window_carry(idle_window_t *window, size_t bytes, uint64_t now_ms);
/* Whether it opened, or carried more than IDLE_WINDOW_BYTES in a minute, less than `idle_open_ms` ago. */
bool idle_window_holds(const idle_window_t *window, uint32_t idle_open_ms, uint64_t now_ms);

#endif
