/*
 * See balance.h: the results of workers' exchanges with a server. All of them carry the server's
 * generation (balance_internal.h), so that a former server's results do not count against its
 * successor.
 */
#include "balance_internal.h"

/* The tag in the word of an ejection is shorter: the rest has milliseconds for 34 years. */
#define END_BITS 40
#define END_MAX  (((uint64_t)1 << END_BITS) - 1)
/* A streak: failures in a row, and ejections. */
#define STREAK_SHIFT 8
#define STREAK_MAX   0xffffffu
#define LEVEL_MAX    0xffu
/* Longest ejection, as a multiple of the first. */
#define EJECT_MOST 10
/* A measurement has a weight of one eighth, and is capped at OUTLIER times the usual latency. One
 * long call among short ones hardly moves the average; three in a row do. */
#define SMOOTH  8
#define OUTLIER 4

void balance_health_reset(server_slot_t *slot, uint64_t generation)
{
    uint64_t nothing = balance_tagged(balance_tag(generation), 0);
    atomic_store(&slot->latency, nothing);
    atomic_store(&slot->streak, nothing);
    atomic_store(&slot->ejected, generation << END_BITS);
    atomic_store(&slot->pass, 0);
    atomic_store(&slot->requests, 0);
    atomic_store(&slot->failures, 0);
    atomic_store(&slot->ejections, 0);
}

/* ---- latency ---- */

uint32_t balance_latency(const server_slot_t *slot, uint64_t now_ms)
{
    uint32_t latency = (uint32_t)atomic_load_explicit(&slot->latency, memory_order_relaxed);
    uint64_t seen = atomic_load_explicit(&slot->latency_ms, memory_order_relaxed);
    if (now_ms < seen + BALANCE_LATENCY_HALF_MS)
        return latency;
    uint64_t halves = (now_ms - seen) / BALANCE_LATENCY_HALF_MS;
    return halves < 32 ? latency >> halves : 0;
}

/* Of two simultaneous writes one may be lost; the value is an average. */
static void latency_seen(server_slot_t *slot, uint32_t tag, uint32_t latency_us, uint64_t now_ms)
{
    uint64_t was = atomic_load(&slot->latency);
    if (latency_us == 0 || balance_tag_of(was) != tag)
        return;
    uint64_t old = balance_latency(slot, now_ms);
    uint64_t most = (was & UINT32_MAX) * OUTLIER; /* a multiple of the average at the last measurement */
    uint64_t seen = old != 0 && latency_us > most ? most : latency_us;
    uint64_t new = old == 0 ? seen : (old * (SMOOTH - 1) + seen + SMOOTH / 2) / SMOOTH;
    if (atomic_compare_exchange_strong(&slot->latency, &was, balance_tagged(tag, (uint32_t) new)))
        atomic_store(&slot->latency_ms, now_ms);
}

/* ---- ejection ---- */

static uint64_t ejection_end(uint64_t word)
{
    return word & END_MAX;
}

uint64_t balance_ejected_ms(const server_slot_t *slot, uint64_t now_ms)
{
    uint64_t end = ejection_end(atomic_load(&slot->ejected));
    return end > now_ms ? end - now_ms : 0;
}

/* `first`, twice, four times, ... up to ten times that. */
static uint64_t eject_ms(uint32_t first, uint64_t level)
{
    uint64_t times = level < 4 ? (uint64_t)1 << level : EJECT_MOST;
    return first * times;
}

static void eject(upstream_t *upstream, unsigned slot, uint64_t generation, uint64_t end_ms)
{
    server_slot_t *server = &upstream->slots[slot];
    uint64_t tag = generation << END_BITS, was = atomic_load(&server->ejected);
    end_ms = end_ms < END_MAX ? end_ms : END_MAX;
    for (int i = 0; i < BALANCE_TRIES; i++) {
        if ((was & ~END_MAX) != tag || ejection_end(was) >= end_ms)
            return;
        if (!atomic_compare_exchange_strong(&server->ejected, &was, tag | end_ms))
            continue;
        atomic_fetch_add(&server->ejections, 1);
        /* After the word: a process that finds the bit without the word clears the bit. */
        atomic_fetch_or(&upstream->watched, balance_bit(slot));
        return;
    }
}

/* Counts one more failure in a row. The failure that completes the row ejects the server; during
 * the ejection, late failures only count. After the ejection the row continues, so the next failure
 * ejects again. */
