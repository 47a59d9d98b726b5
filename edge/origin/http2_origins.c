/*
 * A worker's connections to HTTP/2 origins, by target: a hash table with chains, youngest first, and a list
 * of connections without a request, in the order in which they became unused.
 *
 * A request takes the youngest connection of its target that has room, else a new one. Requests that arrive
 * while it opens share it.
 */
#include <assert.h>
#include <errno.h>

#include "address.h"
#include "alloc.h"
#include "context.h"
#include "fnv.h"
#include "http2_client_internal.h"
#include "list.h"
#include "resend.h"
#include "target.h"

#define BUCKETS 1024 /* a power of two */

struct http2_origins {
    context_t *context;
    size_t count, idle_count;
    list_t idle; /* http2_origin_t.idle_link, oldest first */
    http2_origin_t *table[BUCKETS];
};

http2_origins_t *http2_origins_new(context_t *context)
{
    http2_origins_t *origins = mem_alloc(sizeof(*origins));
    *origins = (http2_origins_t){.context = context};
    list_init(&origins->idle);
    return origins;
}

void http2_origins_free(http2_origins_t **originsp)
{
    http2_origins_t *origins = *originsp;
    *originsp = NULL;
    if (origins == NULL)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        while (origins->table[i] != NULL) {
            assert(list_is_empty(&origins->table[i]->waiting) && list_is_empty(&origins->table[i]->clients));
            http2_origin_close(origins->table[i]);
        }
    assert(origins->count == 0 && origins->idle_count == 0);
    free(origins);
}

context_t *http2_origins_context(const http2_origins_t *origins)
{
    return origins->context;
}

size_t http2_origins_count(const http2_origins_t *origins)
{
    return origins->count;
}

/* Over the fields that distinguish most targets. Names are validated and few, so collisions cannot be
 * provoked. */
static uint64_t hash_of(const origin_target_t *target)
{
    uint64_t hash = fnv_number(fnv_text(FNV_START, target->name), target->port);
    return fnv_end(fnv_number(hash, target->generation));
}

/* Compares the address too: a different address is a different server. */
static bool is_for(const http2_origin_t *origin, const origin_target_t *target, uint64_t hash)
{
    const origin_target_t *own = &origin->target;
    return origin->hash == hash && own->generation == target->generation && own->port == target->port &&
           own->connect_port == target->connect_port && own->tls == target->tls &&
           own->upstream == target->upstream && own->server == target->server &&
           memcmp(&own->address, &target->address, sizeof(own->address)) == 0 &&
           str_eq(own->name, target->name);
}

/* ---- choice ---- */

/*
 * True if nothing arrived for long after a write, and the origin's kernel has not taken all of it: the origin
 * may be gone or stalled. Its requests keep waiting; new ones take another connection. A merely slow app does
 * not qualify. PINGs are no test, because gRPC servers allow few.
 */
static bool is_doubtful(http2_origin_t *origin, const context_t *context)
{
    uint64_t now = loop_now(context->loop);
    if (origin->unanswered_ms == 0 || now - origin->unanswered_ms < context->conf->timeouts.connect)
        return false;
    if (conn_untaken(origin->conn) != 0)
        return true;
    origin->unanswered_ms = 0;
    return false;
}

/* A request that cannot be resent avoids a connection that the origin may be about to close. */
static bool is_sure(const http2_origin_t *origin, const context_t *context)
{
    return origin->load != 0 || (loop_now(context->loop) - origin->idle_ms < RESEND_UNSAFE_IDLE_MS &&
                                 conn_is_silent(origin->conn));
}

static bool takes(http2_origin_t *origin, const context_t *context, bool fresh, bool safe)
{
    if (origin->failed || origin->load >= origin->limit)
        return false;
    switch (origin->state) {
    case HTTP2_ORIGIN_CONNECTING:
    case HTTP2_ORIGIN_HANDSHAKE:
        return true;
    case HTTP2_ORIGIN_OPEN:
        return !fresh && !is_doubtful(origin, context) && (safe || is_sure(origin, context));
    case HTTP2_ORIGIN_LEAVING:
        break;
    }
    return false;
}

/* The youngest connection that takes the request, or NULL. *limit is then the origin's last known limit. */
static http2_origin_t *choose(http2_origins_t *origins, const exchange_t *ex, uint64_t hash, bool fresh,
                              uint32_t *limit)
{
    bool safe = resend_is_idempotent(ex->request.method);
    unsigned looks = 0;
    *limit = 0;
    for (http2_origin_t *origin = origins->table[hash & (BUCKETS - 1)];
         origin != NULL && looks < HTTP2_ORIGIN_LOOKS; origin = origin->next) {
        if (!is_for(origin, &ex->target, hash))
            continue;
        looks++;
        if (takes(origin, origins->context, fresh, safe))
            return origin;
        if (*limit == 0)
            *limit = origin->limit;
    }
    if (*limit == 0)
        *limit = HTTP2_ORIGIN_STREAMS;
    return NULL;
}

