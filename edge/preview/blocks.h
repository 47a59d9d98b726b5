/*
 * What the operator has blocked, as one worker sees it: a copy of the store's blocks in memory, read again
 * when they have changed, so that a block is in force for the next request of every worker. While a list
 * cannot be read, the one before it is in force; where none was read yet, nothing is known to be allowed. The
 * log says so, once.
 */
#ifndef BOXEDGE_BLOCKS_H
#define BOXEDGE_BLOCKS_H

#include "store.h"

typedef struct blocks blocks_t;

/* `store` outlives it; `epoch` is the shared counter of changes. */
blocks_t *blocks_new(store_t *store, const _Atomic uint64_t *epoch);
void blocks_free(blocks_t **blocks);

typedef enum blocks_answer {
    BLOCKS_CLEAR,
    BLOCKS_BLOCKED,
    BLOCKS_UNKNOWN, /* no list was read yet: refuse */
} blocks_answer_t;

/* Whether the box, or this port of it, is blocked. */
MUST_USE blocks_answer_t blocks_has_preview(blocks_t *blocks, str_t box_id, uint16_t port);
/* Whether the client's address (IPv4 as mapped IPv6) is in a blocked network. IPv6 networks say nothing about
 * IPv4. */
MUST_USE blocks_answer_t blocks_has_client(blocks_t *blocks, const struct in6_addr *client);
/* Any of these. */
MUST_USE blocks_answer_t blocks_has(blocks_t *blocks, str_t box_id, uint16_t port,
                                    const struct in6_addr *client);

/* Looks whether the list has changed since the last time that this was asked: open tunnels are to be judged
 * again. It may say so once too often, never too rarely. */
bool blocks_changed(blocks_t *blocks);

#endif
