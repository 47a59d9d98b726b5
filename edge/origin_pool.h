/*
 * Idle connections to origins, kept for the next exchange: by box, generation and port, never by address
 * alone, since addresses are used again by other tenants' boxes. They stay in the loop, watched for closing.
 */
#ifndef BOXEDGE_ORIGIN_POOL_H
#define BOXEDGE_ORIGIN_POOL_H

#include "conn.h"
#include "str.h"

typedef struct origin_pool origin_pool_t;

/* At most `capacity` idle connections in all; the oldest is closed for a new one. */
origin_pool_t *origin_pool_new(loop_t *loop, size_t capacity);
void origin_pool_free(origin_pool_t **pool);

/*
 * Takes an idle connection out: the one used last. With `max_idle_ms` only one idle for less (0: any), and it
 * must be quiet. Returns NULL where there is none.
 */
conn_t *origin_pool_take(origin_pool_t *pool, str_t box, uint64_t generation, uint16_t port,
                         uint32_t max_idle_ms);
/* Puts a connection in, to be closed after `idle_ms` or when the origin closes it or sends anything. */
void origin_pool_put(origin_pool_t *pool, conn_t **conn, str_t box, uint64_t generation, uint16_t port,
                     uint32_t idle_ms);
/* Closes a box's connections of every generation but one. */
void origin_pool_drop(origin_pool_t *pool, str_t box, uint64_t keep_generation);
size_t origin_pool_idle(const origin_pool_t *pool);

#endif
