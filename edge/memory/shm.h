/*
 * The memory that all processes of one edge share, and those of the edges that an upgrade joins: the new
 * binary and the old ones, whose workers still carry tunnels. It is two memory files without a name, which
 * vanish with the last process: the core (core.h), which programs of all layouts share, and the segment with
 * all else. A supervisor whose program has another layout joins the core, and makes its own segment. Before
 * its children start, it copies the tables that have kept their form (shm_tables_copy).
 *
 * The first supervisor makes both before the first fork. Everything in them is atomic, and each cell has one
 * owner (the only writer) unless stated otherwise. The supervisor wipes the remains of a dead worker
 * (shm_worker_wipe) before its successor starts.
 *
 * A worker that was taken over can write any cell. Readers therefore trust none: they load a cell once, bound
 * it, and neither assert nor index by it unbounded (shared_cell.h). A process keeps the facts about itself in
 * its own memory: the number of its edge, and the slots that a supervisor took.
 *
 * A shm_t is the view of one edge: it finds that edge's controller and runner. Workers of all edges have
 * separate slots.
 */
#ifndef BOXEDGE_SHM_H
#define BOXEDGE_SHM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <netinet/in.h>

#include "balance.h"
#include "core.h"
#include "counters.h"
#include "flights.h"
#include "host_modes.h"
#include "limit.h"
#include "lockout.h"
#include "store_health.h"
#include "str.h"
#include "tabs.h"
#include "tls.h"

/* Worker slots in the segment, for all edges; `workers` in the configuration is at most this. */
#define SHM_WORKERS_MAX CORE_WORKERS_MAX
#define SHM_EDGES_MAX   CORE_EDGES_MAX
/* Raised whenever programs before and after a change must not share a segment: another meaning of its cells.
 * Then counters start anew, and the tables are copied. tests/lib/layout finds changes of the structs.
 * Counters are only added at the end of COUNTERS, which needs no other number. */
#define SHM_LAYOUT 6

typedef struct shm shm_t;

typedef enum shm_state {
    SHM_ABSENT = 0, /* no process */
    SHM_STARTING,
    SHM_READY,    /* serves */
    SHM_DRAINING, /* finishes its open work */
} shm_state_t;

/* The figures of a process (process_facts.h). Owner: that process; for the logger, the supervisor. */
typedef struct shm_process {
    _Atomic uint64_t started_s; /* wall clock; 0: no process */
    _Atomic uint64_t cpu_us;
    _Atomic uint64_t resident_bytes; /* 0: unknown, like the next two */
    _Atomic uint64_t fds;
    _Atomic uint64_t fds_max;
} shm_process_t;

/* The state of one process for the others. Owner: that process; after its death, the supervisor. */
typedef struct shm_child {
    _Atomic uint64_t heartbeat_ms; /* CLOCK_MONOTONIC at the last turn of its loop */
    _Atomic uint64_t started_ms;   /* CLOCK_MONOTONIC of its fork */
    _Atomic uint32_t state;        /* shm_state_t */
    _Atomic int32_t pid;           /* 0: none */
    _Atomic bool restricted;       /* its system calls are filtered (system_calls.h); workers only */
    _Atomic uint32_t full;         /* of a worker: new connections wait for room */
    _Atomic uint64_t restarts;     /* number of processes that replaced a dead one here */
    shm_process_t process;
} shm_child_t;

/* Figures of this edge. Owner: the supervisor. */
typedef struct shm_facts {
    shm_process_t supervisor, logger;
    _Atomic uint64_t load_s;      /* wall time of the last load of the configuration */
    _Atomic uint64_t load_failed; /* it had no effect */
    _Atomic uint64_t loaded_s;    /* wall time of the last one that took effect */
} shm_facts_t;

/* A certificate of this edge, in the order of `certificates`. Owner: the supervisor. */
#define SHM_CERTIFICATES_MAX 1024
#define SHM_NAME_WORDS       8
typedef struct shm_certificate {
    _Atomic uint64_t expires_s;
    _Atomic uint64_t name[SHM_NAME_WORDS]; /* its first, padded with NULs */
} shm_certificate_t;

/* The longest queue of a listener's sockets. Owner: the supervisor. */
#define SHM_QUEUES_MAX 64
typedef struct shm_queue {
    _Atomic uint64_t id; /* conf_listener_t.id; 0: none */
    _Atomic uint64_t length, limit;
} shm_queue_t;

