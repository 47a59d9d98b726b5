/*
 * Cells in memory that several processes write. A process that was taken over may write anything into any of
 * them. A reader therefore loads a cell once, bounds the value, and asserts nothing about it.
 */
#ifndef BOXEDGE_SHARED_CELL_H
#define BOXEDGE_SHARED_CELL_H

#include <stdatomic.h>
#include <stdint.h>

/* The value of a cell that is a number of entries; `most` if it is greater. */
static inline uint32_t shared_at_most(const _Atomic uint32_t *cell, uint32_t most)
{
    uint32_t value = atomic_load(cell);
    return value < most ? value : most;
}

/* Takes 1 from a count that the caller raised before. A count that another process zeroed stays 0. */
static inline void shared_count_down(_Atomic uint32_t *count)
{
    if (atomic_load(count) != 0)
        atomic_fetch_sub(count, 1);
}

#endif
