/*
 * One process box in the runner: its box init, its state, its log, and its open questions. It starts
 * only on request.
 */
#ifndef BOXEDGE_RUNNER_BOX_H
#define BOXEDGE_RUNNER_BOX_H

#include "box_log.h"
#include "boxes_message.h"
#include "conf.h"
#include "loop.h"

/* Minimum life of a process that counts as started if none of its ports listens sooner. */
#define RUNNER_BOX_SETTLE_MS 1000
/* Maximum wait of a start while another process listens on its ports. */
#define RUNNER_BOX_PORT_MS 3000
/* From SIGTERM to SIGKILL. */
#define RUNNER_BOX_GRACE_MS 10000
/* Maximum open questions about one box. */
#define RUNNER_BOX_QUESTIONS_MAX 8

typedef struct runner_box runner_box_t;

typedef struct runner_box_handlers {
    /* The box's status has changed. */
    void (*changed)(void *owner, runner_box_t *box);
    /* The one answer to a question; not for question 0. `sentence` may be NULL. */
    void (*answered)(void *owner, uint64_t question, runner_result_t result, const char *sentence);
    /* A box init died before its box: the box's remaining processes are now children of this process. */
    void (*orphaned)(void *owner);
    /* The box was stopped, and its processes have ended. The last call of its turn; the owner may
     * free the box. */
    void (*stopped)(void *owner, runner_box_t *box);
} runner_box_handlers_t;

/* The process of `conf` with this id, or NULL. */
const conf_process_t *runner_box_find_process(const conf_t *conf, const char *id);
/* `process` is one of `conf`, of which a reference is taken. */
runner_box_t *runner_box_new(loop_t *loop, const conf_t *conf, const conf_process_t *process,
                             const runner_box_handlers_t *handlers, void *owner);
/* Leaves a running process to its box init, which kills it, and nulls. Open questions get no answer. */
void runner_box_free(runner_box_t **box);

/* Sets the parameters of the next start. Stops a running process unless it was started with the
 * same ones. */
void runner_box_set_conf(runner_box_t *box, const conf_t *conf, const conf_process_t *process);

/* Each question is answered once by `answered`, perhaps within the call. */
void runner_box_start(runner_box_t *box, uint64_t question);
void runner_box_stop(runner_box_t *box, uint64_t question);
void runner_box_freeze(runner_box_t *box, uint64_t question);

/*
 * An upgrade (boxes_message.h). A suspended box reads nothing and does nothing, also if its process ends. A
 * start that has no process yet is given up. The box is then handed on, and continued here or freed.
 */
void runner_box_suspend(runner_box_t *box);
/* Describes a suspended box that has a process. The descriptors stay the box's; log_fd is -1. */
void runner_box_handed(const runner_box_t *box, handed_box_t *out);
void runner_box_continue(runner_box_t *box);
/* The box as another process had it. `process` is the one that it was started with. Takes over the
 * descriptors of `handed`, and sets them to -1. */
runner_box_t *runner_box_adopt(loop_t *loop, const conf_t *conf, const conf_process_t *process,
                               handed_box_t *handed, const runner_box_handlers_t *handlers, void *owner);

const char *runner_box_id(const runner_box_t *box);
void runner_box_status(const runner_box_t *box, runner_status_t *out);
/* No process exists, and none is about to be started. */
bool runner_box_is_stopped(const runner_box_t *box);
/* After `orphaned`: returns true once the control group of the dead box init is gone. */
MUST_USE bool runner_box_clean_up(runner_box_t *box);
/* The box init's process id; 0: none. */
pid_t runner_box_box_init(const runner_box_t *box);
/* Writes the line of its output that best explains why it does not serve, cut to fit `len`; empty
 * for none. Reads pending output first. */
void runner_box_last_line(runner_box_t *box, char *out, size_t len);
/* Valid until the box is freed. */
const box_log_t *runner_box_log(const runner_box_t *box);

#endif
