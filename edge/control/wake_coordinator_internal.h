/* Shared by wake_coordinator.c and wake_coordinator_probe.c only. */
#ifndef BOXEDGE_WAKE_COORDINATOR_INTERNAL_H
#define BOXEDGE_WAKE_COORDINATOR_INTERNAL_H

#include "wake_coordinator.h"

#include "deadline.h"
#include "name_map.h"
#include "probe.h"

#define WORKER_WORDS (SHM_WORKERS_MAX / 64)

typedef struct failure {
    uint64_t until_ms; /* loop_now; 0: none */
    uint32_t last_ms;  /* how long the last failure was remembered */
    wake_result_t result;
    char sentence[WAKE_SENTENCE_MAX + 1];
} failure_t;

typedef struct box_wake box_wake_t;

typedef struct port_wake {
    struct port_wake *next;
    box_wake_t *box;
    uint16_t port;
    uint64_t workers[WORKER_WORDS]; /* bit set of waiting workers */
    bool waited;                    /* `workers` is not empty */
    bool recording;                 /* it listens, and the store's write is under way */
    uint64_t began_ms;
    probe_t *probe; /* NULL: no probe */
    deadline_t deadline;
    loop_timer_t look; /* during a probe: the next look at the box's listening ports */
    failure_t failure;
} port_wake_t;

struct box_wake {
    char id[BOX_ID_MAX + 1];
    wake_coordinator_t *coordinator;
    bool resuming;
    unsigned resumes;
    uint64_t began_ms;   /* loop_now: arrival of the first of the current waiters */
    uint64_t running_ms; /* loop_now: when the box ran; 0: not yet */
    uint64_t generation; /* the generation that probes go to */
    uint64_t came_ms;    /* loop_now: arrival of the newest waiting request */
    uint64_t stopped_ms; /* loop_now: the operator's stop; 0: none, or a request came since */
    failure_t failure;
    port_wake_t *ports;
    size_t port_count;
    loop_timer_t forget;
};

struct wake_coordinator {
    loop_t *loop;
    conf_t *conf;
    boxes_t *boxes;
    worker_links_t *worker_links;
    box_ports_service_t *listening;
    name_map_t by_id; /* box_wake_t */
    shm_wakes_t *counts;
};

/* ---- wake_coordinator.c ---- */
/* Ends the wait for this port. */
void wake_coordinator_finish_port(port_wake_t *port, wake_result_t result, const failure_t *failure);
/* Remembers `failure`: new requests get it immediately. */
void wake_coordinator_remember(box_wake_t *wake, failure_t *failure, wake_result_t result,
                               const char *sentence);
/* Notifies the workers that wait for the port. */
void wake_coordinator_notify_stage(const port_wake_t *port, wake_stage_t stage);

/* ---- wake_coordinator_probe.c ---- */
/* The box runs: probes its awaited ports, unless a probe is under way. */
void wake_coordinator_probe_all(box_wake_t *wake, const store_box_t *box);
void wake_coordinator_stop_probing(port_wake_t *port);

#endif
