/*
 * Chooses the server of an upstream for an exchange. Servers, their load, health and ejection, and
 * the retry budget are in memory that all processes share. Behaviour therefore does not depend on
 * the number of workers. The table is lock-free and bounded. A process may die between any two
 * instructions.
 *
 * Only the controller adds, removes, checks and drains servers (one writer); workers pick. Each worker counts
 * its requests in flight in its own slots, which are wiped when it dies. Limits hold exactly over all
 * workers.
 */
#ifndef BOXEDGE_BALANCE_H
#define BOXEDGE_BALANCE_H

#include <netinet/in.h>

#include "conf.h"
#include "str.h"

#define BALANCE_UPSTREAMS_MAX 16
#define BALANCE_SERVERS_MAX   64 /* of one upstream; each address of a name counts */
#define BALANCE_WORKERS_MAX   256
#define BALANCE_WEIGHT_MAX    100

/* Raised with the form of the table or the meaning of a cell: programs of one form copy each other's. */
#define BALANCE_FORM 1

typedef struct balance balance_t;

/* A server as the controller knows it. */
typedef struct balance_server {
    char name[CONF_SERVER_MAX + 1]; /* conf_server_t.text */
    uint16_t index;                 /* in conf_upstream_t.servers, for the TLS name */
    struct in6_addr address;        /* IPv4 as mapped IPv6 */
    uint16_t port;
    uint32_t weight; /* 1 to BALANCE_WEIGHT_MAX */
} balance_server_t;

/* balance_size returns the bytes that the table needs. balance_init makes it in zeroed shared
 * memory, aligned to 64, that the caller owns. */
size_t balance_size(void);
balance_t *balance_init(void *memory);

/* ---- the controller ---- */

/*
 * Sets the servers of one upstream, at most BALANCE_SERVERS_MAX (asserted). A server with the same
 * name, address and port keeps its load, health and ejection. A new server is up and in its slow
 * start, and gets a generation that no server had before. It is drained if its name was. A
 * duplicate server counts once.
 *
 * `upstream` is the index in conf_t.upstreams (asserted below BALANCE_UPSTREAMS_MAX), and `id` its
 * owner (conf_upstream_t.id). A reload may give the index to another upstream, and workers and the
 * controller learn of that at different times.
 */
void balance_set(balance_t *balance, unsigned upstream, uint64_t id, const balance_server_t *servers,
                 size_t count, uint64_t now_ms);

/* The state of one server, for checks, metrics and commands. */
typedef struct balance_view {
    balance_server_t server;
    unsigned slot;
    uint64_t generation;
    bool up;             /* by active checks */
    bool drained;        /* by command: gets no new requests */
    uint64_t ejected_ms; /* remaining time of its ejection; 0: not ejected */
    uint32_t in_flight;  /* over all workers */
    uint32_t latency_us; /* smoothed; 0: none measured */
    uint64_t requests;   /* picked since the server was added */
    uint64_t failures;   /* of those */
    uint64_t ejections;
} balance_view_t;
/* Fills `out` for slot 0, 1, ... below BALANCE_SERVERS_MAX. Returns false if the slot has no
 * server. */
bool balance_look(const balance_t *balance, unsigned upstream, unsigned slot, uint64_t now_ms,
                  balance_view_t *out);
/* Whether `server`, as of balance_look, is the server with its index in `conf`. Other processes can write the
 * table, so its index and name are untrusted until then. */
MUST_USE bool balance_is_of(const balance_server_t *server, const conf_upstream_t *conf);
/* Records the result of active checks. Coming up begins a slow start. No-op if `generation` is no
 * longer the slot's. */
void balance_set_up(balance_t *balance, unsigned upstream, unsigned slot, uint64_t generation, bool up,
                    uint64_t now_ms);
/* Drains a server, or ends that, by name: all addresses of the name. Returns the number of servers
 * with it. */
size_t balance_drain(balance_t *balance, unsigned upstream, str_t name, bool drain, uint64_t now_ms);

/* ---- workers ---- */

/* The index of the upstream with that id; tries `guess` first. BALANCE_UPSTREAMS_MAX: it has none
 * (yet). */
unsigned balance_find(const balance_t *balance, uint64_t id, unsigned guess);

/* The server of an exchange. Holds a request slot at that server until balance_done. */
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
    BALANCE_FULL, /* every server, or the upstream, is at its limit: wait for a slot. Also while the index
                     belongs to another upstream, until the caller's configuration agrees */
    BALANCE_NONE, /* no server, or none outside `avoid` */
} balance_result_t;

/*
 * Picks by conf->balance among the servers that are up, not drained, not ejected and not in `avoid`
 * (bit n: slot n). If fewer than conf->panic_percent of them are usable, it picks among all that
 * are not drained. A server in its slow start takes a growing part of its share. `hash` decides for
 * CONF_BALANCE_HASH, `random` (64 random bits) for the others.
 */
MUST_USE balance_result_t balance_pick(balance_t *balance, unsigned worker, unsigned upstream,
                                       const conf_upstream_t *conf, uint64_t hash, uint64_t random,
                                       uint64_t avoid, uint64_t now_ms, balance_pick_t *out);

typedef enum balance_outcome {
    BALANCE_SUCCEEDED, /* a response that is no failure of the server's */
    BALANCE_FAILED,    /* no connection, no answer, a broken answer, 502, 503, 504 */
    BALANCE_LEFT,      /* the client left, or the edge gave up: no statement about the server */
} balance_outcome_t;

/*
 * Releases the request slot. `latency_us` is the time to the first byte, 0 for none. The latency of
 * a failure does not count.
 *
 * After conf->eject_failures failures in a row the server is ejected for eject_time. Repeated
 * ejections double that, up to ten times, and a success resets it. After an ejection, the next
 * failure of the row ejects again.
 *
 * Returns true if the upstream has limits and a request waits for a slot. A caller that got
 * BALANCE_FULL counts itself with balance_waiters_add and then picks once more, because a slot may
 * have become free in between.
 */
bool balance_done(balance_t *balance, unsigned worker, unsigned upstream, const conf_upstream_t *conf,
                  balance_pick_t *pick, balance_outcome_t outcome, uint32_t latency_us, uint64_t now_ms);

/*
 * The retry budget, over all workers. Each first attempt earns conf->retry_percent hundredths of a
 * retry; the budget keeps at most 100 retries. It starts with one retry for each server. False: do
 * not retry.
 */
void balance_earn_retry(balance_t *balance, unsigned upstream, const conf_upstream_t *conf);
MUST_USE bool balance_take_retry(balance_t *balance, unsigned upstream);

/* Counts requests that wait for a slot. Each worker counts its own, so that the worker that frees a
 * slot knows whether to notify the others. */
void balance_waiters_add(balance_t *balance, unsigned worker, unsigned upstream, int n);
uint32_t balance_waiters(const balance_t *balance, unsigned upstream);

/* Clears the requests in flight and the waiters of a worker that died. */
void balance_worker_wipe(balance_t *balance, unsigned worker);

#endif
