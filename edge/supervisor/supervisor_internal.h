/*
 * Internals that the parts of the supervisor share. For supervisor.c, supervise.c, lost.c, reload.c
 * and upgrade.c only.
 */
#ifndef BOXEDGE_SUPERVISOR_INTERNAL_H
#define BOXEDGE_SUPERVISOR_INTERNAL_H

#include "certificate_watch.h"
#include "child_slot.h"
#include "listener_set.h"
#include "logger.h"
#include "own_paths.h"
#include "shm.h"
#include "snapshot.h"
#include "supervisor.h"

/* Maximum wait for a port to become free after an earlier edge was killed. */
#define START_LISTEN_PATIENCE_MS 2000

typedef enum supervisor_state {
    SUPERVISOR_STARTING, /* not all children have served yet */
    SUPERVISOR_SERVING,
    SUPERVISOR_UPGRADING, /* a new binary is starting; our workers serve */
    SUPERVISOR_DRAINING,  /* workers finish, then the controller and the runner */
    SUPERVISOR_ENDED,     /* only the exit is left */
} supervisor_state_t;

typedef struct supervisor {
    supervisor_state_t state;
    const char *conf_path;
    char **argv;
    const supervisor_children_t *children;
    pid_t pid;
    int exit_status;

    snapshot_t *snapshot;
    uint64_t generation; /* of the snapshot: the first is 1 */
    listener_set_t *listeners;
    shm_t *shm;
    int lock_fd;       /* of run_dir */
    int state_lock_fd; /* of state_dir */
    int admin_fd;
    int log_fd; /* of the access log; -1: off */
    int signal_fd;
    logger_t logger;    /* writes the messages of all processes to stderr */
    size_t descriptors; /* maximum for each process */
    tls_ticket_keys_t tickets;
    uint64_t tickets_due_ms; /* time of the next key */

    child_slot_t controller;
    child_slot_t runner;                   /* wanted if the configuration has process boxes */
    child_slot_t workers[SHM_WORKERS_MAX]; /* wanted: the first conf->workers; then those that still drain */
    uint64_t looked_ms;                    /* time of the last heartbeat check */
    uint64_t watch_from_ms;                /* ignore heartbeats older than this: we did not check */

    bool reload_wanted;    /* SIGHUP or the controller requested it during the start */
    bool reload_running;   /* some child has yet to answer PROCESS_CONF */
    char *reload_warnings; /* lines about the configuration that is being installed; "" or NULL: none */
    certificate_watch_t certificates;
    bool handed_over; /* a new binary serves on our sockets */

    pid_t upgrade_pid; /* the new binary; 0: none */
    unsigned upgrades; /* how many were begun */
    int upgrade_fd;    /* for the new binary's report that it serves */
    uint64_t upgrade_due_ms;
    int predecessor_fd; /* to the old binary, which waits for our report; -1: none */
    /* Paths of the inherited locks and admin socket. We keep them only if our configuration has the
     * same paths. NULL: nothing was inherited. */
    char *inherited_run_dir;
    char *inherited_state_dir;
    char *inherited_admin;
} supervisor_t;

/* ---- supervisor.c ---- */
/* The only function that changes the state; it asserts the transition. */
void supervisor_set_state(supervisor_t *s, supervisor_state_t state);
/* Logs if the limit of descriptors is too low for the configuration. */
void supervisor_check_descriptors(const supervisor_t *s);
/* SIGTERM: workers finish their requests. A second call ends the wait. */
void supervisor_drain(supervisor_t *s);

/* ---- supervise.c ---- */
/* Adjusts the slots to conf->workers: new ones wait for their start, surplus ones drain. */
void supervise_workers(supervisor_t *s, uint64_t now_ms);
/* Fills the runner's slot if the configuration has process boxes; otherwise drains it. */
void supervise_runner(supervisor_t *s, uint64_t now_ms);
/* Makes the runner stop all boxes and end. */
void supervise_drain_runner(supervisor_t *s);
/* Starts the children that are due. Workers wait for the first controller that serves, because it
 * makes the stores. */
void supervise_start_due(supervisor_t *s, uint64_t now_ms);
/* Restarts the logger a second after its death. */
void supervise_logger(supervisor_t *s, uint64_t now_ms);
/* Reaps ended children. */
void supervise_reap(supervisor_t *s, uint64_t now_ms);
/* Kills children without a heartbeat, and those that drain past their time. */
void supervise_watch(supervisor_t *s, uint64_t now_ms);
/* Makes a new channel between a worker, or the runner, and the controller, if both exist. */
void supervise_join_worker(supervisor_t *s, child_slot_t *worker);
void supervise_join_runner(supervisor_t *s);
/* Takes the messages in the channel of `child`. */
void supervise_receive(supervisor_t *s, child_slot_t *child);
void supervise_drain_child(child_slot_t *child, uint64_t within_ms);
/* `how`: PROCESS_DRAIN_*. Without PROCESS_DRAIN_KEEPS_TUNNELS, tunnels that live on end within timeouts.drain
 * from now on. */
void supervise_drain_worker(supervisor_t *s, child_slot_t *child, unsigned how);
/* The ms until the next event is due, at most `most`. */
int supervise_timeout(const supervisor_t *s, uint64_t now_ms, int most);
unsigned supervise_workers_alive(const supervisor_t *s);

/* ---- lost.c ---- */
/* `child` reported (IPC_TYPE_LOST) that it could not take a message. */
void lost_note(supervisor_t *s, child_slot_t *child, uint64_t value);
/* Repeats the messages that are due. */
void lost_repeat(supervisor_t *s, uint64_t now_ms);

/* ---- reload.c ---- */
/* SIGHUP: loads, checks and swaps, or reports the errors. */
void reload_conf(supervisor_t *s);
/* Send the configuration, or the access log's descriptor, to a process once more. */
void reload_send_conf(supervisor_t *s, child_slot_t *child);
void reload_send_log(supervisor_t *s, child_slot_t *child);
/* Every 12 hours: replaces the leaf of the local authority when it is about to expire. */
void reload_local_certificate(supervisor_t *s);
/* Swaps in the certificates and keys of files that changed, or reports once why it does not. */
void reload_changed_certificates(supervisor_t *s, uint64_t now_ms);
/* A child answered PROCESS_CONF, or ended. */
void reload_check_done(supervisor_t *s);
/* SIGUSR1: opens the access log again. */
void reload_log(supervisor_t *s);
/* Opens the log of conf->access_log. Returns false with errno; *fd is -1 for "off". */
MUST_USE bool reload_open_log(const conf_t *conf, int *fd);

/* ---- upgrade.c ---- */
/* SIGUSR2. */
void upgrade_begin(supervisor_t *s);
/* The controller ended while SUPERVISOR_UPGRADING: the new binary may start. */
void upgrade_controller_gone(supervisor_t *s);
/* The new binary's report can be read. */
void upgrade_read_ready(supervisor_t *s);
void upgrade_ended(supervisor_t *s, int status);
void upgrade_watch(supervisor_t *s, uint64_t now_ms);
/* In the new binary: takes over the old one's descriptors. Returns false if the environment names
 * none. */
MUST_USE bool upgrade_inherit(supervisor_t *s);
/* In the new binary: all children serve. */
void upgrade_notify_predecessor(supervisor_t *s);

#endif
