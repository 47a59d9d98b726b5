/*
 * See farewell.h. One list sorted by the time of the last progress, and one timer that checks it. Neither
 * epoll nor the socket reports that the peer took bytes, so the timer asks the kernel (conn_untaken).
 */
#include "farewell.h"

#include <assert.h>

#include "address.h"
#include "budget.h"
#include "context.h"
#include "list.h"

/* Maximum connections to check for one without progress when one has to go. */
#define CANDIDATES 16

typedef struct farewell {
    client_t client; /* first: a farewell is a client. For a connection to an origin: the request's client */
    farewells_t *all;
    account_t account;    /* below the client's; its share is that of the request's box, if any */
    list_t age;           /* in farewells_t.ages */
    uint64_t progress_ms; /* last time that the peer was seen to take bytes */
    uint32_t untaken;     /* bytes at the last look, counted to `account` */
    uint32_t discarded;   /* bytes read from the peer */
} farewell_t;

struct farewells {
    context_t *context;
    list_t ages; /* longest without progress first */
    size_t count;
    uint64_t untaken;   /* bytes of all */
    loop_timer_t timer; /* runs while farewells exist */
};

/* The load of some farewells together. */
typedef struct load {
    size_t count;
    uint64_t bytes;
} load_t;

/* The farewells of a client address, of a box, or (both NULL) all. */
typedef struct owner {
    const struct in6_addr *address;
    const shm_share_t *box;
} owner_t;

/* ---- the end ---- */

static void set_untaken(farewell_t *farewell, uint32_t now)
{
    account_move_kernel(&farewell->account, farewell->untaken, now);
    farewell->all->untaken += now;
    farewell->all->untaken -= farewell->untaken;
    farewell->untaken = now;
}

/* `reset`: drops the bytes that the peer has not taken. */
static void end(farewell_t *farewell, bool reset)
{
    farewells_t *all = farewell->all;
    set_untaken(farewell, 0);
    list_unlink(&farewell->age);
    all->count--;
    if (all->count == 0)
        loop_timer_stop(&all->timer);
    if (reset) {
        counter_add(&all->context->counters->farewell_resets_total, 1);
        conn_abort(&farewell->client.conn);
    } else {
        conn_free(&farewell->client.conn);
    }
    client_fini(&farewell->client);
    free(farewell);
}

static void destroy(client_t *client)
{
    end((farewell_t *)client, false);
}

/* ---- progress ---- */

typedef enum sight { SIGHT_OVER, SIGHT_PROGRESS, SIGHT_NOTHING } sight_t;

/* Asks the kernel. On SIGHT_OVER the farewell has been freed. */
static sight_t look(farewell_t *farewell)
{
    size_t left = conn_untaken(farewell->client.conn);
    if (left <= 1 || conn_is_dead(farewell->client.conn)) { /* the FIN counts as one byte */
        end(farewell, false);
        return SIGHT_OVER;
    }
    if (left >= farewell->untaken)
        return SIGHT_NOTHING;
    set_untaken(farewell, (uint32_t)left);
    farewell->progress_ms = loop_now(farewell->all->context->loop);
    list_unlink(&farewell->age);
    list_insert(&farewell->all->ages, &farewell->age);
    return SIGHT_PROGRESS;
}

static void look_at_all(loop_timer_t *timer)
{
    farewells_t *all = CONTAINER_OF(farewells_t, timer, timer);
    context_t *context = all->context;
    uint64_t patience = context->conf->timeouts.write_idle;
    size_t count = all->count; /* entries with progress move to the end of the list */
    list_t *next = all->ages.next;
    while (count-- > 0) {
        farewell_t *farewell = CONTAINER_OF(farewell_t, age, next);
        next = next->next;
        if (look(farewell) == SIGHT_NOTHING && loop_now(context->loop) - farewell->progress_ms >= patience)
            end(farewell, true);
    }
    if (all->count != 0)
        loop_timer_start(context->loop, timer, FAREWELL_LOOK_MS, look_at_all);
}

/* ---- bounds ---- */

static bool is_everybody(owner_t owner)
{
    return owner.address == NULL && owner.box == NULL;
}

