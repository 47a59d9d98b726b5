/*
 * Whether this edge can serve: one judgement for /readyz of listeners of kind health, of those of kind
 * metrics, and of the admin socket.
 */
#ifndef BOXEDGE_READINESS_H
#define BOXEDGE_READINESS_H

#include "shm.h"

/* A worker without a sign of life for that long accepts nothing. */
#define READINESS_SILENT_MS 2000

/* The facts that only the process of the listener has. */
typedef struct readiness_facts {
    bool leaving;          /* the edge drains, or soon will */
    bool store_unreadable; /* of this process */
    unsigned workers;      /* configured */
    uint64_t memory_bytes; /* limits.memory of a worker */
    uint64_t now_ms;       /* clock_now_ms(); 0: in a worker, which lives */
} readiness_facts_t;

/* Returns NULL if it can, else the reason, a short line without its end. */
const char *readiness_fault(shm_t *shm, const readiness_facts_t *facts);

#endif
