/*
 * The layout of the segment, for shm*.c only. A change of the layout changes SHM_LAYOUT
 * (tests/lib/layout).
 */
#ifndef BOXEDGE_SHM_INTERNAL_H
#define BOXEDGE_SHM_INTERNAL_H

#include <stdalign.h>
#include <stddef.h>

#include "shm.h"

#define ROWS      2
#define ROW_CELLS 32768u
#define KEY_WORDS ((sizeof(tls_ticket_keys_t) + 7) / 8)
/* Cells of held bytes in each row; a power of two. */
#define SHARE_CELLS  8192u
#define WAITER_CELLS 4096u
/* Bytes for a worker's counters. */
#define COUNTERS_ROOM 65536u

typedef struct client_counts {
    _Atomic uint32_t cell[ROWS][ROW_CELLS];
} client_counts_t;

_Static_assert(1 + 2 * ROWS * SHARE_CELLS <= UINT16_MAX + 1, "a cell's number fits shm_share_t");

/* Cell 0 is unused; then come the rows of clients and those of boxes. */
typedef struct share_table {
    _Atomic uint64_t cell[1 + 2 * ROWS * SHARE_CELLS];
} share_table_t;

/* Each on separate cache lines, because its owner writes it constantly. */
typedef struct worker_slot {
    alignas(64) shm_child_t child;
    alignas(4096) union {
        counters_t counters;
        char room[COUNTERS_ROOM]; /* counters can grow without another layout */
    };
    alignas(4096) client_counts_t clients;
    alignas(4096) _Atomic uint32_t waiters;
    _Atomic uint32_t waiters_of_box[WAITER_CELLS];
    alignas(4096) share_table_t shares;
    alignas(4096) flight_table_t flights;
} worker_slot_t;

_Static_assert(sizeof(counters_t) <= COUNTERS_ROOM, "the counters fit");

typedef struct edge_slot {
    alignas(64) shm_facts_t facts;
    alignas(64) shm_child_t controller;
    alignas(64) shm_child_t runner;
    alignas(64) shm_queue_t queues[SHM_QUEUES_MAX];
    _Atomic uint64_t certificate_count;
    shm_certificate_t certificates[SHM_CERTIFICATES_MAX];
} edge_slot_t;

/* Of a table that programs of other layouts can copy. */
typedef struct table_place {
    uint64_t version; /* of its form (LIMIT_FORM and so on) */
    uint64_t offset, size;
} table_place_t;

/* The start of each segment: the only part that keeps its form in all layouts. Constant once it is made. */
typedef struct segment_head {
    uint64_t magic, layout, size;
    uint64_t maker; /* number of the edge that made it */
    table_place_t tables[16];
} segment_head_t;

_Static_assert(sizeof(segment_head_t) == 32 + 16 * 24, "the head keeps its form");
_Static_assert(SHM_TABLES <= 16, "the head has room");

typedef struct segment {
    segment_head_t head;
    uint64_t seed[2];       /* constant, too */
    _Atomic uint32_t slots; /* those from this index on never had a worker */
    alignas(64) shm_wakes_t wakes;
    edge_slot_t edges[SHM_EDGES_MAX];
    alignas(64) _Atomic uint64_t keys_version; /* odd while the supervisor writes the keys */
    _Atomic uint64_t keys[KEY_WORDS];
    worker_slot_t workers[SHM_WORKERS_MAX];
    alignas(4096) tabs_t tabs;
    alignas(4096) host_modes_t host_modes;
} segment_t;

/* Includes slot `index` in the sums from now on (shm_workers_used). */
void shm_take_part(const shm_t *shm, unsigned index);

/* The places of this program's tables. */
void shm_tables_note(segment_head_t *head);

/* A process's view of both files. */
struct shm {
    core_t *core;
    segment_t *segment;
    lockout_t *lockout; /* these three follow the struct, in the same mapping */
    limit_t *limit;
    balance_t *balance;
    core_edge_t *own;
    edge_slot_t *own_slot;
    uint64_t maker;              /* segment_head_t */
    uint32_t number;             /* of this edge */
    bool taken[SHM_WORKERS_MAX]; /* slots that shm_worker_take gave to this supervisor */
    int core_fd, fd;             /* of the memory files; -1: the mapping is anonymous */
};

/* The tables that follow the struct, each on separate pages. */
size_t shm_lockout_offset(void);
size_t shm_limit_offset(void);
size_t shm_balance_offset(void);
/* (client address, preview) pairs with remembered failures. */
#define LOCKOUT_CELLS LOCKOUT_CELLS_MAX
/* Keys and client addresses whose use of the API is counted at a time. */
#define LIMIT_CELLS LIMIT_CELLS_MAX
/* The first bytes of a segment; a number. */
#define SEGMENT_MAGIC 0x32676465786f62u

#endif
