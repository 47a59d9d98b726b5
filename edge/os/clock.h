/*
 * The clock for processes without a loop, and for threads beside one.
 */
#ifndef BOXEDGE_CLOCK_H
#define BOXEDGE_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC in ms. */
uint64_t clock_now_ms(void);

#endif