static bool counts_to(const farewell_t *farewell, owner_t owner)
{
    const uint16_t *cell = farewell->account.share.cell;
    if (owner.address != NULL)
        return address_same_owner(owner.address, &farewell->client.address);
    return owner.box == NULL || (owner.box->cell[0] == cell[0] && owner.box->cell[1] == cell[1]);
}

static load_t load_of(const farewells_t *all, owner_t owner)
{
    load_t load = {all->count, all->untaken};
    if (is_everybody(owner))
        return load;
    load = (load_t){0, 0};
    for (list_t *link = all->ages.next; link != &all->ages; link = link->next) {
        const farewell_t *farewell = CONTAINER_OF(farewell_t, age, link);
        if (!counts_to(farewell, owner))
            continue;
        load.count++;
        load.bytes += farewell->untaken;
    }
    return load;
}

static load_t bound_of(const context_t *context, owner_t owner)
{
    uint64_t memory = context->conf->limits.memory_bytes, share = budget_share(context->conf);
    load_t bound = {FAREWELL_MOST, memory / 4};
    if (context->usable_descriptors != 0 && context->usable_descriptors / 16 < bound.count)
        bound.count = context->usable_descriptors / 16;
    if (!is_everybody(owner) && share < memory) {
        bound.count = (size_t)((double)bound.count * (double)share / (double)memory) + 1;
        bound.bytes = share / 4;
    }
    return bound;
}

/* Ends the farewell of `owner` that has been without progress longest, after asking the kernel. */
static void give_up_one(farewells_t *all, owner_t owner)
{
    size_t left = all->count;
    unsigned looks = 0;
    list_t *next = all->ages.next;
    while (left-- > 0) {
        farewell_t *farewell = CONTAINER_OF(farewell_t, age, next);
        next = next->next;
        if (!counts_to(farewell, owner))
            continue;
        sight_t sight = look(farewell);
        if (sight == SIGHT_OVER)
            return;
        if (sight == SIGHT_NOTHING || ++looks == CANDIDATES) {
            end(farewell, true);
            return;
        }
    }
    /* All of the owner's made progress: end the first. */
    for (next = all->ages.next; next != &all->ages; next = next->next) {
        farewell_t *farewell = CONTAINER_OF(farewell_t, age, next);
        if (counts_to(farewell, owner)) {
            end(farewell, true);
            return;
        }
    }
}

static void keep_bound(farewells_t *all, owner_t owner)
{
    load_t bound = bound_of(all->context, owner), load;
    for (load = load_of(all, owner); load.count > bound.count || load.bytes > bound.bytes;
         load = load_of(all, owner))
        give_up_one(all, owner);
}

/* Keeps the bounds of all owners to which a new farewell counts. It may end that farewell itself. */
static void keep_bounds(farewells_t *all, const farewell_t *farewell)
{
    struct in6_addr address = farewell->client.address;
    shm_share_t box = farewell->account.share;
    if (!client_is_proxy(&farewell->client))
        keep_bound(all, (owner_t){.address = &address});
    if (box.cell[0] != 0)
        keep_bound(all, (owner_t){.box = &box});
    keep_bound(all, (owner_t){.address = NULL});
}

/* ---- events of the connection ---- */

static void on_readable(void *owner)
{
    farewell_t *farewell = owner;
    size_t got;
    switch (conn_read(farewell->client.conn, farewell->client.context->scratch, CONN_TURN_BYTES, &got)) {
    case CONN_OK:
        farewell->discarded += (uint32_t)got;
        if (farewell->discarded >= FAREWELL_READ_BYTES)
            conn_want_read(farewell->client.conn, false);
        break;
    case CONN_AGAIN:
        break;
    case CONN_EOF:
    case CONN_TRUNCATED:
        (void)look(farewell); /* most peers close once they have everything */
        break;
    case CONN_FAILED:
        end(farewell, false);
        break;
    }
}

static void on_writable(void *owner)
{
    (void)owner; /* never wanted */
}

static void on_hangup(void *owner, bool reset)
{
    farewell_t *farewell = owner;
    if (reset)
        end(farewell, false);
    else
        (void)look(farewell);
}

/* ---- as a client of the worker ---- */

static bool is_stalled(const farewell_t *farewell, uint64_t before)
{
    return farewell->progress_ms <= before;
}

