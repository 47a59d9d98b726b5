/*
 * See balance.h: the choice among several servers. A server's share is its weight, less in its slow
 * start.
 */
#include "balance_internal.h"

#include <math.h>

/* Rejected draws by share before the shares are summed up. */
#define DRAWS 4
/* Round robin: the length of one turn at a share of one unit. */
#define TURN ((uint64_t)1 << 24)
/* Load limit of consistent hashing, in quarters of a server's part. */
#define BOUND_QUARTERS 5

/* ---- numbers ---- */

static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* The first number is the caller's. */
static uint64_t next_random(picking_t *picking)
{
    uint64_t random = picking->random;
    picking->random = mix(random + 0x9e3779b97f4a7c15u);
    return random;
}

/* Scales 32 random bits to a number below `below`. */
static uint32_t scale(uint32_t random, uint32_t below)
{
    return (uint32_t)((uint64_t)random * below >> 32);
}

static uint32_t share_of(const picking_t *picking, unsigned slot)
{
    const server_slot_t *server = &picking->upstream->slots[slot];
    uint32_t weight = shared_at_most(&server->weight, BALANCE_WEIGHT_MAX);
    weight += weight == 0; /* it is being removed */
    if ((picking->slow & balance_bit(slot)) == 0)
        return weight * SHARE_UNITS;
    return weight * balance_ramp(server, picking->conf->slow_start, picking->now_ms);
}

static uint32_t load_of(const picking_t *picking, unsigned slot)
{
    uint64_t generation = atomic_load(&picking->upstream->slots[slot].generation);
    return balance_load(picking->balance, picking->upstream, slot, balance_tag(generation));
}

/* ---- draws ---- */

/* Slots are allocated from the first on, so most of them are in one run. */
static unsigned nth(uint64_t slots, uint32_t n)
{
    unsigned run = slots == UINT64_MAX ? 64 : balance_first(~slots);
    if (n < run)
        return n;
    assert(run < 64); /* n is less than the number of slots */
    slots &= ~(balance_bit(run) - 1);
    for (n -= run; n > 0; n--)
        slots &= slots - 1;
    return balance_first(slots);
}

static unsigned draw_by_sum(picking_t *picking, uint64_t slots)
{
    uint64_t left;
    uint32_t sum = 0;
    for (left = slots; left != 0; left &= left - 1)
        sum += share_of(picking, balance_first(left));
    uint32_t n = scale((uint32_t)(next_random(picking) >> 32), sum);
    for (left = slots; (left & (left - 1)) != 0; left &= left - 1) {
        uint32_t share = share_of(picking, balance_first(left));
        if (n < share)
            break;
        n -= share;
    }
    return balance_first(left);
}

/* Draws one of `slots` at random, by share. */
static unsigned draw(picking_t *picking, uint64_t slots)
{
    uint32_t count = (uint32_t)__builtin_popcountll(slots);
    uint32_t most = atomic_load_explicit(&picking->upstream->weight_max, memory_order_relaxed) * SHARE_UNITS;
    if (count == 1)
        return balance_first(slots);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t random = next_random(picking);
        unsigned slot = nth(slots, scale((uint32_t)(random >> 32), count));
        uint32_t share = share_of(picking, slot);
        if (share >= most || scale((uint32_t)random, most) < share)
            return slot;
    }
    return draw_by_sum(picking, slots);
}

/* ---- power of two choices ---- */

/*
 * A server whose last exchange failed is worse: the next request to it may be lost too. Otherwise
 * requests in flight decide. Latency counts only if one server takes at least twice as long as the
 * other: smaller differences are noise, and would leave a slightly slower server without requests.
 */
static bool is_worse(const picking_t *picking, unsigned a, unsigned b)
{
    const server_slot_t *slots = picking->upstream->slots;
    bool suspect_a = balance_is_suspect(&slots[a], picking->now_ms);
    if (suspect_a != balance_is_suspect(&slots[b], picking->now_ms))
        return suspect_a;
    uint64_t share_a = share_of(picking, a), share_b = share_of(picking, b);
    uint64_t load_a = load_of(picking, a), load_b = load_of(picking, b);
    uint64_t slow_a = balance_latency(&slots[a], picking->now_ms);
    uint64_t slow_b = balance_latency(&slots[b], picking->now_ms);
    if (slow_a == 0 || slow_b == 0 || (slow_a < 2 * slow_b && slow_b < 2 * slow_a))
        return load_a * share_b > load_b * share_a;
    /* Latencies are 32 bits, loads and shares are below 2^20 and 2^14: no product overflows. */
    return (unsigned __int128)(load_a + 1) * slow_a * share_b >
           (unsigned __int128)(load_b + 1) * slow_b * share_a;
}

