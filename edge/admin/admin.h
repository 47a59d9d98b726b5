/*
 * The admin API: HTTP/1.1 with JSON on a Unix socket, whose file mode controls access (docs/operations.md).
 * The store thread does all reads and changes of the store, so that no request blocks the loop.
 */
#ifndef BOXEDGE_ADMIN_H
#define BOXEDGE_ADMIN_H

#include "conf.h"
#include "control_box.h"
#include "loop.h"
#include "process_guests.h"
#include "runner_client.h"
#include "shm.h"
#include "store_thread.h"
#include "trace_service.h"
#include "traffic_service.h"
#include "upstreams.h"
#include "wall_clock.h"

typedef struct admin admin_t;

/* Calls of the API to its process. `reload`, `drain` and `upgrade` return false if the supervisor is
 * unreachable. */
typedef struct admin_controls {
    bool (*reload)(void *owner); /* admin_reload_done brings the result */
    bool (*drain)(void *owner);
    /* Starts a new binary; admin_upgrade_failed may bring the result. `now`: tunnels end with the requests.
     */
    bool (*upgrade)(void *owner, bool now);
    /* Makes every worker end the open tunnels that `which` selects (PROCESS_TUNNELS). On return the message
     * is sent, or will be repeated. Also called between admin_free and the end of the store's thread. */
    void (*end_tunnels)(void *owner, const char *which, uint64_t below);
    /* Takes a pushed state of a box. Returns NULL, and calls `done` once every worker sees it, never from
     * within, and not after admin_free. Or returns a sentence with the reason for a refusal. */
    const char *(*push_box)(void *owner, const control_box_t *box, void (*done)(void *arg), void *arg);
    /* Calls `done` once every worker sees the present state of the box, as above. False if the edge does not
     * know the box. */
    bool (*when_recorded)(void *owner, str_t id, void (*done)(void *arg), void *arg);
    /* Finds the provider of a box, to read the box's log; NULL: boxes of this kind have none. False if the
     * box does not exist. Valid until the loop turns. */
    bool (*find_box)(void *owner, str_t id, box_provider_t *kind, provider_t **provider);
    /* The operator starts or stops this box through the runner: earlier requests must not undo a stop. */
    void (*box_ordered)(void *owner, str_t id, bool runs);
    /* Adds or renews a guest, as process_guests_put, which has no box of another kind. */
    const char *(*put_guest)(void *owner, const process_guest_t *guest, bool *fresh);
    /* Ends a guest, its previews and its record. False if there is none with this lease. */
    bool (*drop_guest)(void *owner, str_t id, str_t lease);
    bool (*is_guest)(void *owner, str_t id);
} admin_controls_t;

/*
 * Serves on `listen_fd` (listening, non-blocking; owned from here on). All else must outlive it; takes a
 * reference to `conf`.
 */
admin_t *admin_new(loop_t *loop, const conf_t *conf, shm_t *shm, store_thread_t *store, int listen_fd,
                   const admin_controls_t *controls, void *owner);
/* Closes every connection and nulls; pending jobs of `store` then have no client. */
void admin_free(admin_t **admin);

/* Sets the channel to the runner, which must outlive `admin`. */
void admin_set_runner(admin_t *admin, runner_client_t *runner);
/* Sets the record of the wall clock, for the metrics; it must outlive `admin`. */
void admin_set_wall_clock(admin_t *admin, const wall_clock_t *wall_clock);
/* Sets the upstreams, for the metrics; they must outlive it. */
void admin_set_upstreams(admin_t *admin, const upstreams_t *upstreams);
/* Sets the questions to workers about their requests; they must outlive it. */
void admin_set_traffic(admin_t *admin, traffic_service_t *traffic);
/* Sets the sender of traces, for the metrics; it must outlive it. */
void admin_set_traces(admin_t *admin, const trace_service_t *traces);
/*
 * Serves the listeners of kind metrics of `conf`, whose sockets are `fds` (listening, non-blocking, in
 * order). Takes those that it needs over, and sets them to -1. Listeners that `conf` no longer has end.
 */
void admin_listen(admin_t *admin, const conf_t *conf, int *fds, size_t count);
/* Applies a new configuration. */
void admin_set_conf(admin_t *admin, const conf_t *conf);
/* A reload has ended: `lines` are its errors, or its warnings if `ok`. Answers all waiting requests. */
void admin_reload_done(admin_t *admin, bool ok, str_t lines);
/* Upgrade `number` of this edge failed: for the status. */
void admin_upgrade_failed(admin_t *admin, uint64_t number, str_t reason);
/* The edge drains soon: not ready from now on. */
void admin_leave(admin_t *admin);
/* Accepts no more connections, on no listener, and asks the open ones to end; admin_clients counts the rest.
 */
void admin_drain(admin_t *admin);
uint64_t admin_clients(const admin_t *admin);

#endif
