/*
 * The segment of memory that all processes of one edge share: made by the supervisor before the first fork,
 * anonymous, gone with the last process. Everything in it is atomic and each cell has one owner (the only
 * writer) or says otherwise. What a worker left behind when it died is wiped by the supervisor
 * (shm_worker_wipe) before its successor starts.
 */
#ifndef BOXEDGE_SHM_H
#define BOXEDGE_SHM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <netinet/in.h>

#include "balance.h"
#include "counters.h"
#include "doubts.h"
#include "limit.h"
#include "lockout.h"
#include "str.h"
#include "tabs.h"
#include "tls.h"

/* Worker slots in the segment; `workers` in the configuration is at most this. */
#define SHM_WORKERS_MAX 256

typedef struct shm shm_t;

typedef enum shm_state {
    SHM_ABSENT = 0, /* no process */
    SHM_STARTING,
    SHM_READY,    /* serves */
    SHM_DRAINING, /* finishes what it has */
} shm_state_t;

/* What one process tells the others about itself. Owner: that process; the supervisor when it is dead. */
typedef struct shm_role {
    _Atomic uint64_t heartbeat_ms; /* CLOCK_MONOTONIC when its loop last turned */
    _Atomic uint64_t started_ms;   /* CLOCK_MONOTONIC of its fork */
    _Atomic uint32_t state;        /* shm_state_t */
    _Atomic int32_t pid;           /* 0: none */
    _Atomic uint64_t restarts;     /* processes that took this place over from a dead one */
} shm_role_t;

/* What the controllers of this edge counted of waking, one after the other. Owner: the controller. */
typedef struct shm_wakes {
    _Atomic uint64_t boxes;    /* that are waited for now, or whose failure is remembered */
    _Atomic uint64_t resumes;  /* asked of providers */
    _Atomic uint64_t failures; /* of resumes and of ports */
} shm_wakes_t;

/* `seed` (16 random bytes) keys the hash of client addresses. Returns NULL with errno. */
shm_t *shm_new(const uint8_t seed[16]);
void shm_free(shm_t **shm);

/* The counter of store changes: any process that changed the store adds one (shm_epoch_bump), all read. */
const _Atomic uint64_t *shm_epoch(const shm_t *shm);
void shm_epoch_bump(shm_t *shm);

shm_wakes_t *shm_wakes(shm_t *shm);
/* Pages that have woken their boxes by themselves. Owners: all workers. */
tabs_t *shm_tabs(shm_t *shm);
/* Boxes of whose deletion the controller has not heard yet. */
doubts_t *shm_doubts(shm_t *shm);

/* `index` is below SHM_WORKERS_MAX (asserted). */
shm_role_t *shm_worker(shm_t *shm, unsigned index);
shm_role_t *shm_controller(shm_t *shm);
shm_role_t *shm_runner(shm_t *shm);
counters_t *shm_counters(shm_t *shm, unsigned index);
/* After the death of a worker: its gauges, client counts and what it had in flight become 0; what only grows
 * is kept. */
void shm_worker_wipe(shm_t *shm, unsigned index);

/* Configuration loads that took effect (the first is 1); owner: the supervisor. */
_Atomic uint64_t *shm_conf_generation(shm_t *shm);

/*
 * Connections per client address over all workers: a count-min sketch of two rows for each worker, so that
 * it is bounded, and a dead worker's share can be wiped. It errs upward only (addresses that share both
 * cells), never downward. IPv4 counts by address, IPv6 by /64.
 *
 * shm_client_add counts a connection of worker `index` and returns true, or leaves the count as it was and
 * returns false where the address would have more than `limit` over all workers (0: no limit). Two workers
 * that add at the same moment may both be refused, never both be let past the limit.
 */
MUST_USE bool shm_client_add(shm_t *shm, unsigned index, const struct in6_addr *address, uint32_t limit);
void shm_client_remove(shm_t *shm, unsigned index, const struct in6_addr *address);
/* The count of one address over all workers. */
uint32_t shm_client_count(const shm_t *shm, const struct in6_addr *address);

/*
 * Bytes that exchanges hold, by client address (a /64 for IPv6) and by box: a count-min sketch of two rows
 * for each worker and kind, which errs upward only. A share says in which cells of a worker's table its owner
 * is counted; a worker writes its own table only (account.h).
 */
typedef struct shm_share {
    uint16_t cell[2]; /* 0: none */
} shm_share_t;

shm_share_t shm_share_of_client(const shm_t *shm, const struct in6_addr *address);
shm_share_t shm_share_of_box(const shm_t *shm, str_t id);
/* The table of worker `index`, which takes part from now on. */
_Atomic uint64_t *shm_shares(shm_t *shm, unsigned index);
/* What the owner of a share holds over all workers; 0 where there is none. */
uint64_t shm_share_held(const shm_t *shm, shm_share_t share);

/*
 * Requests that wait for boxes, over all workers: in all, and by box in cells that few boxes share, so that
 * the count of one box errs upward only. shm_waiter_add counts one of worker `index` and returns true, or
 * leaves the counts as they were and returns false where there would be more than `most` in all or
 * `most_per_box`.
 */
MUST_USE bool shm_waiter_add(shm_t *shm, unsigned index, uint64_t box_hash, uint32_t most,
                             uint32_t most_per_box);
void shm_waiter_remove(shm_t *shm, unsigned index, uint64_t box_hash);
/* Of all workers. */
uint32_t shm_waiters(const shm_t *shm);

/* Who may use how much of the API. */
limit_t *shm_limit(shm_t *shm);

/* The table of wrong credentials that all workers share. */
lockout_t *shm_lockout(shm_t *shm);

/* The servers of upstreams, their load and health. */
balance_t *shm_balance(shm_t *shm);

/*
 * Session ticket keys: put by the supervisor, read by workers. `*seen` (0 at first) is the version that the
 * caller has; returns true and updates both where there is another.
 */
void shm_ticket_keys_put(shm_t *shm, const tls_ticket_keys_t *keys);
bool shm_ticket_keys_get(const shm_t *shm, uint64_t *seen, tls_ticket_keys_t *keys);

#endif
