/*
 * When a process that died is started again: at once, until it dies for the third time within 10 s; from
 * then on after 1 s, doubling up to 30 s, until one lives for 10 s.
 */
#ifndef BOXEDGE_BACKOFF_H
#define BOXEDGE_BACKOFF_H

#include <stdint.h>

#define BACKOFF_WINDOW_MS 10000u
#define BACKOFF_FIRST_MS  1000u
#define BACKOFF_LAST_MS   30000u

/* Zero-filled: nothing died yet. */
typedef struct backoff {
    uint64_t before[2]; /* times of the last two deaths, the later first; 0: none */
    uint32_t delay_ms;  /* the last answer */
} backoff_t;

/* A process that started at `started_ms` died at `now_ms` (monotonic, not 0). Returns the ms to wait. */
uint32_t backoff_after_death(backoff_t *backoff, uint64_t started_ms, uint64_t now_ms);

#endif
