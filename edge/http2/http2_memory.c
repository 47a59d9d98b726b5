#include "http2_memory.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* In front of each piece; its alignment fits any piece. */
typedef union piece {
    size_t size; /* with this header */
    max_align_t align;
} piece_t;

static void *take(http2_memory_t *memory, piece_t *piece, size_t size)
{
    if (piece == NULL)
        return NULL;
    piece->size = size;
    memory->bytes += size;
    return piece + 1;
}

static void *on_malloc(size_t n, void *user_data)
{
    size_t size;
    if (__builtin_add_overflow(n, sizeof(piece_t), &size))
        return NULL;
    return take(user_data, malloc(size), size);
}

static void *on_calloc(size_t count, size_t n, void *user_data)
{
    size_t size;
    if (__builtin_mul_overflow(count, n, &size) || __builtin_add_overflow(size, sizeof(piece_t), &size))
        return NULL;
    return take(user_data, calloc(1, size), size);
}

static void on_free(void *bytes, void *user_data)
{
    http2_memory_t *memory = user_data;
    if (bytes == NULL)
        return;
    piece_t *piece = (piece_t *)bytes - 1;
    memory->bytes -= piece->size;
    free(piece);
}

static void *on_realloc(void *bytes, size_t n, void *user_data)
{
    http2_memory_t *memory = user_data;
    size_t size;
    if (bytes == NULL)
        return on_malloc(n, user_data);
    if (__builtin_add_overflow(n, sizeof(piece_t), &size))
        return NULL;
    piece_t *piece = (piece_t *)bytes - 1;
    size_t before = piece->size;
    piece = realloc(piece, size);
    if (piece == NULL)
        return NULL;
    memory->bytes -= before;
    return take(memory, piece, size);
}

void http2_memory_init(http2_memory_t *memory)
{
    *memory = (http2_memory_t){.functions = {.mem_user_data = memory,
                                             .malloc = on_malloc,
                                             .free = on_free,
                                             .calloc = on_calloc,
                                             .realloc = on_realloc}};
}
