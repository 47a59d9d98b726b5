#include "linger.h"

#include <assert.h>
#include <stdlib.h>

#include <openssl/rand.h>

#include "address.h"
#include "context.h"
#include "list.h"
#include "rate.h"
#include "siphash.h"

/* Cells for rate_take. Client addresses in one cell share its rate. */
#define CELLS 2048

struct linger_rates {
    siphash_key_t hash_key;
    uint64_t cells[CELLS];
};

linger_rates_t *linger_rates_new(void)
{
    linger_rates_t *rates = calloc(1, sizeof(*rates));
    assert(rates != NULL);
    int made = RAND_bytes((unsigned char *)&rates->hash_key, sizeof(rates->hash_key));
    assert(made == 1);
    return rates;
}

void linger_rates_free(linger_rates_t **rates)
{
    free(*rates);
    *rates = NULL;
}

bool linger_wanted(const exchange_t *ex)
{
    static const char *const never[] = {"overloaded", "locked", "request_timeout", "too_many_waiting",
                                        "too_many_wakes"};
    for (size_t i = 0; ex->local_code != NULL && i < sizeof(never) / sizeof(never[0]); i++)
        if (strcmp(ex->local_code, never[i]) == 0)
            return false;
    return true;
}

/* The cell of the client's address; NULL: no limit applies. */
static uint64_t *cell_of(const linger_t *linger)
{
    linger_rates_t *rates = linger->client->context->linger_rates;
    const remote_t *remote = &linger->remote;
    if (rates == NULL || (remote->trusted && !remote->named))
        return NULL;
    size_t n = address_owner_bytes(&remote->address);
    return &rates->cells[siphash(&rates->hash_key, &remote->address, n) % CELLS];
}

/* Charges whole units to the client's rate. False if none is left at the moment. */
static bool pay(linger_t *linger)
{
    uint64_t *cell = cell_of(linger);
    uint64_t now = loop_now(linger->client->context->loop);
    if (cell == NULL)
        linger->unpaid = 0;
    while (linger->unpaid >= LINGER_UNIT_BYTES) {
        if (!rate_take(cell, now, LINGER_UNIT_MS, LINGER_BURST_BYTES / LINGER_UNIT_BYTES))
            return false;
        linger->unpaid -= LINGER_UNIT_BYTES;
    }
    return true;
}

static void give_up(linger_t *linger)
{
    linger_end(linger);
    linger->handlers->over(linger);
}

static void idle_expired(loop_timer_t *timer)
{
    give_up(CONTAINER_OF(linger_t, timer, timer));
}

static void whole_expired(loop_timer_t *timer)
{
    give_up(CONTAINER_OF(linger_t, whole, timer));
}

static void pause_expired(loop_timer_t *timer)
{
    linger_t *linger = CONTAINER_OF(linger_t, timer, timer);
    loop_t *loop = linger->client->context->loop;
    if (!pay(linger)) {
        loop_timer_start(loop, timer, LINGER_PAUSE_MS, pause_expired);
        return;
    }
    loop_timer_start(loop, timer, LINGER_IDLE_MS, idle_expired);
    linger->handlers->resume(linger);
}

void linger_begin(linger_t *linger, const client_t *client, const remote_t *remote,
                  const linger_handlers_t *handlers)
{
    loop_t *loop = client->context->loop;
    linger->client = client;
    linger->remote = *remote;
    linger->handlers = handlers;
    loop_timer_start(loop, &linger->timer, LINGER_IDLE_MS, idle_expired);
    loop_timer_start(loop, &linger->whole, LINGER_WHOLE_MS, whole_expired);
}

linger_result_t linger_take(linger_t *linger, size_t n)
{
    loop_t *loop = linger->client->context->loop;
    if (n > LINGER_BYTES - linger->bytes) {
        linger_end(linger);
        return LINGER_OVER;
    }
    linger->bytes += (uint32_t)n;
    linger->unpaid += (uint32_t)n;
    counter_add(&linger->client->context->counters->discarded_bytes_total, n);
    if (pay(linger)) {
        loop_timer_start(loop, &linger->timer, LINGER_IDLE_MS, idle_expired);
        return LINGER_READ_ON;
    }
    loop_timer_start(loop, &linger->timer, LINGER_PAUSE_MS, pause_expired);
    return LINGER_PAUSED;
}

void linger_end(linger_t *linger)
{
    loop_timer_stop(&linger->timer);
    loop_timer_stop(&linger->whole);
}
