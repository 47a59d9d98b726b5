/*
 * The controller's end of the channel to the runner: questions with answers, and the runner's reports of
 * boxes. While the runner is missing, requests fail; the listener gets `up` with the next one.
 */
#ifndef BOXEDGE_RUNNER_CLIENT_H
#define BOXEDGE_RUNNER_CLIENT_H

#include "loop.h"
#include "runner_message.h"

typedef struct runner_client runner_client_t;

/* Maximum number of waiting questions. */
#define RUNNER_CLIENT_QUESTIONS_MAX 4096
/* Time limit for an answer: a box may have to stop (10 s) before its start. */
#define RUNNER_CLIENT_ANSWER_MS 20000

typedef struct runner_answer {
    runner_result_t result;
    const char *sentence; /* for people; not NULL unless RUNNER_OK */
    str_t log;            /* of RUNNER_LOG */
    uint64_t log_end;     /* of RUNNER_LOG: the next position */
} runner_answer_t;

typedef void (*runner_answered_t)(void *arg, const runner_answer_t *answer);

typedef struct runner_client_handlers {
    /* A runner is connected, perhaps a new one. */
    void (*up)(void *owner);
    /* The runner and its boxes are gone. Waiting questions get RUNNER_LOST after this. */
    void (*down)(void *owner);
    void (*box)(void *owner, const runner_status_t *status);
    /* The answer to runner_client_list is complete. */
    void (*listed)(void *owner);
} runner_client_handlers_t;

/* `loop` must outlive it. */
runner_client_t *runner_client_new(loop_t *loop);
/* Drops all questions without an answer; nulls. */
void runner_client_free(runner_client_t **client);
/* Sets the listener; NULL: none. It gets `up` at the next turn if a runner is connected. */
void runner_client_listen(runner_client_t *client, const runner_client_handlers_t *handlers, void *owner);
/* Sets the channel; takes over `*fd` and sets it to -1. */
void runner_client_take(runner_client_t *client, int *fd);

/*
 * Sends RUNNER_START, RUNNER_STOP, RUNNER_FREEZE, RUNNER_LINE or RUNNER_LOG (`from`: the first position) for
 * a box. False if impossible now; else `done` (NULL: none) is called once, never from within.
 */
MUST_USE bool runner_client_request(runner_client_t *client, runner_message_t what, str_t id, uint64_t from,
                                    runner_answered_t done, void *arg);
/* Drops the questions with this `arg` without an answer. */
void runner_client_forget(runner_client_t *client, const void *arg);
/* Requests the state of one box, or of all: the handlers get it. */
void runner_client_look(runner_client_t *client, str_t id);
void runner_client_list(runner_client_t *client);

#endif