static bool idle_since(const client_t *client, uint64_t *since_ms)
{
    const farewell_t *farewell = (const farewell_t *)client;
    uint64_t now = loop_now(client->context->loop);
    *since_ms = farewell->progress_ms;
    return now >= EXCHANGE_STALL_MS && is_stalled(farewell, now - EXCHANGE_STALL_MS);
}

static void close_idle(client_t *client)
{
    end((farewell_t *)client, true);
}

static uint64_t stalled(client_t *client, uint64_t before)
{
    const farewell_t *farewell = (const farewell_t *)client;
    return is_stalled(farewell, before) ? farewell->untaken : 0;
}

static void relieve(client_t *client, uint64_t before, uint64_t box_share)
{
    farewell_t *farewell = (farewell_t *)client;
    if (box_share == 0 && is_stalled(farewell, before) && budget_may_close(client)) {
        counter_add(&client->context->counters->memory_closes_total, 1);
        end(farewell, true);
    }
}

static const client_codec_t codec = {.drain = destroy,
                                     .destroy = destroy,
                                     .idle_since = idle_since,
                                     .close_idle = close_idle,
                                     .stalled = stalled,
                                     .relieve = relieve};

static const conn_handlers_t handlers = {on_readable, on_writable, on_hangup};

/* ---- life ---- */

farewells_t *farewells_new(context_t *context)
{
    farewells_t *all = calloc(1, sizeof(*all));
    assert(all != NULL);
    all->context = context;
    list_init(&all->ages);
    return all;
}

void farewells_free(farewells_t **all)
{
    farewells_t *those = *all;
    *all = NULL; /* nothing begins any more */
    if (those == NULL)
        return;
    while (!list_is_empty(&those->ages))
        end(CONTAINER_OF(farewell_t, age, those->ages.next), false);
    free(those);
}

size_t farewells_count(const farewells_t *all)
{
    return all->count;
}

/* Untaken bytes that justify keeping the connection; 0: close it. */
static uint32_t worth(const conn_t *conn)
{
    size_t untaken = conn_untaken(conn);
    bool kept = untaken >= CONN_LITTLE_BYTES && untaken <= UINT32_MAX && !conn_is_dead(conn);
    return kept ? (uint32_t)untaken : 0;
}

/* Starts a farewell for the connection of `accepted`. */
static void begin(farewells_t *all, const client_t *accepted, shm_share_t box, uint32_t untaken)
{
    farewell_t *farewell = calloc(1, sizeof(*farewell));
    assert(farewell != NULL);
    farewell->all = all;
    client_init(&farewell->client, accepted);
    farewell->client.codec = &codec;
    farewell->account = (account_t){.parent = &farewell->client.account, .share = box};
    farewell->progress_ms = loop_now(all->context->loop);
    list_insert(&all->ages, &farewell->age);
    all->count++;
    set_untaken(farewell, untaken);
    conn_set_owner(farewell->client.conn, &handlers, farewell);
    conn_set_account(farewell->client.conn, &farewell->account, 0);
    conn_cut_write(farewell->client.conn);
    conn_want_read(farewell->client.conn, true);
    if (!loop_timer_running(&all->timer))
        loop_timer_start(all->context->loop, &all->timer, FAREWELL_LOOK_MS, look_at_all);
    keep_bounds(all, farewell);
}

void farewell_begin(client_t *client)
{
    farewells_t *all = client->context->farewells;
    assert(client->conn != NULL && !list_is_linked(&client->link));
    if (all == NULL || client->local || client->codec == &codec)
        return;
    uint32_t untaken = worth(client->conn);
    if (untaken == 0)
        return;
    if (client->context->relieving) {
        conn_abort(&client->conn);
        return;
    }
    client_t accepted = *client;
    client->conn = NULL;
    client->counted = false;
    begin(all, &accepted, (shm_share_t){{0}}, untaken);
}

void farewell_begin_origin(const exchange_t *ex, conn_t **conn)
{
    farewells_t *all = ex->context->farewells;
    if (all == NULL || ex->client->local)
        return;
    uint32_t untaken = worth(*conn);
    if (untaken == 0)
        return;
    if (ex->context->relieving) {
        conn_abort(conn);
        return;
    }
    client_t accepted = *ex->client;
    accepted.conn = *conn;
    accepted.address = *remote_address(ex);
    accepted.counted = false;
    *conn = NULL;
    begin(all, &accepted, ex->account.share, untaken);
}
