/*
 * See origin_pool.h. A hash table with chains, newest first, and a list of all connections in order of
 * arrival, whose head is closed when the pool is full. A pooled connection stays registered for reading: any
 * input, above all the origin's FIN, closes it.
 */
#include "origin_pool.h"

#include <assert.h>

#include "alloc.h"
#include "exchange.h"
#include "fnv.h"
#include "list.h"

/* For retired connections: no request has this port. */
#define NO_PORT 0

typedef struct idle idle_t;

struct idle {
    origin_pool_t *pool;
    idle_t *next; /* in the hash chain */
    idle_t **prev_next;
    list_t age; /* in pool->ages */
    conn_t *conn;
    loop_timer_t timer;
    uint64_t since_ms;
    uint64_t generation;
    uint64_t hash;
    uint16_t port;
    uint8_t box_len;
    char box[ORIGIN_NAME_MAX];
};

struct origin_pool {
    loop_t *loop;
    size_t capacity;
    size_t count;
    size_t mask; /* table size minus one */
    idle_t **table;
    list_t ages;        /* oldest first */
    account_t *account; /* NULL: not counted */
};

static void on_event(void *owner);
static void on_hangup(void *owner, bool reset);
static const conn_handlers_t idle_handlers = {on_event, on_event, on_hangup};

/* Over the whole key. Box ids are validated and few, so collisions cannot be provoked. */
static uint64_t hash_key(str_t box, uint64_t generation, uint16_t port)
{
    return fnv_end(fnv_number(fnv_number(fnv_text(FNV_START, box), port), generation));
}

static bool has_key(const idle_t *idle, str_t box, uint64_t generation, uint16_t port)
{
    return idle->generation == generation && idle->port == port &&
           str_eq(str_make(idle->box, idle->box_len), box);
}

origin_pool_t *origin_pool_new(loop_t *loop, size_t capacity)
{
    assert(capacity > 0);
    origin_pool_t *pool = mem_alloc(sizeof(*pool));
    size_t size = 16;
    while (size < capacity)
        size *= 2;
    *pool = (origin_pool_t){.loop = loop, .capacity = capacity, .mask = size - 1};
    pool->table = mem_alloc(size * sizeof(idle_t *));
    memset(pool->table, 0, size * sizeof(idle_t *));
    list_init(&pool->ages);
    return pool;
}

void origin_pool_set_account(origin_pool_t *pool, account_t *account)
{
    assert(pool->count == 0);
    pool->account = account;
}

/* Removes an entry and frees it. The caller owns its connection. */
static conn_t *idle_remove(idle_t *idle)
{
    conn_t *conn = idle->conn;
    *idle->prev_next = idle->next;
    if (idle->next != NULL)
        idle->next->prev_next = idle->prev_next;
    list_unlink(&idle->age);
    loop_timer_stop(&idle->timer);
    idle->pool->count--;
    if (idle->pool->account != NULL)
        account_sub(idle->pool->account, ORIGIN_POOL_CONN_BYTES);
    free(idle);
    return conn;
}

static void idle_close(idle_t *idle)
{
    conn_t *conn = idle_remove(idle);
    conn_free(&conn);
}

static void on_event(void *owner)
{
    idle_close(owner); /* it ended, or sent bytes unasked: its framing cannot be trusted */
}

static void on_hangup(void *owner, bool reset)
{
    (void)reset;
    idle_close(owner);
}

static void on_idle_timer(loop_timer_t *timer)
{
    idle_close(CONTAINER_OF(idle_t, timer, timer));
}

void origin_pool_free(origin_pool_t **pool)
{
    origin_pool_t *p = *pool;
    *pool = NULL;
    if (p == NULL)
        return;
    while (!list_is_empty(&p->ages))
        idle_close(CONTAINER_OF(idle_t, age, p->ages.next));
    free(p->table);
    free(p);
}

conn_t *origin_pool_take(origin_pool_t *pool, str_t box, uint64_t generation, uint16_t port,
                         uint32_t max_idle_ms, bool look)
{
    uint64_t hash = hash_key(box, generation, port);
    idle_t *next;
    for (idle_t *idle = pool->table[hash & pool->mask]; idle != NULL; idle = next) {
        next = idle->next;
        if (idle->hash != hash || !has_key(idle, box, generation, port))
            continue;
        if (max_idle_ms != 0 && loop_now(pool->loop) - idle->since_ms >= max_idle_ms)
            return NULL; /* the rest of the chain is older */
        if (!look || conn_is_silent(idle->conn))
            return idle_remove(idle);
        idle_close(idle);
    }
    return NULL;
}

static void add(origin_pool_t *pool, conn_t **conn, str_t box, uint64_t generation, uint16_t port,
                uint32_t idle_ms)
{
    assert(*conn != NULL && box.n <= ORIGIN_NAME_MAX && pool->count < pool->capacity);
    idle_t *idle = mem_alloc(sizeof(*idle));
    *idle = (idle_t){.pool = pool,
                     .conn = *conn,
                     .since_ms = loop_now(pool->loop),
                     .generation = generation,
                     .hash = hash_key(box, generation, port),
                     .port = port,
                     .box_len = (uint8_t)box.n};
    memcpy(idle->box, box.p, box.n);
    *conn = NULL;
    idle_t **chain = &pool->table[idle->hash & pool->mask];
    idle->next = *chain;
    idle->prev_next = chain;
    if (idle->next != NULL)
        idle->next->prev_next = &idle->next;
    *chain = idle;
    list_insert(&pool->ages, &idle->age);
    pool->count++;
    if (pool->account != NULL)
        account_add(pool->account, ORIGIN_POOL_CONN_BYTES);
    loop_timer_start(pool->loop, &idle->timer, idle_ms, on_idle_timer);
    conn_set_owner(idle->conn, &idle_handlers, idle);
    conn_want_read(idle->conn, true);
}

void origin_pool_put(origin_pool_t *pool, conn_t **conn, str_t box, uint64_t generation, uint16_t port,
                     uint32_t idle_ms)
{
    assert(port != NO_PORT);
    if (pool->count == pool->capacity)
        idle_close(CONTAINER_OF(idle_t, age, pool->ages.next));
    add(pool, conn, box, generation, port, idle_ms);
}

void origin_pool_retire(origin_pool_t *pool, conn_t **conn, str_t box, uint64_t generation)
{
    if (pool->count == pool->capacity)
        conn_free(conn);
    else
        add(pool, conn, box, generation, NO_PORT, ORIGIN_POOL_RETIRE_MS);
}

size_t origin_pool_shed(origin_pool_t *pool, uint64_t before, size_t most)
{
    size_t n = 0;
    for (; n < most && !list_is_empty(&pool->ages); n++) {
        idle_t *oldest = CONTAINER_OF(idle_t, age, pool->ages.next);
        if (oldest->since_ms > before)
            break;
        idle_close(oldest);
    }
    return n;
}

void origin_pool_drop(origin_pool_t *pool, str_t box, uint64_t keep_generation)
{
    for (list_t *at = pool->ages.next, *next; at != &pool->ages; at = next) {
        next = at->next;
        idle_t *idle = CONTAINER_OF(idle_t, age, at);
        if (idle->generation != keep_generation && str_eq(str_make(idle->box, idle->box_len), box))
            idle_close(idle);
    }
}

size_t origin_pool_idle(const origin_pool_t *pool)
{
    return pool->count;
}
