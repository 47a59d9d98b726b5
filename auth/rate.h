/*
 * The generic cell rate algorithm (ITU-T I.371): a rate with a burst, in one number.
 */
#ifndef BOXEDGE_RATE_H
#define BOXEDGE_RATE_H

#include "str.h"

/*
 * Takes one unit from the cell `*tat` (the theoretical arrival time, ms; 0 for a new cell): one unit every
 * `interval_ms`, and a burst of `burst`. Returns whether the unit is admitted; a refusal changes nothing.
 */
MUST_USE bool rate_take(uint64_t *tat, uint64_t now_ms, uint32_t interval_ms, uint32_t burst);

#endif
