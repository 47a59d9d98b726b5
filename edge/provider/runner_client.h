/*
 * The controller's end of the channel to the runner: questions with their answers, and what the runner tells
 * of boxes. There may be no runner for a while: then nothing can be asked, and those who listen hear of the
 * next one.
 */
#ifndef BOXEDGE_RUNNER_CLIENT_H
#define BOXEDGE_RUNNER_CLIENT_H

#include "loop.h"
#include "runner_message.h"

typedef struct runner_client runner_client_t;

/* Questions that wait for an answer, at most. */
#define RUNNER_LINK_QUESTIONS_MAX 4096
/* How long an answer may take: a box may be stopped (10 s) before it is started. */
#define RUNNER_LINK_ANSWER_MS 20000

typedef struct runner_answer {
    runner_result_t result;
    const char *sentence; /* for people; never NULL where it is not RUNNER_OK */
    str_t log;            /* of RUNNER_LOG */
    uint64_t log_end;     /* of RUNNER_LOG: the position after it */
} runner_answer_t;

typedef void (*runner_answered_t)(void *arg, const runner_answer_t *answer);

typedef struct runner_client_handlers {
    /* There is a runner, maybe another than before. */
    void (*up)(void *owner);
    /* It is gone, and its boxes with it. Who waits is answered (RUNNER_LOST) after this. */
    void (*down)(void *owner);
    void (*box)(void *owner, const runner_status_t *status);
    /* The end of the answer to runner_client_list. */
    void (*listed)(void *owner);
} runner_client_handlers_t;

/* `loop` outlives it. */
runner_client_t *runner_client_new(loop_t *loop);
/* Nobody is answered any more; nulls. */
void runner_client_free(runner_client_t **link);
/* The one who hears of boxes; NULL: nobody. Told `up` at the next turn where there is a runner. */
void runner_client_listen(runner_client_t *link, const runner_client_handlers_t *handlers, void *owner);
/* The channel from now on; takes over `*fd` and sets it to -1. */
void runner_client_take(runner_client_t *link, int *fd);

/*
 * Asks RUNNER_START, RUNNER_STOP, RUNNER_FREEZE, RUNNER_LINE or RUNNER_LOG (`from`: the first position) about
 * a box. False where it cannot be asked now; else `done` (NULL: nobody waits) is called once, never from
 * within.
 */
MUST_USE bool runner_client_ask(runner_client_t *link, runner_message_t what, str_t id, uint64_t from,
                                runner_answered_t done, void *arg);
/* Those with this `arg` do not wait any more. */
void runner_client_forget(runner_client_t *link, const void *arg);
/* Asks for the state of one box, or of all: told by the handlers. */
void runner_client_look(runner_client_t *link, str_t id);
void runner_client_list(runner_client_t *link);

#endif
