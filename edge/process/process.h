/*
 * The arguments of the processes that the supervisor forks, and the messages between processes.
 *
 *   supervisor <-> each worker and the controller: a channel each (supervisor_fd)
 *   controller <-> each worker, and the runner: a channel each. The supervisor makes a new pair when
 *   it restarts one of the two. The end of a channel means that the other side died; PROCESS_LINK
 *   (or PROCESS_RUNNER) brings the next one.
 *
 * A child of the supervisor starts in the function of its kind and has no rights left. It keeps them if
 * it is the runner, if the edge was not started as root, or if `user` is empty. It ignores all
 * signals except SIGKILL: terminals (Ctrl-C) and service managers signal only the supervisor. Its
 * stdin is /dev/null, and it has only the descriptors of its arguments. It ends by returning an
 * exit status. Its lines on stderr begin with "boxedge[process]: " (process_log).
 */
#ifndef BOXEDGE_PROCESS_H
#define BOXEDGE_PROCESS_H

#include "conf.h"
#include "ipc.h"
#include "line_output.h"
#include "shm.h"
#include "tls.h"

/* Interval at which a process writes its heartbeat, in ms. */
#define PROCESS_HEARTBEAT_MS 250
/* A worker without a heartbeat for this long serves nobody. */
#define PROCESS_SILENT_MS 500u
/* Maximum listeners in a configuration (their descriptors travel in one message). */
#define PROCESS_LISTENERS_MAX 64

/* Types of messages; those between the controller and workers keep their numbers and their meaning, or
 * CORE_VERSION is raised: after an upgrade, a controller speaks with workers of older binaries. By default
 * `value` is 0, without bytes and without descriptors. */
typedef enum process_message {
    PROCESS_READY = 1, /* to the supervisor: this process serves */
    PROCESS_CONF,      /* to all: a new configuration. value: its generation. Descriptors: [0] its text
                          (process_conf_read); for workers then [1] PEMs for clients (process_pems_read), [2] PEMs
                          for origins, and one listening socket for each of conf_worker_listeners, in order; for
                          the      controller then one for each listener of kind metrics */
    PROCESS_CONF_DONE, /* to the supervisor: the swap took place. value: the generation */
    PROCESS_LOG,   /* to workers: write access lines to descriptor [0] from now on; without one, write none.
                      value:   line_form_t */
    PROCESS_DRAIN, /* to workers and the controller: finish and end. value: PROCESS_DRAIN_*, or'ed; a repeated
                      message without PROCESS_DRAIN_KEEPS_OPEN shortens their time to timeouts.drain. From the
                      controller to the supervisor: drain everything, as SIGTERM does */
    PROCESS_RELOAD,        /* controller to supervisor: reload, as SIGHUP does */
    PROCESS_RELOAD_RESULT, /* to the controller. value: 1 done, 0 refused; bytes: the errors, as lines */
    PROCESS_LINK, /* to the controller: descriptor [0] is the channel to the worker with number `value`; to a
                     worker and to the runner: descriptor [0] is the channel to the controller */
    PROCESS_RUNNER, /* to the controller: descriptor [0] is the channel to the runner; runner_message.h has
                       its messages */
    PROCESS_WORKER_DIED, /* to the controller: the worker with number `value` died (free its reader slots) */
    PROCESS_TUNNELS,     /* controller to workers: end the open tunnels that the bytes select. "preview
                            <id>-<port>": those admitted by a version of the preview below `value`; "previews":
                            those whose preview changed since it admitted them (sent in place of lost messages);
                            "blocks": those that a block now covers; "links": those of links that have ended */
    /* Wakes (wake.h, wake_coordinator.h). Any of them may be lost; the sender repeats each while it matters.
     */
    PROCESS_WAKE,       /* worker to controller: requests wait for bytes "<id>-<port>" */
    PROCESS_WAKE_STAGE, /* controller to workers: bytes "<id>-<port>"; value: wake_stage_pack */
    PROCESS_WOKEN,  /* controller to workers: a wake ended. value: wake_result_t; bytes: wake_answer_write */
    PROCESS_BOXES,  /* controller to workers: states of boxes changed in the store */
    PROCESS_ACTIVE, /* worker to controller: bytes are the ids, each with '\n', of boxes that are held or were
                       active in the last second */
    PROCESS_UPSTREAM_SLOT, /* worker to controller, which forwards it to all workers: a slot became free at
                      upstream `value`, for which others wait */
    PROCESS_PREVIEW, /* worker to controller: bytes are a preview_call_t (preview_message.h), value: a number
                        that the worker chose */
    PROCESS_PREVIEW_DONE, /* controller to worker: bytes are the preview_answer_t, value: that number */
    PROCESS_LOOK, /* worker to controller: the box that bytes name is unexpectedly silent; check its state */
    PROCESS_BOX_PORTS_REQUEST, /* worker to controller: bytes "<id>-<port>" refused or closed a connection;
                          value: the box's generation. Asks for the box's listening ports and the matching
                          line of its log */
    PROCESS_BOX_PORTS,         /* controller to worker: box_ports_message.h; value: that generation */
    PROCESS_DELETION, /* worker to controller: bytes are a deletion_call_t (deletion_message.h); value and
                         answer as for PROCESS_PREVIEW */
    PROCESS_UPGRADE,  /* controller to supervisor: start a new binary, as SIGUSR2 does. value 1: requests and
                         tunnels end within timeouts.drain */
    PROCESS_UPGRADE_FAILED, /* to the controller: upgrade number `value` failed; bytes: the reason */
    PROCESS_QUEUE,      /* to a worker: accept from the queue of worker `value`, too. Descriptors: a listening
                           socket for each of conf_worker_listeners of the last PROCESS_CONF, in order.
                           PROCESS_CONF ends it */
    PROCESS_QUEUE_BACK, /* to a worker: close these sockets of worker `value` */
    PROCESS_LEAVING,    /* to workers and the controller: the edge drains soon, so /readyz answers 503 */
    PROCESS_GIVE_BOXES, /* to the runner of an edge that ends: the runner of the new edge takes the boxes
                           over. Descriptors: [0] the channel to it, [1] the text of the configuration */
    PROCESS_TRAFFIC_ASK = 40, /* controller to workers: a question about their requests; value: its number;
                                 bytes: traffic_question_write (numbers from IPC_TYPE_LOST on are the
                                 channel's and of messages without descriptors) */
    PROCESS_TRAFFIC, /* worker to controller: part of the answer to question `value` (traffic_message.h) */
    PROCESS_TRACE,   /* worker to controller: bytes are a trace_message_t; may be lost */
    PROCESS_PREVIEW_LINK, /* worker to controller: bytes are a link_call_t (link_message.h); value and answer
                             as for PROCESS_PREVIEW */
    /* Old and new edges talk: add types at the end. */
} process_message_t;

