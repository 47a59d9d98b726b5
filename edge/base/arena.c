/*
 * See arena.h. libh2o's header hides the two kinds of pieces: chunks of one size for small
 * allocations, and a piece for each large one. Both begin with a pointer to the previous piece.
 */
#include "arena.h"

#include <malloc.h>
#include <stdint.h>
#include <string.h>

/* The head of a piece of its own: the pointer to the previous one, and padding of the same size. */
#define DIRECT_HEAD_BYTES (2 * sizeof(void *))

static void *before(const void *piece)
{
    void *found;
    memcpy(&found, piece, sizeof(found));
    return found;
}

static size_t bytes_until(const void *piece, const void *last)
{
    size_t n = 0;
    for (; piece != last; piece = before(piece))
        n += malloc_usable_size((void *)(uintptr_t)piece);
    return n;
}

size_t arena_give_back(arena_t *arena, const void *bytes, arena_mark_t *mark)
{
    bool counted = false;
    void *later = NULL;
    for (void *piece = arena->directs; piece != NULL; later = piece, piece = before(piece)) {
        counted |= piece == mark->direct;
        if ((const char *)piece + DIRECT_HEAD_BYTES != (const char *)bytes)
            continue;
        void *earlier = before(piece);
        if (later == NULL)
            arena->directs = earlier;
        else
            memcpy(later, &earlier, sizeof(earlier));
        if (mark->direct == piece)
            mark->direct = earlier;
        size_t n = counted ? malloc_usable_size(piece) : 0;
        free(piece);
        return n;
    }
    return 0;
}

size_t arena_growth(const arena_t *arena, arena_mark_t *mark)
{
    size_t n = bytes_until(arena->chunks, mark->chunk) + bytes_until(arena->directs, mark->direct);
    *mark = (arena_mark_t){.chunk = arena->chunks, .direct = arena->directs};
    return n;
}