/* Wake counts of this edge's successive controllers. Owner: the controller. */
typedef struct shm_wakes {
    _Atomic uint64_t boxes;    /* awaited now, or with a remembered failure */
    _Atomic uint64_t resumes;  /* requested from providers */
    _Atomic uint64_t failures; /* of resumes and of ports */
} shm_wakes_t;

/* `seed` (16 random bytes) keys the hash of client addresses. Returns NULL and sets errno on failure. */
shm_t *shm_new(const uint8_t seed[16]);
/*
 * Joins the core in `core_fd` (shm_core_fd of another edge) as one more edge; and the segment in `segment_fd`
 * (shm_fd; -1: none) if it has this program's layout, else a new one with `seed`. Takes `core_fd` over, and
 * `segment_fd` if it was joined (shm_fd then is the same). Returns NULL with errno, and takes nothing over:
 * EPROTO if the core is another version's, EUSERS if it has SHM_EDGES_MAX edges.
 */
shm_t *shm_attach(int core_fd, int segment_fd, const uint8_t seed[16]);
/* The memory files, for a successor; -1: none, because files of that size are not allowed. */
int shm_core_fd(const shm_t *shm);
int shm_fd(const shm_t *shm);

/* Tables that a segment of another layout can take over. */
typedef enum shm_table {
    SHM_LOCKOUTS,
    SHM_LIMITS,
    SHM_UPSTREAMS, /* drained servers, their health and load */
    SHM_TABS,
    SHM_TABLES,
} shm_table_t;
/* Copies the tables of the segment in `fd`, of any layout, except for requests in flight. Returns the tables
 * whose form or size differs, as a set of bits (1 << shm_table_t); they stay empty. */
unsigned shm_tables_copy(shm_t *shm, int fd);

/* The edge ends: frees its slots for others. shm_free alone leaves them to be found by its death. */
void shm_leave(shm_t *shm);
void shm_free(shm_t **shm);

/* Entry `i`, below SHM_EDGES_MAX, of the edges. */
const core_edge_t *shm_edge(const shm_t *shm, unsigned i);
core_edge_t *shm_own_edge(shm_t *shm);
shm_facts_t *shm_facts(shm_t *shm);

/* The counter of store changes. A process that changes the store bumps it (shm_epoch_bump). */
const _Atomic uint64_t *shm_epoch(const shm_t *shm);
void shm_epoch_bump(shm_t *shm);

shm_wakes_t *shm_wakes(shm_t *shm);
/* Pages that have woken their boxes without a person. Owners: all workers. */
tabs_t *shm_tabs(shm_t *shm);
/* By which host each app answers. Owners: all workers. */
host_modes_t *shm_host_modes(shm_t *shm);
/* host_modes_key for this segment. */
uint64_t shm_host_key(const shm_t *shm, str_t box, uint64_t generation, uint16_t port);
/* Damage of the store. */
store_health_t *shm_store_health(shm_t *shm);

/*
 * The slots of workers. `index` is the number of a slot, below SHM_WORKERS_MAX (asserted), except where it is
 * called the index of a worker in its edge.
 *
 * shm_worker_take takes a slot for worker `index` of this edge, and wipes the remains of an edge that was
 * killed. False: none is free. shm_worker_give wipes and frees it. shm_worker_find returns the slot of this
 * edge's worker `index`; SHM_WORKERS_MAX: it has none. shm_worker_retire: the slot keeps its process, which
 * is no longer the worker of any index. shm_worker_edge is the number of the edge that has the slot; 0: none.
 * shm_workers_free is the number of slots that shm_worker_take would find.
 */
