/*
 * What the supervisor gives to the processes that it forks, and the messages between them.
 *
 *   supervisor <-> each worker and the controller: a channel each (supervisor_fd)
 *   controller <-> each worker, and the runner: a channel each; the supervisor makes a new pair whenever one
 *   of the two is started again, so the end of a channel means that the other side died, and PROCESS_PEER (or
 *   PROCESS_RUNNER) brings the next.
 *
 * A child of the supervisor starts in its role's function with: no rights left (unless it is the runner, the
 * edge was not started as root or `user` is empty), signals other than SIGKILL ignored (only the supervisor
 * is signalled, by a terminal's Ctrl-C and service managers too), stdin from /dev/null, and only the
 * descriptors of its arguments. It ends by returning an exit status. Its lines on stderr begin with
 * "boxedge[role]: " (process_log).
 */
#ifndef BOXEDGE_PROCESS_H
#define BOXEDGE_PROCESS_H

#include "conf.h"
#include "ipc.h"
#include "shm.h"
#include "tls.h"

/* How often a process writes its heartbeat, in ms. */
#define PROCESS_HEARTBEAT_MS 250
/* Listeners in a configuration, at most (their descriptors travel in one message). */
#define PROCESS_LISTENERS_MAX 64

/* Types of messages. `value` is 0 and there are no bytes and no descriptors where nothing is said. */
typedef enum process_message {
    PROCESS_READY = 1,     /* to the supervisor: this process serves */
    PROCESS_CONF,          /* to all: a new configuration. value: its generation. Descriptors: [0] its text
                              (process_conf_read); for workers then [1] PEMs for clients (process_pems_read),
                              [2] PEMs for origins, and one listening socket for each listener, in order */
    PROCESS_CONF_DONE,     /* to the supervisor: the swap took place. value: the generation */
    PROCESS_LOG,           /* to workers: write access lines to descriptor [0] from now on; none: nowhere */
    PROCESS_DRAIN,         /* to workers and the controller: finish and end. value 1: the listening sockets
                              live on in another edge, which takes what waits in their queues; the
                              controller to the supervisor: drain everything, as SIGTERM does */
    PROCESS_RELOAD,        /* controller to supervisor: reload, as SIGHUP does */
    PROCESS_RELOAD_RESULT, /* to the controller. value: 1 done, 0 refused; bytes: what is wrong, as lines */
    PROCESS_PEER,          /* to the controller: descriptor [0] is the channel to worker `value`; to a
                              worker and to the runner: descriptor [0] is the channel to the controller */
    PROCESS_RUNNER,        /* to the controller: descriptor [0] is the channel to the runner; what is said
                              there is in runner_message.h */
    PROCESS_WORKER_DIED,   /* to the controller: worker `value` died (reap its reader slots) */
    PROCESS_TUNNELS,       /* controller to workers: end open tunnels, of which bytes are
                              "preview <id>-<port>": those that a version of the preview below `value` let in;
                              "previews": those whose preview is no more what let them in (sent for messages
                              that were lost); "blocks": those that are blocked now */
    /* Of waking (wake.h, waker.h). Any of these may be lost: each is said again as long as it matters. */
    PROCESS_WAKE,       /* worker to controller: requests wait for bytes "<id>-<port>" */
    PROCESS_WAKE_STAGE, /* controller to workers: bytes "<id>-<port>"; value: wake_stage_pack */
    PROCESS_WOKEN,  /* controller to workers: the end of it. value: wake_result_t; bytes: wake_answer_write */
    PROCESS_BOXES,  /* controller to workers: states of boxes changed in the store */
    PROCESS_ACTIVE, /* worker to controller: bytes are ids, each with '\n', that hold or were active in the
                       last second */
    PROCESS_PLACE,  /* worker to controller, and on to all workers: a place became free at upstream `value`,
                       for  which others wait */
    PROCESS_PREVIEW, /* worker to controller: bytes are a preview_call_t (preview_message.h), value: a number
                        of the worker's */
    PROCESS_PREVIEW_DONE, /* controller to worker: bytes are the preview_answer_t, value: that number */
    PROCESS_LOOK,         /* worker to controller: the box that bytes name is oddly silent */
    PROCESS_LISTENING,    /* worker to controller: bytes "<id>-<port>" refused or closed a connection; value:
                             the box's generation. What listens in it, and what does its log say? */
    PROCESS_LISTENS,      /* controller to worker: listening_message.h; value: that generation */
    PROCESS_DELETION, /* worker to controller: bytes are a deletion_call_t (deletion_message.h), value: as for
                         PROCESS_PREVIEW, whose answer it has */
} process_message_t;

/* Everything is the callee's from here on, but `shm`. */
typedef struct worker_args {
    unsigned index;
    conf_t *conf; /* one reference */
    shm_t *shm;
    int supervisor_fd;
    int controller_fd;     /* -1: none yet, PROCESS_PEER brings one */
    int access_log_fd;     /* -1: off */
    const tls_pem_t *pems; /* lives through worker_run; one for each certificate */
    size_t pem_count;
    const tls_pem_t *origin_pems; /* the same; one for each upstream */
    const int *listen_fds;        /* one for each of conf->listeners, in order; listening, non-blocking */
} worker_args_t;

/* Serves until it is told to drain and has. Returns the exit status of the process. worker.c */
int worker_run(const worker_args_t *args);

typedef struct controller_args {
    conf_t *conf; /* one reference */
    shm_t *shm;
    int supervisor_fd;
    int worker_fds[SHM_WORKERS_MAX]; /* channels to the workers; -1: none yet, PROCESS_PEER brings one */
    bool runner_lives;               /* there is a runner since before: process boxes may be running */
    int admin_fd;                    /* Unix socket at conf->admin_socket, listening, non-blocking, 0660 */
} controller_args_t;

/*
 * Opens the store as its writer (directories exist: process_store_dirs), records the static boxes, bumps the
 * epoch, sends PROCESS_READY (workers are started after it), and serves the admin socket; writes its
 * heartbeat into shm_controller; answers PROCESS_CONF with PROCESS_CONF_DONE; ends on PROCESS_DRAIN and when
 * the supervisor's channel ends. controller.c
 */
int controller_run(const controller_args_t *args);

typedef struct runner_args {
    conf_t *conf; /* one reference */
    shm_t *shm;
    int supervisor_fd;
} runner_args_t;

/*
 * Starts, freezes and stops the process boxes of the configuration as the controller asks over the channel
 * that PROCESS_PEER brings (runner_message.h). Keeps the supervisor's rights. When it is told to drain, or
 * the supervisor is gone, it stops all boxes and returns. There is one only where the configuration has
 * process boxes. runner.c
 */
int runner_run(const runner_args_t *args);

/* The directories of the two stores: "<state_dir>/store" and "<run_dir>/store"; both are made by the
 * supervisor. False where a path is too long. */
MUST_USE bool process_store_dirs(const conf_t *conf, char *durable, char *volatile_dir, size_t len);

/* The configuration in a descriptor of PROCESS_CONF: parsed, one reference; NULL with a sentence. Does not
 * close `fd`. */
conf_t *process_conf_read(int fd, char *error, size_t error_len);
/* The other direction: a sealed memory file (memfile.h); -1 with errno. */
int process_conf_write(const char *path, str_t text);
/* PEMs into a sealed memory file and back (-1 with errno). They are secret: freed with process_pems_free,
 * which cleanses. */
int process_pems_write(const tls_pem_t *pems, size_t count);
MUST_USE bool process_pems_read(int fd, tls_pem_t **pems, size_t *count);
void process_pems_free(tls_pem_t **pems, size_t count);

#endif
