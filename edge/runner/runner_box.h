/*
 * One process box in the runner: its keeper, its state, its log, and those who wait for something of it. It
 * starts only when it is asked to.
 */
#ifndef BOXEDGE_RUNNER_BOX_H
#define BOXEDGE_RUNNER_BOX_H

#include "box_log.h"
#include "conf.h"
#include "loop.h"
#include "runner_message.h"

/* How long a process must live to count as started where none of its ports listens sooner. */
#define RUNNER_BOX_SETTLE_MS 1000
/* How long a start waits for its ports while something else listens there. */
#define RUNNER_BOX_PORT_MS 3000
/* From SIGTERM to SIGKILL. */
#define RUNNER_BOX_GRACE_MS 10000
/* Questions about one box that wait at a time, at most. */
#define RUNNER_BOX_QUESTIONS_MAX 8

typedef struct runner_box runner_box_t;

typedef struct runner_box_handlers {
    /* Its status is another now. */
    void (*changed)(void *owner, runner_box_t *box);
    /* The one answer to a question; not for question 0. `sentence` may be NULL. */
    void (*answered)(void *owner, uint64_t question, runner_result_t result, const char *sentence);
    /* A keeper died before its box: what is left of that box are children of this process now. */
    void (*orphaned)(void *owner);
    /* It was stopped: nothing of it is left. The last call of its turn; may free the box. */
    void (*stopped)(void *owner, runner_box_t *box);
} runner_box_handlers_t;

/* `process` is one of `conf`, of which a reference is taken. */
runner_box_t *runner_box_new(loop_t *loop, const conf_t *conf, const conf_process_t *process,
                             const runner_box_handlers_t *handlers, void *owner);
/* Leaves its keeper to kill what runs, and nulls. Nobody is answered. */
void runner_box_free(runner_box_t **box);

/* How it is started from now on; what runs is stopped unless it was started that way. */
void runner_box_set_conf(runner_box_t *box, const conf_t *conf, const conf_process_t *process);

/* Each is answered, once, by `answered`, maybe from within. */
void runner_box_start(runner_box_t *box, uint64_t question);
void runner_box_stop(runner_box_t *box, uint64_t question);
void runner_box_freeze(runner_box_t *box, uint64_t question);

const char *runner_box_id(const runner_box_t *box);
void runner_box_status(const runner_box_t *box, runner_status_t *out);
/* There is no process, and none is about to be. */
bool runner_box_is_stopped(const runner_box_t *box);
/* After `orphaned`: true once the control group of the dead keeper is gone. */
MUST_USE bool runner_box_clean_up(runner_box_t *box);
/* The keeper's process id; 0: none. */
pid_t runner_box_keeper(const runner_box_t *box);
/* The line of its output that best explains why it does not serve, including output that was not read before;
 * cut to fit `len`. Empty where there is none. */
void runner_box_last_line(runner_box_t *box, char *out, size_t len);
/* Valid as long as the box. */
const box_log_t *runner_box_log(const runner_box_t *box);

#endif
