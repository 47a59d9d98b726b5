/*
 * Calls to the control plane: where it is and with which token, a bounded number under way, further ones in a
 * bounded queue in their order, tried again where that makes sense, and none at all while the breaker is
 * open. What the calls are about is provider_http.c.
 */
#ifndef BOXEDGE_CONTROL_CALLS_H
#define BOXEDGE_CONTROL_CALLS_H

#include "breaker.h"
#include "conf.h"
#include "fetch.h"
#include "loop.h"
#include "random_id.h"
#include "str.h"

/* Calls under way at once, and calls in all: with those that wait for their turn or to be tried again. */
#define CONTROL_FLYING_MAX 32
#define CONTROL_CALLS_MAX  8192
/* Bytes of a path after the base. */
#define CONTROL_PATH_MAX 96

typedef struct control_calls control_calls_t;
typedef struct control_call control_call_t;

typedef struct control_request {
    const char *method;
    const char *path; /* after the base, at most CONTROL_PATH_MAX bytes */
    str_t body;
    unsigned tries;    /* at most so many; each takes the configured time at most */
    uint64_t until_ms; /* all of them, loop_now's clock */
} control_request_t;

typedef struct control_answer {
    int status;           /* 2xx, 3xx or 4xx (but not 429); 0: none was to be had */
    str_t body;           /* valid during the handler */
    const char *sentence; /* where status is 0: why, for everybody; valid during the handler */
} control_answer_t;

/* The end of a call, once. Returns false where an answer was not by the contract, which counts as a failure
 * of the control plane. */
typedef bool control_done_t(void *owner, const control_answer_t *answer);

/* `fetcher` outlives it; `conf` is valid until control_calls_set_conf. */
control_calls_t *control_calls_new(loop_t *loop, fetcher_t *fetcher, random_source_t *random,
                                   const conf_t *conf);
/* Gives up what is under way, without a word, and nulls. */
void control_calls_free(control_calls_t **calls);
/* Also reads the token's file again. */
void control_calls_set_conf(control_calls_t *calls, const conf_t *conf);

/* Never calls back from within. NULL where there are CONTROL_CALLS_MAX. `done` may make and give up calls. */
MUST_USE control_call_t *control_call(control_calls_t *calls, const control_request_t *request,
                                      control_done_t *done, void *owner);
/* No `done`; nulls. NULL is allowed. */
void control_call_cancel(control_call_t **call);

#endif