unsigned shm_workers_free(const shm_t *shm);
MUST_USE bool shm_worker_take(shm_t *shm, unsigned index, unsigned *taken);
void shm_worker_give(shm_t *shm, unsigned index);
unsigned shm_worker_find(const shm_t *shm, unsigned index);
void shm_worker_retire(shm_t *shm, unsigned index);
uint32_t shm_worker_edge(const shm_t *shm, unsigned index);
/* Of a worker that has this segment. */
shm_child_t *shm_worker(shm_t *shm, unsigned index);
/* Of this edge. */
shm_child_t *shm_controller(shm_t *shm);
shm_child_t *shm_runner(shm_t *shm);
_Atomic uint64_t *shm_certificate_count(shm_t *shm);
shm_certificate_t *shm_certificate(shm_t *shm, unsigned i); /* below SHM_CERTIFICATES_MAX */
shm_queue_t *shm_queue(shm_t *shm, unsigned i);             /* below SHM_QUEUES_MAX */
counters_t *shm_counters(shm_t *shm, unsigned index);
/* The requests in flight at a worker. */
flight_table_t *shm_flights(shm_t *shm, unsigned index);
/* The slots from this one on never had a worker: a reader of counters leaves their pages untouched. */
unsigned shm_workers_used(const shm_t *shm);
/* After the death of a worker: zeroes its gauges, client counts and open requests; keeps its counters. */
void shm_worker_wipe(shm_t *shm, unsigned index);

/* A worker, whichever segment it has. One with another segment shows itself with each heartbeat
 * (shm_worker_show); pid 0: none. */
typedef struct shm_seen {
    int32_t pid;
    uint32_t state; /* shm_state_t */
    uint64_t exchanges_open, tunnels_open;
} shm_seen_t;
shm_seen_t shm_worker_seen(const shm_t *shm, unsigned index);
void shm_worker_show(shm_t *shm, unsigned index);

/* Number of configuration loads that took effect (the first is 1). Owner: the supervisor. */
_Atomic uint64_t *shm_conf_generation(shm_t *shm);

/*
 * Connections per client address over all workers: a count-min sketch of two rows per worker, so that it is
 * bounded and a dead worker's share can be wiped. It errs only upward (addresses that share both cells). IPv4
 * counts by address, IPv6 by /64.
 *
 * shm_client_add counts a connection of worker `index` and returns true. If the address would have more than
 * `limit` over all workers (0: no limit), it leaves the count unchanged and returns false. Two workers that
 * add at the same moment may both be refused, but never both pass the limit.
 */
MUST_USE bool shm_client_add(shm_t *shm, unsigned index, const struct in6_addr *address, uint32_t limit);
void shm_client_remove(shm_t *shm, unsigned index, const struct in6_addr *address);
/* The count of one address over all workers. */
uint32_t shm_client_count(const shm_t *shm, const struct in6_addr *address);

/*
 * Bytes that exchanges hold, by client address (a /64 for IPv6) and by box: a count-min sketch of two rows
 * per worker and kind, which errs only upward. A share names the cells of a worker's table that count its
 * owner. A worker writes only its own table (account.h).
 */
typedef struct shm_share {
    uint16_t cell[2]; /* 0: none */
} shm_share_t;

shm_share_t shm_share_of_client(const shm_t *shm, const struct in6_addr *address);
shm_share_t shm_share_of_box(const shm_t *shm, str_t id);
/* The table of worker `index`, which counts in the sums from now on. */
_Atomic uint64_t *shm_shares(shm_t *shm, unsigned index);
/* Bytes that the owner of a share holds over all workers; 0 without a share. */
uint64_t shm_share_held(const shm_t *shm, shm_share_t share);

/*
 * Requests that wait for boxes, over all workers: in total, and by box in cells that few boxes share, so the
 * count of a box errs only upward. shm_waiter_add counts a request of worker `index` and returns true. If
 * that would exceed `most` in total or `most_per_box`, it leaves the counts unchanged and returns false.
 */
MUST_USE bool shm_waiter_add(shm_t *shm, unsigned index, uint64_t box_hash, uint32_t most,
                             uint32_t most_per_box);
void shm_waiter_remove(shm_t *shm, unsigned index, uint64_t box_hash);
/* Waiting requests of all workers. */
uint32_t shm_waiters(const shm_t *shm);

/* The use of the API by keys and client addresses, against its limits. */
limit_t *shm_limit(shm_t *shm);

/* The table of wrong credentials, shared by all workers. */
lockout_t *shm_lockout(shm_t *shm);

/* The servers of upstreams, their load and health. */
balance_t *shm_balance(shm_t *shm);

/*
 * Session ticket keys: the supervisor writes them, workers read them. `*seen` (0 at first) is the caller's
 * version. Returns true and updates both if a newer version exists. Invalid keys leave `keys` as they are.
 */
void shm_ticket_keys_put(shm_t *shm, const tls_ticket_keys_t *keys);
bool shm_ticket_keys_get(const shm_t *shm, uint64_t *seen, tls_ticket_keys_t *keys);

#endif
