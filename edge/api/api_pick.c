/*
 * The pick step: picks the upstream's server for the request, waits for a slot if all are full, and picks
 * another server if one failed.
 */
#include "api.h"

#include <assert.h>

#include "client.h"
#include "random_id.h"
#include "siphash.h"
#include "target.h"
#include "worker.h"

/* The box that the call concerns: the third segment of "/v2/box/<id>/..."; empty: none. */
static str_t box_of(str_t target)
{
    static const str_t prefix = {"/v2/box/", 8};
    if (!str_starts(target, prefix))
        return str_make(NULL, 0);
    str_t id = str_from_offset(target, prefix.n);
    size_t n = 0;
    while (n < id.n && id.p[n] != '/' && id.p[n] != '?')
        n++;
    return str_make(id.p, n);
}

/* Calls about one box go to one server; others go by their key. */
static uint64_t hash_of(const exchange_t *ex)
{
    static const siphash_key_t key; /* fixed: the same in all workers and after a restart */
    str_t box = box_of(ex->request.target);
    if (box.n != 0)
        return siphash(&key, box.p, box.n);
    return siphash(&key, ex->api->key.sha256, sizeof(ex->api->key.sha256));
}

static balance_result_t pick(exchange_t *ex, uint64_t avoid)
{
    api_t *api = ex->api;
    worker_t *worker = worker_of(ex->context);
    uint64_t random = 0, hash = 0;
    /* A reload may have moved the upstream, or this worker knows it before the controller does. */
    unsigned index = balance_find(shm_balance(worker->context.shm), api->upstream->id, api->upstream_index);
    if (index == BALANCE_UPSTREAMS_MAX)
        return BALANCE_FULL;
    api->upstream_index = index;
    if (api->upstream->balance == CONF_BALANCE_HASH)
        hash = hash_of(ex);
    else
        random_bytes(worker->context.random, (unsigned char *)&random, sizeof(random));
    balance_result_t result =
        balance_pick(shm_balance(worker->context.shm), worker->context.index, api->upstream_index,
                     api->upstream, hash, random, avoid, loop_now(worker->context.loop), &api->pick);
    if (result != BALANCE_OK)
        return result;
    api->attempts++;
    api->picked_us = loop_precise_us();
    target_server(ex, api->conf, api->origin_tls, (size_t)(api->upstream - api->conf->upstreams), &api->pick,
                  api_again);
    return result;
}

static void leave_line(exchange_t *ex)
{
    api_t *api = ex->api;
    if (api->waiter.ex == NULL)
        return;
    api->queued_ms = (uint32_t)(loop_now(ex->context->loop) - api->waiter.since_ms);
    upstream_queue_leave(worker_of(ex->context)->upstream_queue, &api->waiter);
}

static void leave(exchange_t *ex, await_end_t how)
{
    if (how == AWAIT_RESUMED)
        upstream_queue_turn(&ex->api->waiter);
    else
        leave_line(ex);
}

static const await_source_t source = {.name = "upstream", .leave = leave};

static void refuse_busy(exchange_t *ex)
{
    counter_add(&ex->context->counters->api_queue_refused_total, 1);
    exchange_reply_error(ex, 503, "api_busy", "All servers of this API are busy: try again shortly.", 1);
}

/* Every server is full: waits for a slot. */
static step_result_t wait_for_slot(exchange_t *ex)
{
    api_t *api = ex->api;
    upstream_queue_t *upstream_queue = worker_of(ex->context)->upstream_queue;
    if (api->waiter.ex != NULL) { /* it has had its turn */
        upstream_queue_wait_on(upstream_queue, &api->waiter);
        await_begin(ex, &source);
        return STEP_WAIT;
    }
    if (!upstream_queue_wait(upstream_queue, &api->waiter, ex, api->upstream_index, api->upstream->queue)) {
        refuse_busy(ex);
        return STEP_DONE;
    }
    counter_add(&ex->context->counters->api_queued_total, 1);
    await_begin(ex, &source);
    await_until(ex, api->upstream->queue_timeout, refuse_busy);
    return STEP_WAIT;
}

step_result_t step_api_pick(exchange_t *ex)
{
    api_t *api = ex->api;
    if (api->waiter.ex == NULL &&
        upstream_queue_waiting(worker_of(ex->context)->upstream_queue, api->upstream_index))
        return wait_for_slot(ex); /* behind earlier requests */
    switch (pick(ex, 0)) {
    case BALANCE_OK:
        leave_line(ex);
        balance_earn_retry(shm_balance(ex->context->shm), api->upstream_index, api->upstream);
        return STEP_NEXT;
    case BALANCE_FULL:
        return wait_for_slot(ex);
    case BALANCE_NONE:
        break;
    }
    leave_line(ex);
    exchange_reply_error(ex, 503, "api_unavailable", "No server of this API is available: try again shortly.",
                         5);
    return STEP_DONE;
}

/* Gives the failed server up. The end of a pooled connection proves nothing about its server. */
static void give_up(exchange_t *ex, bool reused)
{
    api_t *api = ex->api;
    api->outcome = reused ? BALANCE_LEFT : BALANCE_FAILED;
    api->tried |= UINT64_C(1) << api->pick.slot;
    api_release_server(ex);
}

bool api_again(exchange_t *ex, const resend_facts_t *facts)
{
    api_t *api = ex->api;
    resend_facts_t resend = *facts;
    resend.elsewhere = true;
    resend.sent_again = api->written_again;
    if (api->attempts >= API_ATTEMPTS_MAX || !resend_allowed(&resend) ||
        !balance_take_retry(shm_balance(ex->context->shm), api->upstream_index))
        return false;
    give_up(ex, facts->reused);
    api->written_again |= facts->wrote;
    balance_result_t result = pick(ex, api->tried);
    if (result == BALANCE_NONE && facts->reused)
        result = pick(ex, 0); /* no other server: the same one, over a fresh connection */
    if (result != BALANCE_OK)
        return false;
    ex->sent_again = true;
    counter_add(&ex->context->counters->api_retries_total, 1);
    return true;
}
