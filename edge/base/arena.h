/*
 * Memory that is given back together. An arena serves small allocations from chunks. A large one has a
 * separate piece, which may be freed before. The pieces added since the last check give the arena's growth.
 */
#ifndef BOXEDGE_ARENA_H
#define BOXEDGE_ARENA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Of the first chunk, which holds the whole of an ordinary exchange, and of the others. */
#define ARENA_FIRST_BYTES 4096
#define ARENA_CHUNK_BYTES 2048
/* An allocation of this size or more has a separate piece, unless it is the arena's first one. */
#define ARENA_LARGE_BYTES 1024

typedef struct arena_piece arena_piece_t;
typedef struct arena_shared arena_shared_t;

/* Has no pointer to itself, so that it may move. All-zero is empty. Private to arena.c. */
typedef struct arena {
    arena_piece_t *chunks; /* the last one first */
    arena_piece_t *large;  /* the same */
    arena_shared_t *shared;
    uint32_t used; /* of the last chunk */
    uint32_t size;
} arena_t;

/* An empty arena. */
static inline void arena_init(arena_t *arena)
{
    *arena = (arena_t){.large = NULL};
}

/* Gives all back; the arena is empty then. */
void arena_clear(arena_t *arena);

/* For arena_alloc: `bytes` are a multiple of 16. */
void *arena_alloc_piece(arena_t *arena, size_t bytes);

/* Not zero-filled, aligned for any type; not NULL even for 0 bytes; lives as long as the arena. */
static inline void *arena_alloc(arena_t *arena, size_t bytes)
{
    bytes = (bytes + (bytes == 0) + 15) & ~(size_t)15;
    if (bytes > arena->size - arena->used)
        return arena_alloc_piece(arena, bytes);
    void *memory = (char *)arena->chunks + arena->used;
    arena->used += (uint32_t)bytes;
    return memory;
}

/* The same; `dispose`, which may be NULL, is called when the arena gives it back. */
void *arena_alloc_shared(arena_t *arena, size_t bytes, void (*dispose)(void *));

/* The last piece that was counted; zero-filled: none yet. */
typedef struct arena_mark {
    const void *chunk;
    const void *large;
} arena_mark_t;

/* Returns the bytes of the pieces added since `mark`, and advances `mark`. */
size_t arena_growth(const arena_t *arena, arena_mark_t *mark);

/*
 * Frees an allocation before the arena's end if it has a separate piece; other allocations stay. Returns the
 * bytes to subtract from the results of arena_growth: 0 if the allocation stays or was not counted yet.
 */
size_t arena_give_back(arena_t *arena, const void *bytes, arena_mark_t *mark);

static inline bool arena_has_grown(const arena_t *arena, const arena_mark_t *mark)
{
    return (const void *)arena->chunks != mark->chunk || (const void *)arena->large != mark->large;
}

#endif
