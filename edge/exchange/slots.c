/*
 * See slots.h. A cell stands for one client (one /64 for IPv6) or one box while a request holds or awaits a
 * slot of it. A keyed hash of 64 bits identifies clients and boxes.
 */
#include "slots.h"

#include <assert.h>
#include <stdlib.h>

#include "arena.h"
#include "client.h"
#include "context.h"
#include "fold_hash.h"
#include "list.h"
#include "random_id.h"
#include "remote.h"
#include "step.h"

/* A power of two. */
#define BUCKETS 1024
/* Maximum free cells kept for reuse. */
#define SPARES_MAX 256
/* Upper bounds as fractions of a worker's descriptors, regardless of the configuration: an eighth for one
 * client, a quarter for one box. */
#define CLIENT_SHARE 8
#define BOX_SHARE    4

/* In the exchange's arena, from its first wait on. */
struct slot_waiter {
    exchange_t *ex;
    list_t link;       /* in the queue of `cell` */
    slot_cell_t *cell; /* NULL: not waiting */
    uint64_t since_ms; /* start of the first wait */
};

struct slot_cell {
    slot_cell_t *next; /* of the chain */
    uint64_t hash;
    slot_kind_t kind;
    uint32_t held;
    bool serving; /* being served: must not be dropped */
    list_t line;  /* slot_waiter.link */
    list_t freed; /* in slots->freed: a slot came free while requests wait */
};

struct slots {
    context_t *context;
    uint64_t seed[2];
    slot_cell_t *buckets[BUCKETS];
    list_t freed;
    slot_cell_t *spare; /* free cells, so that a request needs no allocation */
    size_t spares, cells, waiting;
    loop_task_t task;
};

slots_t *slots_new(context_t *context)
{
    slots_t *slots = calloc(1, sizeof(*slots));
    assert(slots != NULL);
    slots->context = context;
    random_bytes(context->random, (unsigned char *)slots->seed, sizeof(slots->seed));
    list_init(&slots->freed);
    return slots;
}

void slots_free(slots_t **slots)
{
    if (*slots == NULL)
        return;
    assert((*slots)->cells == 0 && (*slots)->waiting == 0);
    loop_undefer(&(*slots)->task);
    while ((*slots)->spare != NULL) {
        slot_cell_t *spare = (*slots)->spare;
        (*slots)->spare = spare->next;
        free(spare);
    }
    free(*slots);
    *slots = NULL;
}

size_t slots_waiting(const slots_t *slots)
{
    return slots->waiting;
}

/* ---- cells ---- */

static slot_cell_t **find(slots_t *slots, slot_kind_t kind, uint64_t hash)
{
    slot_cell_t **at = &slots->buckets[hash & (BUCKETS - 1)];
    while (*at != NULL && ((*at)->hash != hash || (*at)->kind != kind))
        at = &(*at)->next;
    return at;
}

static slot_cell_t *cell_of(slots_t *slots, slot_kind_t kind, uint64_t hash)
{
    slot_cell_t **at = find(slots, kind, hash);
    if (*at != NULL)
        return *at;
    slot_cell_t *cell = slots->spare;
    if (cell != NULL) {
        slots->spare = cell->next;
        slots->spares--;
    } else {
        cell = malloc(sizeof(*cell));
        assert(cell != NULL);
    }
    *cell = (slot_cell_t){.hash = hash, .kind = kind};
    list_init(&cell->line);
    *at = cell;
    slots->cells++;
    return cell;
}

static void drop_if_unused(slots_t *slots, slot_cell_t *cell)
{
    if (cell->held != 0 || cell->serving || !list_is_empty(&cell->line))
        return;
    slot_cell_t **at = find(slots, cell->kind, cell->hash);
    assert(*at == cell);
    *at = cell->next;
    if (list_is_linked(&cell->freed))
        list_unlink(&cell->freed);
    slots->cells--;
    if (slots->spares == SPARES_MAX) {
        free(cell);
        return;
    }
    cell->next = slots->spare;
    slots->spare = cell;
    slots->spares++;
}

static uint32_t least(uint32_t configured, size_t share)
{
    if (share == 0) /* the limit of descriptors is not known (tests) */
        return configured != 0 ? configured : UINT32_MAX;
    return configured != 0 && configured < share ? configured : (uint32_t)share;
}

static uint32_t bound_of(const slots_t *slots, slot_kind_t kind)
{
    const context_t *context = slots->context;
    if (kind == SLOT_CLIENT)
        return least(context->conf->limits.origin_connections_per_client,
                     context->usable_descriptors / CLIENT_SHARE);
    return least(context->conf->limits.origin_connections_per_box, context->usable_descriptors / BOX_SHARE);
}

/* ---- waiting ---- */

static void leave_line(exchange_t *ex, await_end_t how)
{
    struct slot_waiter *waiter = ex->slots.waiter;
    slot_cell_t *cell = waiter->cell;
    (void)how;
    waiter->cell = NULL;
    list_unlink(&waiter->link);
    ex->context->slots->waiting--;
    drop_if_unused(ex->context->slots, cell);
}

static const await_source_t source = {.name = "slots", .leave = leave_line};

/* Resumes the first in the line while slots are free. */
static void serve(slots_t *slots, slot_cell_t *cell)
{
    cell->serving = true;
    while (!list_is_empty(&cell->line) && cell->held < bound_of(slots, cell->kind)) {
        exchange_t *ex = CONTAINER_OF(struct slot_waiter, link, cell->line.next)->ex;
        if (exchange_still_allowed(ex)) /* the preview may have been replaced, or the box moved */
            await_complete(ex);
    }
    cell->serving = false;
    drop_if_unused(slots, cell);
}

