/*
 * Calls to the control plane, with its address and token. A bounded number is under way, and a bounded queue
 * holds the others in order. Failures are retried if that makes sense; an open breaker stops all calls.
 * provider_http.c makes the calls.
 */
#ifndef BOXEDGE_CONTROL_CALLS_H
#define BOXEDGE_CONTROL_CALLS_H

#include "breaker.h"
#include "conf.h"
#include "fetch.h"
#include "loop.h"
#include "random_id.h"
#include "str.h"

/* Maximum calls under way, and calls in all, with those that wait for their turn or a retry. */
#define CONTROL_FLYING_MAX 32
#define CONTROL_CALLS_MAX  8192
/* Maximum bytes of a path after the base. */
#define CONTROL_PATH_MAX 96

typedef struct control_calls control_calls_t;
typedef struct control_call control_call_t;

typedef struct control_request {
    const char *method;
    const char *path; /* after the base, at most CONTROL_PATH_MAX bytes */
    str_t body;
    unsigned tries;    /* maximum; each has the configured time limit */
    uint64_t until_ms; /* deadline of all tries, in the time of loop_now */
} control_request_t;

typedef struct control_answer {
    int status;           /* 2xx, 3xx or 4xx (but not 429); 0: no answer */
    str_t body;           /* valid during the handler */
    const char *sentence; /* for status 0: the reason, without secrets; valid during the handler */
} control_answer_t;

/* Ends a call, once. Returns false for an answer against the contract, which counts as a failure of the
 * control plane. */
typedef bool control_done_t(void *owner, const control_answer_t *answer);

/* `fetcher` must outlive it; `conf` must be valid until control_calls_set_conf. */
control_calls_t *control_calls_new(loop_t *loop, fetcher_t *fetcher, random_source_t *random,
                                   const conf_t *conf);
/* Cancels all calls, without `done`, and nulls. */
void control_calls_free(control_calls_t **calls);
/* Also rereads the token's file. */
void control_calls_set_conf(control_calls_t *calls, const conf_t *conf);

/* Never calls back from within. NULL if CONTROL_CALLS_MAX are open. `done` may make and cancel calls. */
MUST_USE control_call_t *control_call(control_calls_t *calls, const control_request_t *request,
                                      control_done_t *done, void *owner);
/* Cancels without `done`, and nulls. NULL is allowed. */
void control_call_cancel(control_call_t **call);

#endif
