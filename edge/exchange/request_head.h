/*
 * The memory of a request's head, which may be freed before the exchange. An ordinary head lies in the
 * exchange's arena. A large head has a separate arena, freed once the request cannot be sent again: when a
 * response begins, or earlier if no second attempt is possible. Otherwise 31 KB that a client refers to in 8
 * bytes (HPACK) would stay while an app does not answer, streams, or keeps a tunnel open.
 *
 * A few short parts remain of a freed head. FIELDS_KEPT (field.h) lists the fields; method and authority stay
 * whole, the target as far as the access line shows it. No other part of a freed head can be read:
 * fields_find and fields_count assert the field's identity, forward.h that the head is whole.
 */
#ifndef BOXEDGE_REQUEST_HEAD_H
#define BOXEDGE_REQUEST_HEAD_H

#include "exchange.h"

#include "arena.h"

/* A head above this size has a separate arena. */
#define REQUEST_HEAD_SMALL 3072

/* The arena of a large head; makes it if needed. */
arena_t *request_head_arena(exchange_t *ex);

/* The arena for a part of the head; `bytes` are those of the head so far, or of the part. */
static inline arena_t *request_head_pool(exchange_t *ex, size_t bytes)
{
    return ex->head == NULL && bytes <= REQUEST_HEAD_SMALL ? &ex->arena : request_head_arena(ex);
}

/* For request_head_release. */
void request_head_drop(exchange_t *ex);

/* Adds the growth of a large head's arena to ex->account. For exchange_count. */
void request_head_count(exchange_t *ex);

/*
 * Frees a large head once the request will not be sent again. The parts that are still read move to the
 * exchange's arena; other slices of the head become invalid. No-op for an ordinary or freed head, and on
 * local sockets (admin, demo app), whose answers may still read their requests.
 */
static inline void request_head_release(exchange_t *ex)
{
    if (ex->head != NULL)
        request_head_drop(ex);
}

/* Frees all that is left, at the end of the exchange. */
void request_head_free(exchange_t *ex);

#endif
