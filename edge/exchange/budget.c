#include "budget.h"

#include <assert.h>

#include "client.h"
#include "context.h"
#include "step.h"

static uint64_t ahead_of(const context_t *context)
{
    return BUDGET_AHEAD_BYTES *
           atomic_load_explicit(&context->counters->exchanges_open, memory_order_relaxed);
}

static bool is_tight(uint64_t memory, uint64_t held)
{
    return held >= memory - memory / 4;
}

bool budget_is_tight(const context_t *context)
{
    return is_tight(context->conf->limits.memory_bytes, context->memory.held + ahead_of(context));
}

uint64_t budget_credit(const context_t *context)
{
    uint64_t memory = context->conf->limits.memory_bytes, most = memory / 4 * 3;
    uint64_t held = account_own(&context->memory);
    return most > held ? most - held : 0;
}

uint64_t budget_share(const conf_t *conf)
{
    uint64_t given = conf->limits.memory_per_client_bytes;
    return given != 0 ? given : conf->limits.memory_bytes / 8;
}

/* The share of a client address: whole up to limits.memory, zero from 3/2 of it on. */
static uint64_t share_of_client(const budget_facts_t *facts)
{
    uint64_t half = facts->memory / 2, requests = facts->held - facts->connections;
    if (requests <= facts->memory)
        return facts->share;
    return (uint64_t)((double)facts->share * (double)(facts->memory + half - requests) / (double)half);
}

budget_answer_t budget_rule(const budget_facts_t *facts)
{
    uint64_t memory = facts->memory, share = facts->share, held = facts->held;
    uint64_t requests = held - facts->connections;
    assert(facts->connections <= held);
    if (!is_tight(memory, held + facts->kernel + facts->ahead))
        return BUDGET_SERVE;
    if (requests >= memory + memory / 2)
        return BUDGET_DROP;
    if (facts->client > share || facts->box > share)
        return held >= memory - memory / 8 ? BUDGET_DROP : BUDGET_SHED;
    if (!facts->shared || share >= memory)
        return requests >= memory + memory / 4 ? BUDGET_SHED : BUDGET_SERVE;
    if (facts->client > share_of_client(facts))
        return requests >= memory + memory / 4 ? BUDGET_DROP : BUDGET_SHED;
    return BUDGET_SERVE;
}

bool budget_may_close(const client_t *client)
{
    return !client->local && client->kind != CONF_LISTENER_HEALTH && !client_is_proxy(client);
}

uint64_t budget_client(const client_t *client)
{
    const shm_t *shm = client->context->shm;
    return shm != NULL && budget_may_close(client) ? shm_share_held(shm, client->account.share) : 0;
}

static uint64_t greater(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

uint64_t budget_exchange(const exchange_t *ex)
{
    const shm_t *shm = ex->context->shm;
    if (shm == NULL)
        return 0;
    return greater(shm_share_held(shm, ex->account.share), shm_share_held(shm, ex->named.share));
}

/* Bytes that the address of a connection holds beside the connection's own TLS, which every address needs. */
static uint64_t beside_tls(const client_t *client)
{
    uint64_t held = budget_client(client), own = client->tls ? CONN_TLS_STATE_BYTES : 0;
    return held > own ? held - own : 0;
}

/* `named` and `box`: bytes that the named client and the box of a request hold, over all workers. */
static budget_answer_t judge_client(const client_t *client, uint64_t ahead, bool has_named, uint64_t named,
                                    uint64_t box)
{
    const context_t *context = client->context;
    if (client->local || client->kind == CONF_LISTENER_HEALTH)
        return BUDGET_SERVE;
    budget_facts_t facts = {.memory = context->conf->limits.memory_bytes,
                            .share = budget_share(context->conf),
                            .held = account_own(&context->memory),
                            .kernel = context->memory.kernel,
                            .connections = context->connection_bytes,
                            .ahead = ahead,
                            .shared = context->shm != NULL && (budget_may_close(client) || has_named),
                            .client = greater(beside_tls(client), named),
                            .box = box};
    return budget_rule(&facts);
}

static budget_answer_t judge(const exchange_t *ex, uint64_t ahead)
{
    const shm_t *shm = ex->context->shm;
    if (!is_tight(ex->context->conf->limits.memory_bytes, ex->context->memory.held + ahead))
        return BUDGET_SERVE;
    uint64_t named = shm != NULL ? shm_share_held(shm, ex->named.share) : 0;
    uint64_t box = shm != NULL ? shm_share_held(shm, ex->account.share) : 0;
    return judge_client(ex->client, ahead, ex->named.share.cell[0] != 0, named, box);
}

bool budget_is_crowded(const context_t *context)
{
    return context->connection_bytes >= context->conf->limits.memory_bytes / 2;
}

bool budget_refuses_tls(const client_t *client)
{
    const context_t *context = client->context;
    return account_own(&context->memory) >= 2 * context->conf->limits.memory_bytes ||
           judge_client(client, ahead_of(context), false, 0, 0) == BUDGET_DROP;
}

void budget_note_relief(exchange_t *ex)
{
    if (ex->local_code != NULL)
        return;
    ex->local_code = "overloaded";
    ex->detail = BUDGET_RELIEF_REASON;
}

void budget_shed(exchange_t *ex)
{
    exchange_reply_error(ex, 503, "overloaded",
                         "The edge is out of memory for new requests; try again shortly.", 1);
}

bool budget_refuses(exchange_t *ex)
{
    budget_answer_t answer = judge(ex, ahead_of(ex->context));
    if (answer == BUDGET_SERVE)
        return false;
    counter_add(&ex->context->counters->shed_total, 1);
    ex->local_code = "overloaded";
    if (answer == BUDGET_SHED)
        budget_shed(ex);
    else
        exchange_cut(ex);
    return true;
}

bool budget_is_short(const exchange_t *ex)
{
    return judge(ex, 0) != BUDGET_SERVE;
}

size_t budget_bound(const exchange_t *ex, size_t most)
{
    const context_t *context = ex->context;
    uint64_t memory = context->conf->limits.memory_bytes, held = context->memory.held;
    if (held < memory / 2 || most <= BUDGET_FLOOR_BYTES)
        return most;
    uint64_t share = budget_share(context->conf);
    bool over = account_own(&context->memory) >= memory + memory / 4 || budget_client(ex->client) > share ||
                budget_exchange(ex) > share;
    return over ? BUDGET_FLOOR_BYTES : most;
}
