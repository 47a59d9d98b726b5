/*
 * Internals that the parts of the supervisor share. For the files of this folder only.
 */
#ifndef BOXEDGE_SUPERVISOR_INTERNAL_H
#define BOXEDGE_SUPERVISOR_INTERNAL_H

#include "certificate_watch.h"
#include "child_slot.h"
#include "line_output.h"
#include "listener_set.h"
#include "logger.h"
#include "own_paths.h"
#include "passed_sockets.h"
#include "process_facts.h"
#include "queue_loans.h"
#include "shm.h"
#include "snapshot.h"
#include "supervisor.h"

/* Older edges that live beside this one: two with requests or tunnels, and some that are about to end. */
#define ELDERS_MAX 6
/* Older edges that may keep requests and tunnels. */
#define ELDERS_KEPT 2

/* Boxes have 10 s to end by themselves (runner_box.h). */
#define RUNNER_DRAIN_MS 13000u
/* Maximum wait for a port to become free after an earlier edge was killed. */
#define START_LISTEN_PATIENCE_MS 2000

typedef enum supervisor_state {
    SUPERVISOR_STARTING, /* not all children have served yet */
    SUPERVISOR_SERVING,
    SUPERVISOR_UPGRADING, /* a new binary is starting; our workers serve */
    SUPERVISOR_DRAINING,  /* workers finish, then the controller and the runner */
    SUPERVISOR_ENDED,     /* only the exit is left */
} supervisor_state_t;

/* The new binary's start, in SUPERVISOR_UPGRADING. */
typedef enum upgrade_phase {
    UPGRADE_PREPARING, /* it loads and checks; our controller lives */
    UPGRADE_STOPPING,  /* our controller ends */
    UPGRADE_SWITCHING, /* its controller and workers start; it speaks with the elders */
} upgrade_phase_t;

/* An older edge, whose workers carry requests or tunnels (handover.h). */
typedef struct elder {
    int fd;
    pid_t pid;   /* of its supervisor */
    bool ending; /* has the order to end them */
    bool apart;  /* its core or its store is another than the predecessor's */
} elder_t;

/* store_watch.c. */
typedef struct store_watch {
    pid_t pid;           /* of the helper that checks; 0: none */
    uint64_t started_ms; /* of the last check, or when the edge began to serve */
    bool checked;        /* since then */
    bool sign;           /* of damage, since the last check began */
    uint64_t damaged;    /* what store_health had after it */
    size_t records;
} store_watch_t;

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
    passed_sockets_t passed; /* of the service manager */
    shm_t *shm;
    int lock_fd;       /* of run_dir */
    int state_lock_fd; /* of state_dir */
    int admin_fd;
    line_target_t log; /* the access log */
    int signal_fd;
    logger_t logger;    /* writes the messages of all processes to stderr */
    size_t descriptors; /* maximum for each process */
    tls_ticket_keys_t tickets;
    uint64_t tickets_due_ms; /* time of the next key */

    child_slot_t controller;
    child_slot_t runner;                   /* wanted if the configuration has process boxes */
    child_slot_t workers[SHM_WORKERS_MAX]; /* wanted: the first conf->workers; then those that still drain */
    queue_loans_t loans;
    store_watch_t store_watch;
    uint64_t looked_ms;       /* time of the last heartbeat check */
    process_facts_t facts;    /* of this process */
    uint64_t facts_due_ms;    /* when facts_turn looks again */
    uint64_t watchdog_ms;     /* interval of signs of life to the service manager; 0: none */
    uint64_t watchdog_due_ms; /* time of the next one */
    uint64_t watch_from_ms;   /* ignore heartbeats older than this: we did not check */

    uint64_t leave_due_ms; /* when the drain begins (timeouts.drain_delay); 0: no end was asked for */
    bool reload_wanted;    /* SIGHUP or the controller requested it during the start */
    bool reload_asked;     /* its result is awaited */
    bool reload_running;   /* some child has yet to answer PROCESS_CONF */
    char *reload_warnings; /* lines about the configuration that is being installed; "" or NULL: none */
    certificate_watch_t certificates;
    bool handed_over; /* a new binary serves on our sockets */
    bool keeps_open;  /* handed over, and open requests live on */

    pid_t upgrade_pid; /* the new binary; 0: none */
    unsigned upgrades; /* how many were begun */
    upgrade_phase_t upgrade_phase;
    int upgrade_fd;      /* to the new binary (handover.h); -1: none */
    bool upgrade_shares; /* it has our core and our store */
    bool upgrade_now;    /* nothing may outlive timeouts.drain */
    uint64_t upgrade_due_ms;
    char upgrade_failure[200]; /* of the last one; "": none */

    elder_t elders[ELDERS_MAX]; /* the oldest first */
    size_t elder_count;
    uint64_t elders_due_ms; /* SUPERVISOR_DRAINING: elders are killed then */
    int predecessor_fd;     /* of the last elder, until we serve; -1: none */
    bool awaits_go;         /* the predecessor's controller has not ended yet */
    int core_fd;            /* inherited, until make_shm; -1: none */
    int segment_fd;         /* inherited, until its tables are copied or it is ours; -1: none */
    bool takes_tables;      /* our segment is another than the predecessor's */
    bool shares;            /* the core and the store are the predecessor's */
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
/* start_store.c: checks the store before it is served. Returns false, and logs why, if the edge must not
 * start. */
