/*
 * A queue of bytes like buffer_t, for large content: in pieces, so that it grows and shrinks without a copy
 * and frees memory as it empties. An empty queue holds no memory. A queue belongs to one thread.
 */
#ifndef BOXEDGE_PIECES_H
#define BOXEDGE_PIECES_H

#include "account.h"
#include "str.h"

/* Memory of each piece but the first, which is as small as its bytes allow. */
#define PIECES_BYTES       65536
#define PIECES_FIRST_BYTES 4096

/* All-zero is empty. */
typedef struct pieces {
    struct piece *first, *last;
    size_t size;
} pieces_t;

/* Appends a copy of `data`, counted to `account` as in buffer_append. */
void pieces_append(pieces_t *pieces, str_t data, account_t *account);
/* The contiguous bytes at the head; empty only if the queue is. */
str_t pieces_front(const pieces_t *pieces);
/* Drops the first n bytes; n is at most `size`. */
void pieces_consume(pieces_t *pieces, size_t n, account_t *account);
void pieces_clear(pieces_t *pieces, account_t *account);

#endif
