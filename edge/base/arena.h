/*
 * The memory that an arena (h2o_mem_pool_t) uses. An arena allocates memory in pieces and frees all
 * of them at its end, so the pieces added since the last check give its growth.
 */
#ifndef BOXEDGE_ARENA_H
#define BOXEDGE_ARENA_H

#include <stdbool.h>

#include <h2o/memory.h>

typedef h2o_mem_pool_t arena_t;

/* An empty arena. */
static inline void arena_init(arena_t *arena)
{
    h2o_mem_init_pool(arena);
}

/* Gives all back; the arena is empty then. */
static inline void arena_clear(arena_t *arena)
{
    h2o_mem_clear_pool(arena);
}

/* Not zero-filled; lives as long as the arena. */
static inline void *arena_alloc(arena_t *arena, size_t bytes)
{
    return h2o_mem_alloc_pool(arena, bytes);
}

/* The same; `dispose`, which may be NULL, is called when the arena gives it back. */
static inline void *arena_alloc_shared(arena_t *arena, size_t bytes, void (*dispose)(void *))
{
    return h2o_mem_alloc_shared(arena, bytes, dispose);
}

/* The last piece that was counted; zero-filled: none yet. */
typedef struct arena_mark {
    const void *chunk;
    const void *direct;
} arena_mark_t;

/* Returns the bytes of the pieces added since `mark`, and advances `mark`. */
size_t arena_growth(const arena_t *arena, arena_mark_t *mark);

/*
 * Frees an allocation before the arena's end if it has a piece of its own (from about 1 KiB); other
 * allocations stay. Returns the bytes to subtract from the results of arena_growth: 0 if the
 * allocation stays or was not counted yet.
 */
size_t arena_give_back(arena_t *arena, const void *bytes, arena_mark_t *mark);

static inline bool arena_has_grown(const arena_t *arena, const arena_mark_t *mark)
{
    return (const void *)arena->chunks != mark->chunk || (const void *)arena->directs != mark->direct;
}

#endif
