/*
 * Idle connections to origins, kept for later exchanges. The key is box, generation and port, never the
 * address alone, because other tenants' boxes reuse addresses. Idle connections stay in the loop, which
 * watches for their end.
 */
#ifndef BOXEDGE_ORIGIN_POOL_H
#define BOXEDGE_ORIGIN_POOL_H

#include "account.h"
#include "conn.h"
#include "str.h"

typedef struct origin_pool origin_pool_t;

/* Holds at most `capacity` idle connections in all; a new one displaces the oldest. */
origin_pool_t *origin_pool_new(loop_t *loop, size_t capacity);
void origin_pool_free(origin_pool_t **pool);

/* Estimate of the edge's own memory per idle connection without TLS. */
#define ORIGIN_POOL_CONN_BYTES 1024
/* Counts connections to `account`, which must outlive the pool. The pool must be empty (asserted). */
void origin_pool_set_account(origin_pool_t *pool, account_t *account);

/* How long a retired connection waits for the origin to close. */
#define ORIGIN_POOL_RETIRE_MS 1000

/*
 * Takes the most recently used idle connection out. `max_idle_ms` (0: any) bounds its idle time. `look`
 * checks with a system call that it is silent, and closes those that are not. Returns NULL if none is left.
 */
conn_t *origin_pool_take(origin_pool_t *pool, str_t box, uint64_t generation, uint16_t port,
                         uint32_t max_idle_ms, bool look);
/* Adds a connection. It is closed after `idle_ms`, or once the origin closes it or sends anything. */
void origin_pool_put(origin_pool_t *pool, conn_t **conn, str_t box, uint64_t generation, uint16_t port,
                     uint32_t idle_ms);
/*
 * Takes a connection that must not be reused. The request asked the origin to close it; the pool waits
 * ORIGIN_POOL_RETIRE_MS for that. TIME_WAIT then falls on the origin, and does not use up the edge's ports. A
 * full pool closes the connection immediately.
 */
void origin_pool_retire(origin_pool_t *pool, conn_t **conn, str_t box, uint64_t generation);
/* Closes up to `most` connections that were added at `before` (loop_now) or earlier, oldest first. Returns
 * their number. */
size_t origin_pool_shed(origin_pool_t *pool, uint64_t before, size_t most);
/* Closes a box's connections of all generations but one. */
void origin_pool_drop(origin_pool_t *pool, str_t box, uint64_t keep_generation);
size_t origin_pool_idle(const origin_pool_t *pool);

#endif
