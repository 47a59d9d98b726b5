/*
 * Where a request's head lives, and how it goes before its exchange does. An ordinary head lies in the
 * exchange's arena. A large one has an arena of its own, which is freed once the request cannot be sent
 * again: when a response begins, or earlier where no second attempt is possible. Otherwise 31 KB that a
 * client refers to in 8 bytes (HPACK) would stay for as long as an app does not answer, streams, or keeps a
 * tunnel open.
 *
 * A few short parts are left of a freed head. FIELDS_KEPT (field.h) lists the fields; method and
 * authority stay whole, the target as far as the access line shows it. Nothing else of a freed head can be
 * read: fields_find and fields_count assert the identity, forward.h that the head is whole.
 */
#ifndef BOXEDGE_REQUEST_HEAD_H
#define BOXEDGE_REQUEST_HEAD_H

#include "exchange.h"

#include "arena.h"

/* A larger head has an arena of its own. */
#define REQUEST_HEAD_SMALL 3072

/* The arena of a large head, made where there is none yet. */
arena_t *request_head_arena(exchange_t *ex);

/* Where a part of the head goes: `bytes` are those of the head so far, or of the part. */
static inline arena_t *request_head_pool(exchange_t *ex, size_t bytes)
{
    return ex->head == NULL && bytes <= REQUEST_HEAD_SMALL ? &ex->arena : request_head_arena(ex);
}

/* For request_head_release. */
void request_head_drop(exchange_t *ex);

/* Counts to ex->account by how much the arena of a large head has grown. For exchange_count. */
void request_head_count(exchange_t *ex);

/*
 * The request is not sent again: frees a large head but for the parts that are still read, which move to the
 * exchange's arena. Slices of the head are invalid from here on. No-op for an ordinary head, for one that was
 * freed, and on local sockets (admin, demo app), whose answers may go on reading their requests.
 */
static inline void request_head_release(exchange_t *ex)
{
    if (ex->head != NULL)
        request_head_drop(ex);
}

/* The exchange ends: frees all that is left. */
void request_head_free(exchange_t *ex);

#endif
