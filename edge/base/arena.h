/*
 * How much memory an arena (h2o_mem_pool_t) has taken: it takes memory in pieces and gives all back at its
 * end, so that the pieces since the last look say by how much it has grown.
 */
#ifndef BOXEDGE_ARENA_H
#define BOXEDGE_ARENA_H

#include <stdbool.h>

#include <h2o.h>

/* Up to which piece an arena was looked at; zero-filled: not at all. */
typedef struct arena_mark {
    const void *chunk;
    const void *direct;
} arena_mark_t;

/* The bytes of the pieces that came since `mark`, which moves on. */
size_t arena_growth(const h2o_mem_pool_t *arena, arena_mark_t *mark);

/*
 * Gives an allocation back before the arena's end, where it lies in a piece of its own (from about 1 KiB on);
 * others stay. Returns by how much less arena_growth has said: 0 where it stays or was not looked at yet.
 */
size_t arena_give_back(h2o_mem_pool_t *arena, const void *bytes, arena_mark_t *mark);

static inline bool arena_has_grown(const h2o_mem_pool_t *arena, const arena_mark_t *mark)
{
    return (const void *)arena->chunks != mark->chunk || (const void *)arena->directs != mark->direct;
}

#endif
