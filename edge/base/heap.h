/*
 * What the process's heap holds, as its allocator counts it.
 */
#ifndef BOXEDGE_HEAP_H
#define BOXEDGE_HEAP_H

#include <stdint.h>

/* Bytes that are allocated now, by jemalloc's count; 0 where another allocator is linked. Costs a few
 * microseconds. */
uint64_t heap_allocated(void);

#endif
