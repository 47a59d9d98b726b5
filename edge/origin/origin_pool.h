/*
 * Idle connections to origins, kept for the next exchange: by box, generation and port, never by address
 * alone, since addresses are used again by other tenants' boxes. They stay in the loop, watched for closing.
 */
#ifndef BOXEDGE_ORIGIN_POOL_H
#define BOXEDGE_ORIGIN_POOL_H

#include "account.h"
#include "conn.h"
#include "str.h"

typedef struct origin_pool origin_pool_t;

/* At most `capacity` idle connections in all; the oldest is closed for a new one. */
origin_pool_t *origin_pool_new(loop_t *loop, size_t capacity);
void origin_pool_free(origin_pool_t **pool);

/* The edge's own memory of an idle connection in the clear, by estimate. */
#define ORIGIN_POOL_CONN_BYTES 1024
/* Counts connections to `account`, which outlives the pool, from now on. The pool is empty (asserted). */
void origin_pool_set_account(origin_pool_t *pool, account_t *account);

/* How long a retired connection waits for the origin's end. */
#define ORIGIN_POOL_RETIRE_MS 1000

/*
 * Takes an idle connection out: the one used last. With `max_idle_ms` only one idle for less (0: any). With
 * `look` only one that is quiet, at the price of a system call; others on the way are closed. Returns NULL
 * where there is none.
 */
conn_t *origin_pool_take(origin_pool_t *pool, str_t box, uint64_t generation, uint16_t port,
                         uint32_t max_idle_ms, bool look);
/* Puts a connection in, to be closed after `idle_ms` or when the origin closes it or sends anything. */
void origin_pool_put(origin_pool_t *pool, conn_t **conn, str_t box, uint64_t generation, uint16_t port,
                     uint32_t idle_ms);
/*
 * Takes a connection that no request may use again. The origin was told to close it and may do so first,
 * within ORIGIN_POOL_RETIRE_MS: then the TIME_WAIT is its own, and many of them do not take the edge's ports.
 * Closed at once where the pool is full.
 */
void origin_pool_retire(origin_pool_t *pool, conn_t **conn, str_t box, uint64_t generation);
/* Closes up to `most` connections that came at `before` (loop_now) or earlier, the oldest first; returns
 * their number. */
size_t origin_pool_shed(origin_pool_t *pool, uint64_t before, size_t most);
/* Closes a box's connections of every generation but one. */
void origin_pool_drop(origin_pool_t *pool, str_t box, uint64_t keep_generation);
size_t origin_pool_idle(const origin_pool_t *pool);

#endif
