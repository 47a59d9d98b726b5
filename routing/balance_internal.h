/*
 * The table and its cells, shared by the files behind balance.h.
 *
 * The controller writes a server's description into the copy that no reader uses, and then makes that copy
 * the current one. A reader therefore never waits for the controller, and the controller's death leaves the
 * former copy. Workers' counts carry the generation of their server. A slot can pass to another server
 * immediately: a late count for the former server has another generation and is ignored.
 */
#ifndef BOXEDGE_BALANCE_INTERNAL_H
#define BOXEDGE_BALANCE_INTERNAL_H

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>

#include "balance.h"
#include "shared_cell.h"

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "processes share the cells");

#define NAME_WORDS ((CONF_SERVER_MAX + 1) / 8)
_Static_assert(NAME_WORDS * 8 == CONF_SERVER_MAX + 1, "a name is whole words");

/* Shares are hundredths of a weight, so that a server in its slow start can have a part of one. */
#define SHARE_UNITS 100
/* The initial share of a server in its slow start, in hundredths. */
#define SHARE_FIRST 10
/* Maximum compare-and-swap retries on a contended word. */
#define BALANCE_TRIES 64

typedef struct server_copy {
    _Atomic uint64_t generation; /* 0: no server */
    _Atomic uint64_t address[2];
    _Atomic uint64_t place; /* weight 32 | index 16 | port 16 */
    _Atomic uint64_t name[NAME_WORDS];
} server_copy_t;

/* A server's description and its health. "Tagged": the word includes the server's generation, and
 * is valid only for that generation. */
typedef struct server_slot {
    /* Owner: the controller. */
    alignas(64) _Atomic uint64_t version; /* the copy version % 2 is the current one */
    _Atomic uint64_t generation;          /* as in the copy */
    _Atomic uint64_t key;                 /* hash of address and port */
    _Atomic uint64_t since_ms;            /* time when it came up */
    _Atomic uint32_t weight;
    server_copy_t copies[2];
    /* Written by all workers. */
    alignas(64) _Atomic uint64_t latency; /* tag 32 | microseconds 32 */
    _Atomic uint64_t latency_ms;          /* time of the last measurement */
    _Atomic uint64_t streak;              /* tag 32 | failures in a row 24 | ejections without a success 8 */
    _Atomic uint64_t failed_ms;           /* time of the last failure in the row */
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
    _Atomic uint64_t changes; /* number of times that `id` passed to another upstream */
    /* Written by all: slots that may be ejected or in their slow start. All others are neither. */
    _Atomic uint64_t watched;
    alignas(64) _Atomic uint32_t retries; /* hundredths */
    _Atomic uint32_t begun;               /* it has had servers */
    alignas(64) _Atomic uint64_t turn;    /* round robin: no turn is before it */
    /* Each element is owned by its worker. */
    alignas(64) _Atomic uint32_t in_flight[BALANCE_WORKERS_MAX];
    _Atomic uint32_t waiters[BALANCE_WORKERS_MAX];
    server_slot_t slots[BALANCE_SERVERS_MAX];
    /* tag 32 | in flight at that server 32 */
    _Atomic uint64_t cells[BALANCE_SERVERS_MAX][BALANCE_WORKERS_MAX];
} upstream_t;

struct balance {
    _Atomic uint64_t generations; /* number of generations given out */
    _Atomic uint32_t workers;     /* one past the highest worker that has ever counted */
    upstream_t upstreams[BALANCE_UPSTREAMS_MAX];
};

/* ---- slots ---- */

static inline uint32_t balance_workers(const balance_t *balance)
{
    return shared_at_most(&balance->workers, BALANCE_WORKERS_MAX);
}

static inline uint64_t balance_bit(unsigned slot)
{
    return (uint64_t)1 << slot;
}

/* The lowest slot of a non-empty set. */
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

/* A word with a whole tag. */
static inline uint64_t balance_tagged(uint32_t tag, uint32_t value)
{
    return (uint64_t)tag << 32 | value;
}

static inline uint32_t balance_tag_of(uint64_t word)
{
    return (uint32_t)(word >> 32);
}

/* The part of a server's description that workers need. */
typedef struct server_place {
    uint64_t generation;
    struct in6_addr address;
    uint16_t index, port;
    uint32_t weight;
} server_place_t;

/* Reads a consistent copy. Returns false without a server. Also writes `name` (CONF_SERVER_MAX + 1
 * bytes) if it is not NULL. */
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
    uint64_t all;  /* slots that share the load */
    uint64_t slow; /* of them, those in their slow start */
} picking_t;

/* Requests in flight at a server, over all workers. */
uint32_t balance_load(const balance_t *balance, const upstream_t *upstream, unsigned slot, uint32_t tag);
/* Chooses one of `slots`, which must not be empty, by the policy. */
unsigned balance_choose(picking_t *picking, uint64_t slots);
/* Consistent hashing: the limit of a server in flight, while the upstream has `total`. */
uint32_t balance_bound(const picking_t *picking, unsigned slot, uint32_t total);

/* ---- health (balance_health.c) ---- */

/* Resets the slot for a new server. */
void balance_health_reset(server_slot_t *slot, uint64_t generation);
/* The remaining time of the server's ejection; 0: not ejected. */
uint64_t balance_ejected_ms(const server_slot_t *slot, uint64_t now_ms);
/* Its last exchange failed, at most BALANCE_SUSPECT_MS ago. */
#define BALANCE_SUSPECT_MS 1000
bool balance_is_suspect(const server_slot_t *slot, uint64_t now_ms);

/* The smoothed latency, halved for each BALANCE_LATENCY_HALF_MS without a measurement. 0: unknown. */
uint32_t balance_latency(const server_slot_t *slot, uint64_t now_ms);
#define BALANCE_LATENCY_HALF_MS 1000
/* The server's share of its weight in hundredths: SHARE_UNITS, less in its slow start. */
uint32_t balance_ramp(const server_slot_t *slot, uint32_t slow_start, uint64_t now_ms);
/* Returns the ejected slots among `slots`; *slow receives those in their slow start. */
uint64_t balance_ejected_of(upstream_t *upstream, uint64_t slots, uint32_t slow_start, uint64_t now_ms,
                            uint64_t *slow);

/* Records the outcome of an exchange. */
void balance_outcome(upstream_t *upstream, const balance_pick_t *pick, const conf_upstream_t *conf,
                     balance_outcome_t outcome, uint32_t latency_us, uint64_t now_ms);

#endif
