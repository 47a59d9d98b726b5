/*
 * Shared by controller.c and controller_controls.c only: the state of the controller.
 */
#ifndef BOXEDGE_CONTROLLER_INTERNAL_H
#define BOXEDGE_CONTROLLER_INTERNAL_H

#include "admin.h"
#include "box_ports_service.h"
#include "boxes.h"
#include "channel.h"
#include "controller.h"
#include "deletion_service.h"
#include "idle.h"
#include "preview_service.h"
#include "process_facts.h"
#include "providers.h"
#include "store_thread.h"
#include "trace_service.h"
#include "traffic_service.h"
#include "upstreams.h"
#include "wake_coordinator.h"
#include "worker_links.h"

typedef enum controller_state {
    CONTROLLER_SERVES,
    CONTROLLER_DRAINS, /* accepts no new connections */
    CONTROLLER_ENDS,
} controller_state_t;

typedef struct controller {
    loop_t *loop;
    conf_t *conf;
    shm_t *shm;
    store_thread_t *store;
    admin_t *admin;
    channel_t *supervisor;
    worker_links_t *worker_links;
    boxes_t *boxes;
    wake_coordinator_t *coordinator;
    box_ports_service_t *listening;
    idle_t *idle;
    runner_client_t *runner;
    provider_t *processes;
    providers_t *providers;
    upstreams_t *upstreams;
    preview_service_t *previews;
    deletion_service_t *deletions;
    traffic_service_t *traffic;
    trace_service_t *traces;
    wall_clock_t wall_clock;
    controller_state_t state;
    int status; /* exit status of the process */
    loop_timer_t heartbeat;
    process_facts_t facts;
    loop_timer_t drain;
    loop_timer_t maintenance;
    loop_timer_t reopening; /* parts of the store are closed */
    uint32_t reopening_ms;  /* the next wait */
} controller_t;

/* The calls of the admin API to the controller; the owner is a controller_t. */
extern const admin_controls_t controller_controls;

#endif
