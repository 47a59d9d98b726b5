/*
 * The core: a small memory file that the edges of an upgrade share even if the layout of their segments
 * (shm.h) differs. It has all that a new controller and the workers of old generations need of each other:
 * which edges live, which of them has which worker number, the counter of store changes, known damage of the
 * store. So changes reach the tunnels of every generation, whatever program it runs.
 *
 * Its form only grows: new cells take reserved room, are zero in older programs, and zero then means unknown.
 * The assertions below and tests/lib/layout hold each place. CORE_VERSION also stands for the messages
 * between a controller and workers (process.h). Programs with different ones share nothing: tunnels of the
 * old one then end within timeouts.drain.
 *
 * The rules of shm.h apply: all cells are atomic, have one owner unless stated otherwise, and are not
 * trusted.
 */
#ifndef BOXEDGE_CORE_H
#define BOXEDGE_CORE_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store_health.h"
#include "str.h"

#define CORE_VERSION 1
#define CORE_BYTES   65536u
/* Edges at a time: one that serves, one that starts, and old ones. */
#define CORE_EDGES_MAX 8
/* Workers of all edges together. */
#define CORE_WORKERS_MAX 256

/* One edge: a supervisor and its children. Owner: that supervisor. */
typedef struct core_edge {
    _Atomic int32_t pid;            /* of the supervisor; 0: no edge. Taken by compare-and-swap */
    _Atomic uint32_t number;        /* the first is 1 */
    _Atomic uint64_t since_s;       /* wall time when it began to serve; 0: not yet */
    _Atomic uint64_t open_until_ms; /* CLOCK_MONOTONIC when its last clients end; 0: it serves */
    _Atomic uint64_t version[4];    /* of the program; padded with NULs */
    uint64_t reserved[25];
} core_edge_t;

/* A worker, as edges with another segment see it. Owner: its supervisor, and of the last four the worker. */
typedef struct core_worker {
    _Atomic uint64_t owner;   /* 0: free. Changed by compare-and-swap */
    _Atomic uint64_t segment; /* number of the edge that made its segment */
    _Atomic int32_t pid;      /* 0: none */
    _Atomic uint32_t state;   /* shm_state_t */
    _Atomic uint64_t exchanges_open, tunnels_open;
    uint64_t reserved[3];
} core_worker_t;

typedef struct core {
    /* Constant once the file is made. */
    uint64_t magic, version;
    _Atomic uint32_t edges_made;
    _Atomic uint64_t conf_generation;
    alignas(64) _Atomic uint64_t epoch; /* apart, since each request reads it */
    alignas(64) store_health_t store_health;
    alignas(1024) core_edge_t edges[CORE_EDGES_MAX];
    alignas(4096) core_worker_t workers[CORE_WORKERS_MAX];
    alignas(4096) char reserved[CORE_BYTES - 20480];
} core_t;

/* A change of one of these numbers needs another CORE_VERSION, and ends the tunnels of old generations. */
#define CORE_AT(type, cell, place) _Static_assert(offsetof(type, cell) == (place), #cell " keeps its place")
CORE_AT(core_t, version, 8);
CORE_AT(core_t, edges_made, 16);
CORE_AT(core_t, conf_generation, 24);
CORE_AT(core_t, epoch, 64);
CORE_AT(core_t, store_health, 128);
CORE_AT(store_health_t, reported, 0);
CORE_AT(store_health_t, damaged, 504);
CORE_AT(core_t, edges, 1024);
CORE_AT(core_edge_t, number, 4);
CORE_AT(core_edge_t, since_s, 8);
CORE_AT(core_edge_t, open_until_ms, 16);
CORE_AT(core_edge_t, version, 24);
CORE_AT(core_t, workers, 4096);
CORE_AT(core_worker_t, segment, 8);
CORE_AT(core_worker_t, pid, 16);
CORE_AT(core_worker_t, state, 20);
CORE_AT(core_worker_t, exchanges_open, 24);
CORE_AT(core_worker_t, tunnels_open, 32);
_Static_assert(sizeof(core_edge_t) == 256 && sizeof(core_worker_t) == 64 && sizeof(core_t) == CORE_BYTES,
               "the core keeps its form");

/* A memory file of `size` bytes without a name, which nobody can cut; -1: none, for example because of
 * RLIMIT_FSIZE. */
int core_file(const char *name, size_t size);

/* Maps the core in `fd`; with -1, a new one that no successor can map. NULL with errno. */
core_t *core_map(int fd);
void core_unmap(core_t **core);
/* Makes the content of a new core. */
void core_init(core_t *core);
/* Whether the file has a core that this program understands. False with errno, EPROTO if not. */
MUST_USE bool core_fits(int fd);

/* Takes a free entry, or that of an edge that was killed, and a number. NULL: none exists. */
core_edge_t *core_edge_take(core_t *core, uint32_t *number);

/*
 * The numbers of workers. `owner` has the number of the edge, and the index in that edge.
 *
 * core_owner_is_free: nobody, or a killed edge, or edge `number`, which asks for a number that none of its
 * own workers has.
 */
uint64_t core_owner(uint32_t number, unsigned index);
bool core_owner_is_free(const core_t *core, uint64_t owner, uint32_t number);
/* Wipes what others see of a worker that ended. */
void core_worker_wipe(core_t *core, unsigned i);

#endif
