/*
 * Which server of an upstream an exchange goes to: servers, their load, health and ejection, the retry
 * budget, in memory that all processes share, so that behaviour does not depend on the number of workers.
 * Lock-free and bounded; a process may die between any two instructions.
 *
 * The controller is the only one that adds, removes, checks and drains servers (one writer); workers pick.
 * What a worker has in flight is in slots of its own, wiped when it dies. Limits hold exactly, over all
 * workers.
 */
#ifndef BOXEDGE_BALANCE_H
#define BOXEDGE_BALANCE_H

#include <netinet/in.h>

#include "conf.h"
#include "str.h"

#define BALANCE_UPSTREAMS_MAX 16
#define BALANCE_SERVERS_MAX   64 /* of one upstream; each address of a name is one */
#define BALANCE_WORKERS_MAX   256

typedef struct balance balance_t;

/* A server as the controller knows it. */
typedef struct balance_server {
    char name[CONF_SERVER_MAX + 1]; /* conf_server_t.text */
    uint16_t index;                 /* in conf_upstream_t.servers, for the TLS name */
    struct in6_addr address;        /* IPv4 as mapped IPv6 */
    uint16_t port;
    uint32_t weight; /* 1-100 */
} balance_server_t;

/* Bytes that it needs, and its making in zeroed shared memory, aligned to 64, which the caller keeps. */
size_t balance_size(void);
balance_t *balance_init(void *memory);

/* ---- the controller ---- */

/*
 * The servers of one upstream from now on, at most BALANCE_SERVERS_MAX (asserted). One of the same name,
 * address and port keeps its load, health and ejection; a new one is up, in its slow start, and
 * gets a generation that no server had before; it is drained where its name was. A server that comes twice
 * is one. `upstream` is the index in conf_t.upstreams (asserted below BALANCE_UPSTREAMS_MAX), `id` whose the
 * index is (conf_upstream_t.id): a reload may give it to another one, and a worker learns of that at another
 * moment than the controller.
 */
void balance_set(balance_t *balance, unsigned upstream, uint64_t id, const balance_server_t *servers,
                 size_t count, uint64_t now_ms);

/* One server at a time, for checks, metrics and commands. */
typedef struct balance_view {
    balance_server_t server;
    unsigned slot;
    uint64_t generation;
    bool up;             /* by active checks */
    bool drained;        /* by command: gets nothing new */
    uint64_t ejected_ms; /* for how long it is left out yet; 0: it is not */
    uint32_t in_flight;  /* over all workers */
    uint32_t latency_us; /* smoothed; 0: none was seen */
    uint64_t requests;   /* picked since it is there */
    uint64_t failures;   /* of those */
    uint64_t ejections;
} balance_view_t;
/* Fills `out` for slot 0, 1, ... below BALANCE_SERVERS_MAX; false where the slot has no server. */
bool balance_look(const balance_t *balance, unsigned upstream, unsigned slot, uint64_t now_ms,
                  balance_view_t *out);
/* What active checks found. Coming up begins a slow start. Nothing happens where `generation` is not the
 * slot's any more. */
void balance_set_up(balance_t *balance, unsigned upstream, unsigned slot, uint64_t generation, bool up,
                    uint64_t now_ms);
/* By name, all addresses of it. Returns how many servers have that name. */
size_t balance_drain(balance_t *balance, unsigned upstream, str_t name, bool drain, uint64_t now_ms);

/* ---- workers ---- */

/* The index of the upstream of that id; looks at `guess` first. BALANCE_UPSTREAMS_MAX: it has none (yet). */
unsigned balance_find(const balance_t *balance, uint64_t id, unsigned guess);

/* Where an exchange goes. Holds a place at that server until balance_done. */
typedef struct balance_pick {
    bool held;
    uint8_t slot;
    uint16_t index; /* balance_server_t.index */
    uint16_t port;
    uint64_t generation;
    struct in6_addr address;
} balance_pick_t;

typedef enum balance_result {
    BALANCE_OK,
    BALANCE_FULL, /* every server, or the upstream, is at its limit: wait for a place. Or the index is another
                     upstream's by now, until the caller's configuration says so too */
    BALANCE_NONE, /* there is no server, or none that `avoid` leaves */
} balance_result_t;

/*
 * Picks by conf->balance among the servers that are up, neither drained nor ejected, and not in `avoid` (bit
 * n: slot n); among all but the drained ones where fewer than conf->panic_percent of them are usable. A
 * server in its slow start takes a growing part of its share. `hash` chooses for CONF_BALANCE_HASH, `random`
 * (64 random bits) elsewhere.
 */
MUST_USE balance_result_t balance_pick(balance_t *balance, unsigned worker, unsigned upstream,
                                       const conf_upstream_t *conf, uint64_t hash, uint64_t random,
                                       uint64_t avoid, uint64_t now_ms, balance_pick_t *out);

typedef enum balance_outcome {
    BALANCE_SUCCEEDED, /* a response that is no failure of the server's */
    BALANCE_FAILED,    /* no connection, no answer, a broken answer, 502, 503, 504 */
    BALANCE_LEFT,      /* the client left, or the edge gave up: says nothing of the server */
} balance_outcome_t;

/*
 * Gives the place back. `latency_us` is the time to the first byte, 0 where there was none. With
 * conf->eject_failures failures in a row the server is ejected: for eject_time, doubling to ten times that,
 * and back to the first after a success; back from an ejection, the next failure of the row is enough. The
 * latency of a failure does not count. Returns true where the upstream has limits and somebody waits for a
 * place. Who is told BALANCE_FULL says that he waits (balance_waiters_add) and then picks once more: a place
 * may have come free in between.
 */
bool balance_done(balance_t *balance, unsigned worker, unsigned upstream, const conf_upstream_t *conf,
                  balance_pick_t *pick, balance_outcome_t outcome, uint32_t latency_us, uint64_t now_ms);

/*
 * The retry budget, over all workers: each first attempt earns conf->retry_percent hundredths of a retry, at
 * most 100 retries are kept, and one is there from the beginning for each server. False: no retry.
 */
void balance_earn_retry(balance_t *balance, unsigned upstream, const conf_upstream_t *conf);
MUST_USE bool balance_take_retry(balance_t *balance, unsigned upstream);

/* Whether anybody waits for a place: workers count theirs, so that who frees one knows whom to tell. */
void balance_waiters_add(balance_t *balance, unsigned worker, unsigned upstream, int n);
uint32_t balance_waiters(const balance_t *balance, unsigned upstream);

/* After the death of a worker: it has nothing in flight and nobody waiting. */
void balance_worker_wipe(balance_t *balance, unsigned worker);

#endif
