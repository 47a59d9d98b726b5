/*
 * A process box of the runner: the shared parts of its files. For runner_box.c and runner_box_handover.c
 * only.
 */
#ifndef BOXEDGE_RUNNER_BOX_INTERNAL_H
#define BOXEDGE_RUNNER_BOX_INTERNAL_H

#include "channel.h"
#include "readable.h"
#include "runner_box.h"

typedef struct question {
    uint64_t number;
    bool is_start; /* otherwise it waits for the end */
} question_t;

struct runner_box {
    loop_t *loop;
    conf_t *conf;                  /* keeps `process` alive */
    const conf_process_t *process; /* parameters of the next start */
    const runner_box_handlers_t *handlers;
    void *owner;
    runner_state_t state;
    uint64_t life;
    uint64_t since_ms; /* of RUNNER_WAITING: its beginning; from RUNNER_RUNNING on: the time of the start */
    pid_t command;
    bool loopback6;
    bool settled;                          /* of RUNNER_RUNNING: it counts as started */
    bool start_next;                       /* of RUNNER_STOPPING: start it again afterwards */
    bool ended;                            /* BOX_INIT_ENDED arrived */
    int status;                            /* of waitpid, with `ended` */
    char failure[RUNNER_SENTENCE_MAX + 1]; /* reason why it was not started */
    pid_t box_init;
    pid_t lost_box_init; /* died before its box, and perhaps left a control group; 0: none */
    unsigned lost_tries;
    channel_t *channel; /* to the box init; NULL: none */
    readable_t *output;
    int output_fd; /* owned by `output` */
    box_log_t *log;
    loop_timer_t timer; /* the next check of the ports */
    loop_timer_t rest;  /* runs while reading pauses */
    question_t questions[RUNNER_BOX_QUESTIONS_MAX];
    size_t question_count;
};

/* Takes over the descriptors of the box init's channel, and of the box's output (-1: none). It reads no
 * output before readable_start. */
void runner_box_connect(runner_box_t *box, int channel_fd, int output_fd);
/* Looks at the ports of a running box, now and for a while; `timer` is box->timer. */
void runner_box_look_again(loop_timer_t *timer);

#endif
