/*
 * The operator's blocks as one worker sees them: a copy in memory of the store's list. A query first reads a
 * changed list, so a block applies to the next request of every worker. An unreadable list leaves the
 * previous copy in force; without one, queries return BLOCKS_UNKNOWN. `log` gets such a failure once.
 */
#ifndef BOXEDGE_BLOCKS_H
#define BOXEDGE_BLOCKS_H

#include "store.h"

typedef struct blocks blocks_t;

/* Takes a sentence for the log. */
typedef void (*blocks_log_t)(bool readable, const char *sentence);

/* `store` outlives the result; `epoch` is the store's epoch. */
blocks_t *blocks_new(store_t *store, const _Atomic uint64_t *epoch, blocks_log_t log);
void blocks_free(blocks_t **blocks);

typedef enum blocks_answer {
    BLOCKS_CLEAR,
    BLOCKS_BLOCKED,
    BLOCKS_UNKNOWN, /* no list was read yet: refuse */
} blocks_answer_t;

/* Whether the box or this port of it is blocked. */
MUST_USE blocks_answer_t blocks_has_preview(blocks_t *blocks, str_t box_id, uint16_t port);
/* Whether the client's address (IPv4 as mapped IPv6) is in a blocked network. IPv6 networks never match IPv4
 * clients. */
MUST_USE blocks_answer_t blocks_has_client(blocks_t *blocks, const struct in6_addr *client);
/* Both of the above; the box comes first. */
MUST_USE blocks_answer_t blocks_has(blocks_t *blocks, str_t box_id, uint16_t port,
                                    const struct in6_addr *client);

/* Whether the list was read again since the last call: open tunnels must then be judged again. May report a
 * change too many, never one too few. */
bool blocks_changed(blocks_t *blocks);

#endif
