/*
 * What the parts of balance.h share: the table and its cells.
 *
 * The controller writes what a server is: into the one of two copies that nobody reads, which it then makes
 * the current one; so a reader never waits for it, and its death leaves the former copy. What workers count
 * carries the generation of the server that it was counted for: a slot can be given to another server at
 * once, and what comes late for the former one meets another generation and counts for nobody.
 */
#ifndef BOXEDGE_BALANCE_IMPL_H
#define BOXEDGE_BALANCE_IMPL_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>

#include "balance.h"

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "processes share the cells");

#define NAME_WORDS ((CONF_SERVER_MAX + 1) / 8)
_Static_assert(NAME_WORDS * 8 == CONF_SERVER_MAX + 1, "a name is whole words");

/* Shares are hundredths of a weight, so that a server in its slow start can have a part of one. */
#define SHARE_UNITS 100
/* The part that a server in its slow start begins with, in hundredths. */
#define SHARE_FIRST 10
/* Where others change the same word all the time, it is tried again so often. */
#define BALANCE_TRIES 64

typedef struct server_copy {
    _Atomic uint64_t generation; /* 0: no server */
    _Atomic uint64_t address[2];
    _Atomic uint64_t place; /* weight 32 | index 16 | port 16 */
    _Atomic uint64_t name[NAME_WORDS];
} server_copy_t;

/* What a server is, and how it does. "Tagged": the server's generation is in it, and decides. */
typedef struct server_slot {
    /* Owner: the controller. */
    alignas(64) _Atomic uint64_t version; /* the copy version % 2 is the current one */
    _Atomic uint64_t generation;          /* as in the copy */
    _Atomic uint64_t key;                 /* hash of address and port */
    _Atomic uint64_t since_ms;            /* when it came up */
    _Atomic uint32_t weight;
    server_copy_t copies[2];
    /* Of all workers. */
    alignas(64) _Atomic uint64_t latency; /* tag 32 | microseconds 32 */
    _Atomic uint64_t latency_ms;          /* when the last was seen */
    _Atomic uint64_t streak;              /* tag 32 | failures in a row 24 | ejections without a success 8 */
    _Atomic uint64_t failed_ms;           /* when the last failure of the row was */
    _Atomic uint64_t ejected;             /* tag 24 | end of the last ejection in ms 40 */
    _Atomic uint64_t pass;                /* round robin: its next turn */
    _Atomic uint64_t requests, failures, ejections;
} server_slot_t;

#define BALANCE_NOBODY UINT64_MAX

typedef struct upstream {
    /* Bit n: slot n. Owner: the controller. */
    alignas(64) _Atomic uint64_t present;
    _Atomic uint64_t up;
    _Atomic uint64_t drained;
    _Atomic uint32_t weight_max;
    _Atomic uint64_t id;      /* conf_upstream_t.id, or BALANCE_NOBODY while its servers change */
    _Atomic uint64_t changes; /* how often `id` was given to another upstream */
    /* Of all: slots that may be ejected or in their slow start. Others are neither. */
    _Atomic uint64_t watched;
    alignas(64) _Atomic uint32_t retries; /* hundredths */
    _Atomic uint32_t begun;               /* it had servers once */
    alignas(64) _Atomic uint64_t turn;    /* round robin: no turn is before it */
    /* Owner of each: that worker. */
    alignas(64) _Atomic uint32_t in_flight[BALANCE_WORKERS_MAX];
    _Atomic uint32_t waiters[BALANCE_WORKERS_MAX];
    server_slot_t slots[BALANCE_SERVERS_MAX];
    /* tag 32 | in flight at that server 32 */
    _Atomic uint64_t cells[BALANCE_SERVERS_MAX][BALANCE_WORKERS_MAX];
} upstream_t;

struct balance {
    _Atomic uint64_t generations; /* that were given */
    _Atomic uint32_t workers;     /* those above it never counted anything */
    upstream_t upstreams[BALANCE_UPSTREAMS_MAX];
};

/* ---- slots ---- */

static inline uint64_t balance_bit(unsigned slot)
{
    return (uint64_t)1 << slot;
}

/* The lowest slot of a set that is not empty. */
static inline unsigned balance_first(uint64_t slots)
{
    return (unsigned)__builtin_ctzll(slots);
}

static inline upstream_t *balance_upstream(balance_t *balance, unsigned upstream)
{
    assert(upstream < BALANCE_UPSTREAMS_MAX);
    return &balance->upstreams[upstream];
}

static inline uint32_t balance_tag(uint64_t generation)
{
    return (uint32_t)generation;
}

/* A word that carries a whole tag. */
static inline uint64_t balance_tagged(uint32_t tag, uint32_t value)
{
    return (uint64_t)tag << 32 | value;
}

static inline uint32_t balance_tag_of(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

/* What a worker needs of a server. */
typedef struct server_place {
    uint64_t generation;
    struct in6_addr address;
    uint16_t index, port;
    uint32_t weight;
} server_place_t;

/* Of one moment. False where there is no server. With `name` (CONF_SERVER_MAX + 1 bytes), that too. */
bool balance_read(const server_slot_t *slot, server_place_t *out, char *name);

/* ---- picking (balance_pick.c, balance_policy.c) ---- */

/* One pick. */
typedef struct picking {
    const balance_t *balance;
    upstream_t *upstream;
    const conf_upstream_t *conf;
    uint64_t hash;
    uint64_t random; /* the state of a generator */
    uint64_t now_ms;
    uint64_t all;  /* that share the load */
    uint64_t slow; /* of them, in their slow start */
} picking_t;

/* What is in flight at a server, of all workers. */
uint32_t balance_load(const balance_t *balance, const upstream_t *upstream, unsigned slot, uint32_t tag);
/* One of `slots`, which are not empty, by the policy. */
unsigned balance_choose(picking_t *picking, uint64_t slots);
/* Consistent hashing: what a server may have in flight, while the upstream has `total`. */
uint32_t balance_bound(const picking_t *picking, unsigned slot, uint32_t total);

/* ---- health (balance_health.c) ---- */

/* As for a server that was never there before. */
void balance_health_reset(server_slot_t *slot, uint64_t generation);
/* For how long the server is left out yet; 0: it is not. */
uint64_t balance_ejected_ms(const server_slot_t *slot, uint64_t now_ms);
/* Its last exchange failed, BALANCE_SUSPECT_MS ago at most. */
#define BALANCE_SUSPECT_MS 1000
bool balance_is_suspect(const server_slot_t *slot, uint64_t now_ms);

/* The smoothed latency, halved for each BALANCE_LATENCY_HALF_MS in which none was seen. 0: unknown. */
uint32_t balance_latency(const server_slot_t *slot, uint64_t now_ms);
#define BALANCE_LATENCY_HALF_MS 1000
/* The hundredths that a server has of its weight: SHARE_UNITS, less in its slow start. */
uint32_t balance_ramp(const server_slot_t *slot, uint32_t slow_start, uint64_t now_ms);
/* Of `slots`, those that are ejected; and in *slow those in their slow start. */
uint64_t balance_ejected_of(upstream_t *upstream, uint64_t slots, uint32_t slow_start, uint64_t now_ms,
                            uint64_t *slow);

/* What an exchange saw. */
void balance_outcome(upstream_t *upstream, const balance_pick_t *pick, const conf_upstream_t *conf,
                     balance_outcome_t outcome, uint32_t latency_us, uint64_t now_ms);

#endif