MUST_USE bool supervisor_check_store(const supervisor_t *s);

/* Starts the controller, and the children that wait for it. A new binary calls it once the predecessor's
 * controller has ended. */
void supervisor_start_children(supervisor_t *s);

/* ---- supervisor_drain.c ---- */
/* SIGTERM: drains after timeouts.drain_delay, in which the edge is not ready. A second call drains
 * immediately.
 */
void supervisor_leave(supervisor_t *s);
/* Begins the drain when it is due. */
void supervisor_leave_turn(supervisor_t *s, uint64_t now_ms);
/* The ms until the next turn, at most `most`. */
int supervisor_timeout(const supervisor_t *s, uint64_t now_ms, int most);
/* The end, or a new binary serves: workers finish their requests. A second call ends the wait, first that for
 * tunnels. */
void supervisor_drain(supervisor_t *s);
/* Handed over: requests and tunnels of our workers end within timeouts.drain from now on. Idempotent. */
void supervisor_hasten(supervisor_t *s);
/* SUPERVISOR_DRAINING: takes the next step that is due. */
void supervisor_drain_turn(supervisor_t *s);
/* Handed over, and our boxes end as soon as our workers accept no more. */
bool supervisor_awaits_workers(const supervisor_t *s);

/* ---- store_watch.c ---- */
/* Checks the store, if it is time or a process has met damage. Damage makes the node unready. */
void store_watch_turn(supervisor_t *s, uint64_t now_ms);
/* A crash is a sign of damage. */
void store_watch_death(supervisor_t *s, const child_slot_t *child, int status);
/* Whether the process was the helper. */
bool store_watch_ended(supervisor_t *s, pid_t pid);
/* Whether a controller that died must wait for a check. */
bool store_watch_holds(const supervisor_t *s, uint64_t now_ms);

/* ---- supervise_start.c ---- */
/* Starts the children that are due. Workers wait for the first controller that serves, because it
 * makes the stores. */
void supervise_start_due(supervisor_t *s, uint64_t now_ms);
/* Restarts the logger a second after its death. */
void supervise_logger(supervisor_t *s, uint64_t now_ms);
/* Makes a new channel between a worker, or the runner, and the controller, if both exist. */
void supervise_join_worker(supervisor_t *s, child_slot_t *worker);
void supervise_join_runner(supervisor_t *s);

