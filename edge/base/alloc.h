/*
 * Memory from the heap, to be given back with free. A process without memory ends: its supervisor starts
 * another one.
 */
#ifndef BOXEDGE_ALLOC_H
#define BOXEDGE_ALLOC_H

#include <stdlib.h>

#include <h2o/memory.h>

/* Not zero-filled. */
static inline void *mem_alloc(size_t bytes)
{
    return h2o_mem_alloc(bytes);
}

static inline void *mem_realloc(void *memory, size_t bytes)
{
    return h2o_mem_realloc(memory, bytes);
}

#endif
