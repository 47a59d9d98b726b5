/*
 * The clock of processes that have no loop, or work beside it.
 */
#ifndef BOXEDGE_CLOCK_H
#define BOXEDGE_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC in ms. */
uint64_t clock_now_ms(void);

#endif