/* ---- supervise.c ---- */
/* Adjusts the slots to conf->workers: new ones wait for their start, surplus ones drain. */
void supervise_workers(supervisor_t *s, uint64_t now_ms);
/* Fills the runner's slot if the configuration has process boxes; otherwise drains it. */
void supervise_runner(supervisor_t *s, uint64_t now_ms);
/* Makes the runner end, and stop all boxes that no new edge has taken. */
void supervise_drain_runner(supervisor_t *s);
/* Reaps ended children. */
void supervise_reap(supervisor_t *s, uint64_t now_ms);
/* Kills children without a heartbeat, and those that drain past their time. */
void supervise_watch(supervisor_t *s, uint64_t now_ms);
/* Takes the messages in the channel of `child`. */
void supervise_receive(supervisor_t *s, child_slot_t *child);
void supervise_drain_child(child_slot_t *child, uint64_t within_ms);
/* `how`: PROCESS_DRAIN_*. Without PROCESS_DRAIN_KEEPS_OPEN, those that live on end within timeouts.drain
 * from now on. */
void supervise_drain_worker(supervisor_t *s, child_slot_t *child, unsigned how);
/* The ms until the next event is due, at most `most`. */
int supervise_timeout(const supervisor_t *s, uint64_t now_ms, int most);
unsigned supervise_workers_alive(const supervisor_t *s);

/* ---- queues.c ---- */
/* Lends the queues of workers that cannot accept, and takes back those of workers that can. */
void queues_turn(supervisor_t *s, uint64_t now_ms);

/* ---- facts.c: figures of this edge for the metrics ---- */
/* Once a second: this process, the logger, and the queues of listeners. */
void facts_turn(supervisor_t *s, uint64_t now_ms);
/* A load of the configuration or of changed certificates ended; those in use are s->snapshot's. */
void facts_loaded(supervisor_t *s, bool took_effect);

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
/* Gives the edge's own messages the form of conf->log_messages. */
void reload_set_messages(const conf_t *conf);

/* ---- upgrade.c: the old binary ---- */
/* SIGUSR2, or by command. `now`: no request or tunnel outlives timeouts.drain. */
void upgrade_begin(supervisor_t *s, bool now);
/* The controller ended in UPGRADE_STOPPING: the new binary's may start. */
void upgrade_controller_gone(supervisor_t *s);
/* Takes the new binary's messages. */
void upgrade_receive(supervisor_t *s);
void upgrade_ended(supervisor_t *s, int status);
void upgrade_watch(supervisor_t *s, uint64_t now_ms);
/* A worker ended: the new binary's controller frees its reader slot. */
void upgrade_note_death(supervisor_t *s, unsigned number);
/* Reports the failure of the last upgrade to the controller; no-op if it did not fail. */
void upgrade_report(supervisor_t *s);

/* ---- inherit.c: the new binary ---- */
/* Takes over the old binary's descriptors. Returns false if the environment names none. */
#define HANDOFF_ENV "BOXEDGE_HANDOVER"
MUST_USE bool inherit_handoff(supervisor_t *s);
/* Everything is loaded: the predecessor's controller may end. */
void inherit_prepared(supervisor_t *s);
/* All children serve. */
void inherit_served(supervisor_t *s);

/* ---- elders.c ---- */
/* Takes over `fd`, a channel that the older edge made. False: no place; it is closed. */
MUST_USE bool elders_add(supervisor_t *s, int fd, bool ending);
/* The elder with the channel `fd` has another core or store than the predecessor. */
void elders_set_apart(supervisor_t *s, int fd);
/* Whether elder `i` has our core and store. Only then do the numbers of its workers mean anything here. */
bool elders_shares(const supervisor_t *s, size_t i);
/* Whether this process, and not a predecessor or successor, takes the messages of elder `i`. */
bool elders_listens(const supervisor_t *s, size_t i);
void elders_receive(supervisor_t *s, size_t i);
/* Asks all that share with us for channels from their workers to the controller, which is new or lost some.
 */
void elders_join(supervisor_t *s);
/* Makes all but the newest `keep` end their requests and tunnels. */
void elders_end(supervisor_t *s, size_t keep);
/* Kills those that do not end in time. */
void elders_watch(supervisor_t *s, uint64_t now_ms);
void elders_kill(supervisor_t *s);
/* Has them write access lines to s->log. */
void elders_send_log(supervisor_t *s);
/* Closes the channels: a successor has them, or this process ends. */
void elders_leave(supervisor_t *s);

#endif