/* The listening sockets live on in another process, which accepts the connections in their queues. To the
 * runner: process boxes that the new edge's runner has taken live on. */
#define PROCESS_DRAIN_OTHERS_ACCEPT 1u
/* Open exchanges and tunnels live on until they end, at most for timeouts.drain_tunnels. */
#define PROCESS_DRAIN_KEEPS_OPEN 2u
/* No controller will come back: waiting requests are answered, and tunnels, which no change would reach, end
 * within timeouts.drain. */
#define PROCESS_DRAIN_NO_CONTROLLER 4u

/* The callee owns everything except `shm`. */
typedef struct worker_args {
    unsigned index;  /* in its edge */
    unsigned number; /* of its slot in `shm` */
    bool must_open;  /* as controller_args_t */
    conf_t *conf;    /* one reference */
    shm_t *shm;
    int supervisor_fd;
    int controller_fd; /* -1: none yet, PROCESS_LINK brings one */
    line_target_t access_log;
    const tls_ticket_keys_t *tickets; /* to begin with; valid */
    const tls_pem_t *pems;            /* must outlive worker_run; one for each certificate */
    size_t pem_count;
    const tls_pem_t *origin_pems; /* likewise; one for each upstream */
    const int *listen_fds;        /* one for each of conf_worker_listeners; listening, non-blocking */
} worker_args_t;

/* Serves until PROCESS_DRAIN arrives and all work is done. Returns the exit status of the process.
 * Defined in worker.c. */
int worker_run(const worker_args_t *args);

typedef struct controller_args {
    conf_t *conf; /* one reference */
    shm_t *shm;
    int supervisor_fd;
    int worker_fds[SHM_WORKERS_MAX]; /* channels to the workers by number; -1: none yet, PROCESS_LINK brings
                                        one */
    bool must_open;    /* ends if the store cannot be opened; false: continues without the closed parts */
    bool runner_lives; /* a runner exists, here or in the old edge: process boxes may be running */
    int admin_fd;      /* Unix socket at conf->admin_socket, listening, non-blocking, 0660 */
    const int *metrics_fds; /* one for each listener of kind metrics, in order; listening, non-blocking */
} controller_args_t;

/*
 * Opens the store as its writer (process_store_dirs must exist), records the static boxes and bumps
 * the epoch. Parts that cannot be opened are tried again, unless args->must_open. Sends PROCESS_READY, after
 * which the supervisor starts workers, and serves the admin socket. Writes its heartbeat into shm_controller
 * and answers PROCESS_CONF with PROCESS_CONF_DONE. Ends on PROCESS_DRAIN and at the end of the supervisor's
 * channel. Defined in controller.c.
 */
int controller_run(const controller_args_t *args);

typedef struct runner_args {
    conf_t *conf; /* one reference */
    shm_t *shm;
    int supervisor_fd;
    int predecessor_fd; /* the channel to the runner of the old edge, whose boxes it takes over; -1: none */
} runner_args_t;

/*
 * Starts, freezes and stops the process boxes of the configuration as the controller asks over the
 * channel from PROCESS_LINK (runner_message.h). Keeps the supervisor's rights. On PROCESS_DRAIN, or
 * without the supervisor, it stops all boxes and returns. After an upgrade it takes over the boxes of
 * the old edge's runner, before PROCESS_READY. The runner exists only if the configuration has process
 * boxes. Defined in runner.c.
 */
int runner_run(const runner_args_t *args);

/* The directories of the two stores: "<state_dir>/store" and "<run_dir>/store". The supervisor
 * makes both. Returns false if a path is too long. */
MUST_USE bool process_store_dirs(const conf_t *conf, char *durable, char *volatile_dir, size_t len);

/* The directory for the secrets of declared previews: "<state_dir>/previews". The supervisor makes it if the
 * configuration declares one. Returns false if the path is too long. */
MUST_USE bool process_previews_dir(const conf_t *conf, char *path, size_t len);

/* Parses the configuration in a descriptor of PROCESS_CONF and returns one reference, or NULL with
 * a sentence. Does not close `fd`. */
conf_t *process_conf_read(int fd, char *error, size_t error_len);
/* Writes the configuration into a sealed memory file (memfile.h). Returns its descriptor, or -1
 * with errno. */
int process_conf_write(const char *path, str_t text);
/* Writes PEMs into a sealed memory file (-1 with errno), and reads them back. PEMs are secret:
 * process_pems_free cleanses and frees them. */
int process_pems_write(const tls_pem_t *pems, size_t count);
MUST_USE bool process_pems_read(int fd, tls_pem_t **pems, size_t *count);
void process_pems_free(tls_pem_t **pems, size_t count);

#endif
