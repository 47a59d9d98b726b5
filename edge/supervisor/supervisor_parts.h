/*
 * What the parts of the supervisor share. For supervisor.c, supervise.c, reload.c and upgrade.c only.
 */
#ifndef BOXEDGE_SUPERVISOR_PARTS_H
#define BOXEDGE_SUPERVISOR_PARTS_H

#include "listen.h"
#include "logger.h"
#include "role.h"
#include "shm.h"
#include "snapshot.h"
#include "supervisor.h"

/* The locks of run_dir and state_dir, which may be one directory. */
#define RUN_LOCK   "boxedge.lock"
#define STATE_LOCK "boxedge-state.lock"
/* How long a port may take to become free after an edge before us was killed. */
#define START_LISTEN_PATIENCE_MS 2000

typedef enum supervisor_state {
    SUPERVISOR_STARTING, /* not all roles have served yet */
    SUPERVISOR_SERVING,
    SUPERVISOR_UPGRADING, /* a new binary is starting; our workers serve */
    SUPERVISOR_DRAINING,  /* workers finish, then the controller and the runner */
    SUPERVISOR_ENDED,     /* nothing is left but to exit */
} supervisor_state_t;

typedef struct supervisor {
    supervisor_state_t state;
    const char *conf_path;
    char **argv;
    const supervisor_roles_t *roles;
    pid_t pid;
    int exit_status;

    snapshot_t *snapshot;
    uint64_t generation; /* of the snapshot: the first is 1 */
    listen_set_t *listeners;
    shm_t *shm;
    int lock_fd;       /* of run_dir */
    int state_lock_fd; /* of state_dir */
    int admin_fd;
    int log_fd; /* of the access log; -1: off */
    int signal_fd;
    logger_t logger;    /* writes what all processes say to stderr */
    size_t descriptors; /* that each process may have, at most */
    tls_ticket_keys_t tickets;
    uint64_t tickets_due_ms; /* when the next key is made */

    role_t controller;
    role_t runner;                   /* wanted: where the configuration has process boxes */
    role_t workers[SHM_WORKERS_MAX]; /* wanted: the first conf->workers */
    uint64_t looked_ms;              /* when the heartbeats were last looked at */
    uint64_t watch_from_ms;          /* heartbeats older than this say nothing: we did not look */

    bool reload_wanted;    /* SIGHUP or the controller asked while starting */
    bool reload_running;   /* some role has yet to answer PROCESS_CONF */
    char *reload_warnings; /* lines about the configuration that is being taken; "" or NULL: none */
    bool handed_over;      /* a new binary serves on our sockets */

    pid_t upgrade_pid; /* the new binary; 0: none */
    int upgrade_fd;    /* its word that it serves */
    uint64_t upgrade_due_ms;
    int predecessor_fd; /* to the old binary that waits for our word; -1: none */
    /* Where the locks and the admin socket that it handed over lie; they are ours only if we want them there.
     * NULL: nothing was handed over. */
    char *inherited_run_dir;
    char *inherited_state_dir;
    char *inherited_admin;
} supervisor_t;

/* ---- supervisor.c ---- */
/* The only function that changes the state; asserts that the step is one that happens. */
void supervisor_set_state(supervisor_t *s, supervisor_state_t state);
/* Says where the limit of descriptors is too low for the configuration. */
void supervisor_check_descriptors(const supervisor_t *s);
/* SIGTERM: workers finish what they have. A second call waits for nothing. */
void supervisor_drain(supervisor_t *s);

/* ---- supervise.c ---- */
/* Places for conf->workers: new ones wait to be started, surplus ones are drained. */
void supervise_workers(supervisor_t *s, uint64_t now_ms);
/* A place for the runner where the configuration has process boxes; else it is drained. */
void supervise_runner(supervisor_t *s, uint64_t now_ms);
/* Has the runner stop all boxes and end. */
void supervise_drain_runner(supervisor_t *s);
/* Starts what is due. Workers wait for the first controller that serves: it makes the stores. */
void supervise_start_due(supervisor_t *s, uint64_t now_ms);
/* Another logger, a second after one died. */
void supervise_logger(supervisor_t *s, uint64_t now_ms);
/* Takes the end of children that ended. */
void supervise_reap(supervisor_t *s, uint64_t now_ms);
/* Kills whoever shows no life or drains past its time. */
void supervise_watch(supervisor_t *s, uint64_t now_ms);
/* Makes the channel between a worker, or the runner, and the controller anew, where both are there. */
void supervise_join_worker(supervisor_t *s, role_t *worker);
void supervise_join_runner(supervisor_t *s);
/* Takes the messages that wait in the channel of `role`. */
void supervise_receive(supervisor_t *s, role_t *role);
void supervise_drain_role(supervisor_t *s, role_t *role, uint64_t within_ms);
/* The ms until something is due, at most `most`. */
int supervise_timeout(const supervisor_t *s, uint64_t now_ms, int most);
unsigned supervise_workers_alive(const supervisor_t *s);

/* ---- lost.c ---- */
/* `role` says (IPC_TYPE_LOST) that it could not take a message. */
void lost_note(supervisor_t *s, role_t *role, uint64_t value);
/* Says again what is due. */
void lost_repeat(supervisor_t *s, uint64_t now_ms);

/* ---- reload.c ---- */
/* SIGHUP: loads, checks, swaps, or says why not. */
void reload_conf(supervisor_t *s);
/* Sends the configuration, or where access lines go, to a process once more. */
void reload_send_conf(supervisor_t *s, role_t *role);
void reload_send_log(supervisor_t *s, role_t *role);
/* Every 12 hours: replaces the leaf of the local authority when it is about to expire. */
void reload_local_certificate(supervisor_t *s);
/* A role answered PROCESS_CONF, or is gone. */
void reload_check_done(supervisor_t *s);
/* SIGUSR1: opens the access log again. */
void reload_log(supervisor_t *s);
/* Opens what conf->access_log says. False with errno; *fd is -1 for "off". */
MUST_USE bool reload_open_log(const conf_t *conf, int *fd);

/* ---- upgrade.c ---- */
/* SIGUSR2. */
void upgrade_begin(supervisor_t *s);
/* The controller ended while SUPERVISOR_UPGRADING: the new binary may start. */
void upgrade_controller_gone(supervisor_t *s);
/* The descriptor of its word can be read. */
void upgrade_heard(supervisor_t *s);
void upgrade_ended(supervisor_t *s, int status);
void upgrade_watch(supervisor_t *s, uint64_t now_ms);
/* In the new binary: takes what the old one left in the environment. False where there is nothing. */
MUST_USE bool upgrade_inherit(supervisor_t *s);
/* In the new binary: all roles serve. */
void upgrade_tell_predecessor(supervisor_t *s);

#endif