static void failed(upstream_t *upstream, const balance_pick_t *pick, const conf_upstream_t *conf,
                   uint64_t now_ms)
{
    server_slot_t *server = &upstream->slots[pick->slot];
    uint64_t was = atomic_load(&server->streak);
    for (int i = 0; i < BALANCE_TRIES; i++) {
        uint64_t row = was >> STREAK_SHIFT & STREAK_MAX, level = was & LEVEL_MAX;
        if (balance_tag_of(was) != balance_tag(pick->generation))
            return;
        row += row < STREAK_MAX;
        bool enough = conf->eject_failures != 0 && row >= conf->eject_failures &&
                      balance_ejected_ms(server, now_ms) == 0;
        uint64_t next = (was & ~(uint64_t)UINT32_MAX) | row << STREAK_SHIFT |
                        (enough && level < LEVEL_MAX ? level + 1 : level);
        if (!atomic_compare_exchange_strong(&server->streak, &was, next))
            continue;
        atomic_store(&server->failed_ms, now_ms);
        atomic_fetch_add(&server->failures, 1);
        if (enough)
            eject(upstream, pick->slot, pick->generation, now_ms + eject_ms(conf->eject_time, level));
        return;
    }
}

static void succeeded(server_slot_t *server, uint32_t tag)
{
    uint64_t was = atomic_load(&server->streak), nothing = balance_tagged(tag, 0);
    for (int i = 0; i < BALANCE_TRIES && was != nothing && balance_tag_of(was) == tag; i++)
        if (atomic_compare_exchange_strong(&server->streak, &was, nothing))
            return;
}

bool balance_is_suspect(const server_slot_t *slot, uint64_t now_ms)
{
    uint64_t row = atomic_load_explicit(&slot->streak, memory_order_relaxed) >> STREAK_SHIFT & STREAK_MAX;
    return row != 0 &&
           now_ms < atomic_load_explicit(&slot->failed_ms, memory_order_relaxed) + BALANCE_SUSPECT_MS;
}

void balance_outcome(upstream_t *upstream, const balance_pick_t *pick, const conf_upstream_t *conf,
                     balance_outcome_t outcome, uint32_t latency_us, uint64_t now_ms)
{
    server_slot_t *server = &upstream->slots[pick->slot];
    switch (outcome) {
    case BALANCE_SUCCEEDED:
        succeeded(server, balance_tag(pick->generation));
        latency_seen(server, balance_tag(pick->generation), latency_us, now_ms);
        break;
    case BALANCE_FAILED: /* a fast failure must not improve the latency */
        failed(upstream, pick, conf, now_ms);
        break;
    case BALANCE_LEFT:
        break;
    }
}

/* ---- ejected servers, slow starts ---- */

static uint64_t back_since(const server_slot_t *slot)
{
    uint64_t since = atomic_load(&slot->since_ms), end = ejection_end(atomic_load(&slot->ejected));
    return since > end ? since : end;
}

uint32_t balance_ramp(const server_slot_t *slot, uint32_t slow_start, uint64_t now_ms)
{
    uint64_t since = back_since(slot), age = now_ms > since ? now_ms - since : 0;
    if (age >= slow_start)
        return SHARE_UNITS;
    return SHARE_FIRST + (uint32_t)(age * (SHARE_UNITS - SHARE_FIRST) / slow_start);
}

uint64_t balance_ejected_of(upstream_t *upstream, uint64_t slots, uint32_t slow_start, uint64_t now_ms,
                            uint64_t *slow)
{
    uint64_t ejected = 0;
    for (; slots != 0; slots &= slots - 1) {
        unsigned i = balance_first(slots);
        server_slot_t *slot = &upstream->slots[i];
        uint64_t since = back_since(slot);
        if (balance_ejected_ms(slot, now_ms) != 0) {
            ejected |= balance_bit(i);
        } else if (now_ms < since + slow_start) {
            *slow |= balance_bit(i);
        } else {
            atomic_fetch_and(&upstream->watched, ~balance_bit(i));
            /* A slow start that began between our read and our write lost its bit: set it again. */
            if (back_since(slot) != since)
                atomic_fetch_or(&upstream->watched, balance_bit(i));
        }
    }
    return ejected;
}

/* ---- retries ---- */

#define RETRY 100 /* hundredths */
#define KEPT  (100 * RETRY)

void balance_earn_retry(balance_t *balance, unsigned upstream, const conf_upstream_t *conf)
{
    _Atomic uint32_t *retries = &balance_upstream(balance, upstream)->retries;
    uint32_t was = atomic_load(retries);
    for (int i = 0; i < BALANCE_TRIES && was < KEPT; i++) {
        uint32_t more = was + conf->retry_percent;
        if (atomic_compare_exchange_strong(retries, &was, more < KEPT ? more : KEPT))
            return;
    }
}

bool balance_take_retry(balance_t *balance, unsigned upstream)
{
    _Atomic uint32_t *retries = &balance_upstream(balance, upstream)->retries;
    uint32_t was = atomic_load(retries);
    for (int i = 0; i < BALANCE_TRIES && was >= RETRY; i++)
        if (atomic_compare_exchange_strong(retries, &was, was - RETRY))
            return true;
    return false;
}
