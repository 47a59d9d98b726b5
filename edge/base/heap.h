/*
 * The size of the process's heap, as its allocator counts it.
 */
#ifndef BOXEDGE_HEAP_H
#define BOXEDGE_HEAP_H

#include <stdint.h>

/* Currently allocated bytes by jemalloc's count; 0 with another allocator. Costs a few
 * microseconds. */
uint64_t heap_allocated(void);

#endif
