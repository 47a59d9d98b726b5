/*
 * The delay before a dead process is restarted. It is 0 until the third death within 10 s; then 1
 * s, doubling up to 30 s, until one process lives for 10 s.
 */
#ifndef BOXEDGE_BACKOFF_H
#define BOXEDGE_BACKOFF_H

#include <stdint.h>

#define BACKOFF_WINDOW_MS 10000u
#define BACKOFF_FIRST_MS  1000u
#define BACKOFF_LAST_MS   30000u

/* Zero-filled: no deaths yet. */
typedef struct backoff {
    uint64_t before[2]; /* times of the last two deaths, the later first; 0: none */
    uint32_t delay_ms;  /* the last result */
} backoff_t;

/* Records that a process started at `started_ms` died at `now_ms` (monotonic, not 0). Returns the
 * delay in ms. */
uint32_t backoff_after_death(backoff_t *backoff, uint64_t started_ms, uint64_t now_ms);

#endif