static http2_origin_t *add(http2_origins_t *origins, const exchange_t *ex, uint64_t hash, uint32_t limit)
{
    const origin_target_t *target = &ex->target;
    account_t *worker = &origins->context->memory.account;
    http2_origin_t *origin = mem_alloc(sizeof(*origin));
    *origin = (http2_origin_t){.output = {.account = worker},
                               .kernel = {.account = {.parent = worker, .share = ex->account.share}},
                               .origins = origins,
                               .target = *target,
                               .hash = hash,
                               .limit = limit};
    assert(target->name.n <= sizeof(origin->name) && limit != 0);
    memcpy(origin->name, target->name.p, target->name.n);
    origin->target.name.p = origin->name;
    list_init(&origin->waiting);
    list_init(&origin->clients);
    list_init(&origin->touched);
    list_init(&origin->roomy);
    http2_origin_t **chain = &origins->table[hash & (BUCKETS - 1)];
    origin->next = *chain;
    origin->prev_next = chain;
    if (origin->next != NULL)
        origin->next->prev_next = &origin->next;
    *chain = origin;
    origins->count++;
    return origin;
}

/* The connection has a request again, or ends. */
static void unrest(http2_origin_t *origin)
{
    if (!list_is_linked(&origin->idle_link))
        return;
    list_unlink(&origin->idle_link);
    origin->origins->idle_count--;
    loop_timer_stop(&origin->timer);
}

bool http2_origins_attach(http2_origins_t *origins, http2_client_t *client, bool fresh, int *error)
{
    const exchange_t *ex = client->ex;
    context_t *context = origins->context;
    uint64_t hash = hash_of(&ex->target);
    uint32_t limit;
    SSL *ssl;
    http2_origin_t *origin = choose(origins, ex, hash, fresh, &limit);
    if (origin == NULL) {
        struct sockaddr_storage address;
        (void)address_make(&ex->target.address, ex->target.connect_port, &address);
        *error = 0;
        if (conf_listens_on(context->conf, (struct sockaddr *)&address))
            return false;
        *error = EPROTO;
        if (!target_tls(client->ex, &ssl))
            return false;
        origin = add(origins, ex, hash, limit);
        origin->ssl = ssl;
        counter_add(&context->counters->origin_connects_total, 1);
        if (!http2_origin_connect(origin)) {
            *error = errno;
            http2_origin_close(origin);
            return false;
        }
    } else if (origin->state == HTTP2_ORIGIN_OPEN) {
        counter_add(&context->counters->origin_reuses_total, 1);
    }
    unrest(origin);
    origin->load++;
    client->origin = origin;
    client->reused = origin->state == HTTP2_ORIGIN_OPEN;
    list_insert(&origin->waiting, &client->link);
    return true;
}

/* ---- the end ---- */

void http2_origins_forget(http2_origin_t *origin)
{
    unrest(origin);
    *origin->prev_next = origin->next;
    if (origin->next != NULL)
        origin->next->prev_next = origin->prev_next;
    origin->origins->count--;
}

void http2_origins_rest(http2_origin_t *origin)
{
    http2_origins_t *origins = origin->origins;
    assert(!list_is_linked(&origin->idle_link));
    if (origins->idle_count == HTTP2_ORIGIN_IDLE_MAX)
        http2_origin_close(CONTAINER_OF(http2_origin_t, idle_link, origins->idle.next));
    list_insert(&origins->idle, &origin->idle_link);
    origins->idle_count++;
    origin->idle_ms = loop_now(origins->context->loop);
}

void http2_origins_shed(http2_origins_t *origins, uint64_t before, size_t most)
{
    if (origins == NULL)
        return;
    for (size_t n = 0; n < most && !list_is_empty(&origins->idle); n++) {
        http2_origin_t *origin = CONTAINER_OF(http2_origin_t, idle_link, origins->idle.next);
        if (origin->idle_ms > before)
            return;
        http2_origin_close(origin);
    }
}

void http2_origins_drop(http2_origins_t *origins, str_t name, uint64_t keep_generation)
{
    if (origins == NULL || origins->count == 0)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        for (http2_origin_t *origin = origins->table[i]; origin != NULL; origin = origin->next) {
            if (origin->target.generation == keep_generation || !str_eq(origin->target.name, name))
                continue;
            if (origin->state == HTTP2_ORIGIN_OPEN)
                origin->state = HTTP2_ORIGIN_LEAVING;
            http2_origin_schedule(origin);
        }
}
