/*
 * What the operator has blocked, as one worker sees it: a copy of the store's blocks in memory, read again
 * when they have changed, so that a block is in force for the next request of every worker. A list that
 * cannot be read leaves the one before it in force.
 */
#ifndef BOXEDGE_BLOCKS_H
#define BOXEDGE_BLOCKS_H

#include "store.h"

typedef struct blocks blocks_t;

/* `store` outlives it; `epoch` is the shared counter of changes. */
blocks_t *blocks_new(store_t *store, const _Atomic uint64_t *epoch);
void blocks_free(blocks_t **blocks);

/* Whether the box, or this port of it, is blocked. */
bool blocks_has_preview(blocks_t *blocks, str_t box_id, uint16_t port);
/* Whether the client's address (IPv4 as mapped IPv6) is in a blocked network. IPv6 networks say nothing about
 * IPv4. */
bool blocks_has_client(blocks_t *blocks, const struct in6_addr *client);
/* Any of these. */
bool blocks_has(blocks_t *blocks, str_t box_id, uint16_t port, const struct in6_addr *client);

/* Looks whether the list has changed since the last time that this was asked: open tunnels are to be judged
 * again. It may say so once too often, never too rarely. */
bool blocks_changed(blocks_t *blocks);

#endif