static void on_freed(loop_task_t *task)
{
    slots_t *slots = CONTAINER_OF(slots_t, task, task);
    while (!list_is_empty(&slots->freed)) {
        slot_cell_t *cell = CONTAINER_OF(slot_cell_t, freed, slots->freed.next);
        list_unlink(&cell->freed);
        serve(slots, cell);
    }
}

static void give_back(slots_t *slots, slot_cell_t *cell)
{
    assert(cell->held > 0);
    cell->held--;
    if (list_is_empty(&cell->line)) {
        drop_if_unused(slots, cell);
        return;
    }
    if (!list_is_linked(&cell->freed))
        list_insert(&slots->freed, &cell->freed);
    loop_defer(slots->context->loop, &slots->task, on_freed);
}

void slots_release(exchange_t *ex)
{
    for (size_t kind = 0; kind < SLOT_KINDS; kind++) {
        slot_cell_t *cell = ex->slots.held[kind];
        ex->slots.held[kind] = NULL;
        if (cell != NULL)
            give_back(ex->context->slots, cell);
    }
}

bool slots_are_many(const exchange_t *ex)
{
    static const uint32_t many[SLOT_KINDS] = {[SLOT_CLIENT] = SLOTS_MANY_CLIENT, [SLOT_BOX] = SLOTS_MANY_BOX};
    for (size_t kind = 0; kind < SLOT_KINDS; kind++)
        if (ex->slots.held[kind] != NULL && ex->slots.held[kind]->held > many[kind])
            return true;
    return false;
}

/* ---- taking ---- */

static void refuse(exchange_t *ex, slot_kind_t kind)
{
    counter_add(&ex->context->counters->origin_queue_refused_total, 1);
    if (kind == SLOT_CLIENT)
        exchange_reply_error(ex, 503, "client_busy",
                             "Too many requests from this address are open, and none of them ended in time.",
                             1);
    else
        exchange_reply_error(ex, 503, "box_busy",
                             "Too many requests to this box are open, and none of them ended in time.", 1);
}

static void on_timeout(exchange_t *ex)
{
    refuse(ex, ex->slots.waiter->cell->kind);
}

/* Milliseconds left to wait. */
static uint32_t time_left(const exchange_t *ex)
{
    uint64_t gone = loop_now(ex->context->loop) - ex->slots.waiter->since_ms;
    uint32_t most = ex->context->conf->timeouts.origin_queue;
    return gone < most ? most - (uint32_t)gone : 0;
}

bool slots_waited(const exchange_t *ex)
{
    return ex->slots.waiter != NULL;
}

static struct slot_waiter *waiter_of(exchange_t *ex)
{
    if (!slots_waited(ex)) {
        ex->slots.waiter = arena_alloc(&ex->arena, sizeof(*ex->slots.waiter));
        *ex->slots.waiter = (struct slot_waiter){.ex = ex, .since_ms = loop_now(ex->context->loop)};
        counter_add(&ex->context->counters->origin_queue_waits_total, 1);
    }
    return ex->slots.waiter;
}

static step_result_t wait_for(exchange_t *ex, slot_cell_t *cell)
{
    slots_t *slots = ex->context->slots;
    if (slots->waiting >= ex->context->conf->limits.origin_queue) {
        slot_kind_t kind = cell->kind;
        drop_if_unused(slots, cell);
        refuse(ex, kind);
        return STEP_DONE;
    }
    struct slot_waiter *waiter = waiter_of(ex);
    waiter->cell = cell;
    list_insert(&cell->line, &waiter->link);
    slots->waiting++;
    await_begin(ex, &source);
    await_until(ex, time_left(ex), on_timeout);
    return STEP_WAIT;
}

/* Takes a slot of each kind that has a hash, or none at all. */
static step_result_t take(exchange_t *ex, const uint64_t *hashes, size_t count)
{
    slots_t *slots = ex->context->slots;
    slot_cell_t *cells[SLOT_KINDS] = {NULL};
    bool waited = slots_waited(ex);
    for (size_t kind = 0; kind < count; kind++) {
        cells[kind] = cell_of(slots, (slot_kind_t)kind, hashes[kind]);
        /* A new request waits behind earlier ones. */
        bool full = cells[kind]->held >= bound_of(slots, (slot_kind_t)kind) ||
                    (!waited && !list_is_empty(&cells[kind]->line));
        if (!full)
            continue;
        step_result_t result = wait_for(ex, cells[kind]);
        while (kind-- > 0)
            drop_if_unused(slots, cells[kind]);
        return result;
    }
    for (size_t kind = 0; kind < count; kind++) {
        cells[kind]->held++;
        ex->slots.held[kind] = cells[kind];
    }
    return STEP_NEXT;
}

static bool needs_none(const exchange_t *ex)
{
    return ex->context->slots == NULL || ex->internal || ex->client->local;
}

step_result_t slots_take_for_client(exchange_t *ex)
{
    if (needs_none(ex))
        return STEP_NEXT;
    const uint64_t hash = fold_hash_client(ex->context->slots->seed, remote_address(ex));
    return take(ex, &hash, 1);
}

step_result_t slots_take_for_box(exchange_t *ex)
{
    if (needs_none(ex))
        return STEP_NEXT;
    slots_t *slots = ex->context->slots;
    const uint64_t hashes[] = {fold_hash_client(slots->seed, remote_address(ex)),
                               fold_hash_text(slots->seed, str_from(ex->box.id))};
    return take(ex, hashes, SLOT_KINDS);
}
