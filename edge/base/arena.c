#include "arena.h"

#include <malloc.h>
#include <stdalign.h>

#include "alloc.h"

/* A piece begins with the previous one of its kind. */
struct arena_piece {
    alignas(16) arena_piece_t *before;
    alignas(16) char bytes[];
};
_Static_assert(sizeof(arena_piece_t) == 16, "allocations behind it are aligned for any type");

struct arena_shared {
    alignas(16) arena_shared_t *before;
    void (*dispose)(void *);
    alignas(16) char bytes[];
};

static arena_piece_t *add_piece(arena_piece_t **list, size_t bytes)
{
    arena_piece_t *piece = mem_alloc(bytes);
    piece->before = *list;
    *list = piece;
    return piece;
}

static void free_pieces(arena_piece_t *piece)
{
    for (arena_piece_t *before; piece != NULL; piece = before) {
        before = piece->before;
        free(piece);
    }
}

void *arena_alloc_piece(arena_t *arena, size_t bytes)
{
    uint32_t size = arena->chunks == NULL ? ARENA_FIRST_BYTES : ARENA_CHUNK_BYTES;
    bool fits = bytes <= size - sizeof(arena_piece_t);
    if (!fits || (bytes >= ARENA_LARGE_BYTES && arena->chunks != NULL))
        return add_piece(&arena->large, sizeof(arena_piece_t) + bytes)->bytes;
    arena->size = size;
    arena->used = (uint32_t)(sizeof(arena_piece_t) + bytes);
    return add_piece(&arena->chunks, size)->bytes;
}

void *arena_alloc_shared(arena_t *arena, size_t bytes, void (*dispose)(void *))
{
    arena_shared_t *shared = arena_alloc(arena, sizeof(*shared) + bytes);
    shared->before = arena->shared;
    shared->dispose = dispose;
    arena->shared = shared;
    return shared->bytes;
}

void arena_clear(arena_t *arena)
{
    for (arena_shared_t *shared = arena->shared; shared != NULL; shared = shared->before)
        if (shared->dispose != NULL)
            shared->dispose(shared->bytes);
    free_pieces(arena->chunks);
    free_pieces(arena->large);
    arena_init(arena);
}

size_t arena_give_back(arena_t *arena, const void *bytes, arena_mark_t *mark)
{
    bool counted = false;
    for (arena_piece_t **at = &arena->large; *at != NULL; at = &(*at)->before) {
        arena_piece_t *piece = *at;
        counted |= piece == mark->large;
        if ((const void *)piece->bytes != bytes)
            continue;
        *at = piece->before;
        if (mark->large == piece)
            mark->large = piece->before;
        size_t n = counted ? malloc_usable_size(piece) : 0;
        free(piece);
        return n;
    }
    return 0;
}

static size_t bytes_until(arena_piece_t *piece, const void *last)
{
    size_t n = 0;
    for (; piece != last; piece = piece->before)
        n += malloc_usable_size(piece);
    return n;
}

size_t arena_growth(const arena_t *arena, arena_mark_t *mark)
{
    size_t n = bytes_until(arena->chunks, mark->chunk) + bytes_until(arena->large, mark->large);
    *mark = (arena_mark_t){.chunk = arena->chunks, .large = arena->large};
    return n;
}
