#include "pieces.h"

#include <assert.h>
#include <stdlib.h>

typedef struct piece {
    struct piece *next;
    uint32_t from, to; /* the used part of `bytes` */
    uint32_t capacity;
    char bytes[];
} piece_t;

static piece_t *add(pieces_t *pieces, size_t n, account_t *account)
{
    assert((pieces->first == NULL) == (pieces->last == NULL));
    size_t memory = pieces->first == NULL ? PIECES_FIRST_BYTES : PIECES_BYTES;
    while (memory - sizeof(piece_t) < n && memory < PIECES_BYTES)
        memory *= 2;
    piece_t *piece = malloc(memory);
    if (piece == NULL)
        abort();
    *piece = (piece_t){.capacity = (uint32_t)(memory - sizeof(*piece))};
    *(pieces->first == NULL ? &pieces->first : &pieces->last->next) = piece;
    pieces->last = piece;
    account_add(account, memory);
    return piece;
}

static void drop_first(pieces_t *pieces, account_t *account)
{
    piece_t *piece = pieces->first;
    size_t memory = piece->capacity + sizeof(*piece);
    pieces->first = piece->next;
    if (pieces->first == NULL)
        pieces->last = NULL;
    account_sub(account, memory);
    free(piece);
}

void pieces_append(pieces_t *pieces, str_t data, account_t *account)
{
    pieces->size += data.n;
    while (data.n != 0) {
        piece_t *piece = pieces->last;
        if (piece == NULL || piece->to == piece->capacity)
            piece = add(pieces, data.n, account);
        size_t room = piece->capacity - piece->to;
        size_t n = data.n < room ? data.n : room;
        memcpy(piece->bytes + piece->to, data.p, n);
        piece->to += (uint32_t)n;
        data = str_from_offset(data, n);
    }
}

str_t pieces_front(const pieces_t *pieces)
{
    const piece_t *piece = pieces->first;
    return piece != NULL ? str_make(piece->bytes + piece->from, piece->to - piece->from) : str_make(NULL, 0);
}

void pieces_consume(pieces_t *pieces, size_t n, account_t *account)
{
    assert(n <= pieces->size);
    pieces->size -= n;
    while (n != 0) {
        piece_t *piece = pieces->first;
        size_t step = piece->to - piece->from < n ? piece->to - piece->from : n;
        piece->from += (uint32_t)step;
        n -= step;
        if (piece->from == piece->to)
            drop_first(pieces, account);
    }
}

void pieces_clear(pieces_t *pieces, account_t *account)
{
    pieces_consume(pieces, pieces->size, account);
}
