/*
 * The memory that an arena (h2o_mem_pool_t) uses. An arena allocates memory in pieces and frees all
 * of them at its end, so the pieces added since the last check give its growth.
 */
#ifndef BOXEDGE_ARENA_H
#define BOXEDGE_ARENA_H

#include <stdbool.h>

#include <h2o.h>

/* The last piece that was counted; zero-filled: none yet. */
typedef struct arena_mark {
    const void *chunk;
    const void *direct;
} arena_mark_t;

/* Returns the bytes of the pieces added since `mark`, and advances `mark`. */
size_t arena_growth(const h2o_mem_pool_t *arena, arena_mark_t *mark);

/*
 * Frees an allocation before the arena's end if it has a piece of its own (from about 1 KiB); other
 * allocations stay. Returns the bytes to subtract from the results of arena_growth: 0 if the
 * allocation stays or was not counted yet.
 */
size_t arena_give_back(h2o_mem_pool_t *arena, const void *bytes, arena_mark_t *mark);

static inline bool arena_has_grown(const h2o_mem_pool_t *arena, const arena_mark_t *mark)
{
    return (const void *)arena->chunks != mark->chunk || (const void *)arena->directs != mark->direct;
}

#endif