static unsigned choose_p2c(picking_t *picking, uint64_t slots)
{
    unsigned a = draw(picking, slots);
    uint64_t others = slots & ~balance_bit(a);
    if (others == 0)
        return a;
    unsigned b = draw(picking, others);
    return is_worse(picking, a, b) ? b : a;
}

/* ---- round robin ---- */

/*
 * Chooses the server with the earliest next turn, and postpones that turn by a length in inverse
 * proportion to its share. A server that was away does not catch up.
 */
static unsigned choose_turn(picking_t *picking, uint64_t slots)
{
    upstream_t *up = picking->upstream;
    unsigned best = balance_first(slots);
    for (int i = 0; i < BALANCE_TRIES; i++) {
        uint64_t now = atomic_load(&up->turn), least = UINT64_MAX, was = 0;
        for (uint64_t left = slots; left != 0; left &= left - 1) {
            unsigned slot = balance_first(left);
            uint64_t seen = atomic_load_explicit(&up->slots[slot].pass, memory_order_relaxed);
            uint64_t pass = seen > now ? seen : now;
            if (pass < least) {
                best = slot;
                least = pass;
                was = seen;
            }
        }
        uint64_t next = least + TURN / share_of(picking, best);
        if (!atomic_compare_exchange_strong(&up->slots[best].pass, &was, next))
            continue; /* another worker gave it this turn */
        while (now < least && !atomic_compare_exchange_weak(&up->turn, &now, least))
            ;
        break;
    }
    return best;
}

/* ---- least connections ---- */

static unsigned choose_least(picking_t *picking, uint64_t slots)
{
    unsigned first = balance_first(slots);
    uint64_t load = load_of(picking, first), share = share_of(picking, first);
    uint64_t equal = balance_bit(first);
    for (uint64_t left = slots & (slots - 1); left != 0; left &= left - 1) {
        unsigned slot = balance_first(left);
        uint64_t its_load = load_of(picking, slot), its_share = share_of(picking, slot);
        if (its_load * share > load * its_share)
            continue;
        if (its_load * share < load * its_share) {
            load = its_load;
            share = its_share;
            equal = 0;
        }
        equal |= balance_bit(slot);
    }
    return draw(picking, equal);
}

/* ---- consistent hashing ---- */

/*
 * Chooses the highest score of the servers (rendezvous): an added or removed server moves only its
 * own keys. With E = -ln(u) for u uniform in (0, 1), share / E is the highest with a probability of
 * the share (Efraimidis and Spirakis, 2006).
 */
static unsigned choose_hash(const picking_t *picking, uint64_t slots)
{
    unsigned best = balance_first(slots);
    uint64_t best_u = 0;
    uint32_t best_share = 0;
    for (uint64_t left = slots; left != 0; left &= left - 1) {
        unsigned slot = balance_first(left);
        uint64_t key = atomic_load_explicit(&picking->upstream->slots[slot].key, memory_order_relaxed);
        uint64_t u = mix(picking->hash ^ key) >> 11 | 1; /* 53 bits: exact in a double; never 0 */
        uint32_t share = share_of(picking, slot);
        bool better = u > best_u;
        if (share != best_share && best_share != 0)
            better = share * -log((double)best_u * 0x1p-53) > best_share * -log((double)u * 0x1p-53);
        if (better) {
            best = slot;
            best_u = u;
            best_share = share;
        }
    }
    return best;
}

uint32_t balance_bound(const picking_t *picking, unsigned slot, uint32_t total)
{
    uint64_t sum = 0, share = share_of(picking, slot);
    for (uint64_t left = picking->all; left != 0; left &= left - 1)
        sum += share_of(picking, balance_first(left));
    sum = sum > share ? sum : share;
    uint64_t bound = (BOUND_QUARTERS * (uint64_t)total * share + 4 * sum - 1) / (4 * sum);
    return (uint32_t)bound;
}

unsigned balance_choose(picking_t *picking, uint64_t slots)
{
    assert(slots != 0);
    switch (picking->conf->balance) {
    case CONF_BALANCE_ROUND_ROBIN:
        return choose_turn(picking, slots);
    case CONF_BALANCE_LEAST:
        return choose_least(picking, slots);
    case CONF_BALANCE_HASH:
        return choose_hash(picking, slots);
    case CONF_BALANCE_P2C:
        break;
    }
    return choose_p2c(picking, slots);
}
