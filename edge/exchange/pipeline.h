/*
 * The behaviour of an edge towards exchanges: the steps of each kind of listener, and the hooks that see an
 * exchange go by. The exchange names no feature; the tables (edge/worker/pipeline.c) do. They are constants:
 * nothing registers at run time.
 *
 * Each hook list ends with NULL and runs in its order. A list whose hooks return a bool stops at the first
 * false.
 */
#ifndef BOXEDGE_PIPELINE_H
#define BOXEDGE_PIPELINE_H

#include "exchange.h"

typedef struct pipeline pipeline_t;

typedef void (*exchange_hook_t)(exchange_t *ex);

typedef struct exchange_hooks {
    /* The head of a request is complete: the first look at it. */
    const exchange_hook_t *begin;
    /* Whether an exchange that has waited may continue. False: the hook has answered it. NULL: it may. */
    bool (*still_allowed)(exchange_t *ex);
    /* A connection for the exchange is ready, or none will come, and nothing was sent. False: the hook has
     * answered the exchange, or begun it again (origin_ops.again). */
    bool (*const *origin_connected)(exchange_t *ex);
    /* No connection to the origin could be made. */
    const exchange_hook_t *origin_unreachable;
    /* Whether connections that the exchange leaves may serve other exchanges. */
    bool (*const *may_pool)(const exchange_t *ex);
    /* The origin's final head has come, in EXCHANGE_ORIGIN. False: the hook has answered the exchange in its
     * place. */
    bool (*const *judge_head)(exchange_t *ex);
    /* The origin's head is about to go to the client; the hook may add fields to ex->response. The state is
     * EXCHANGE_RESPONSE or EXCHANGE_TUNNEL. */
    const exchange_hook_t *response_head;
    /* Whether the request's preview or API lists this origin, so that its pages may read answers of the edge
     * with credentials. NULL: no origin is listed. */
    bool (*lists_origin)(exchange_t *ex, str_t origin);
    /* The head of an answer of the edge itself is about to go. */
    const exchange_hook_t *local_head;
    /* Bytes of the client are about to go to the origin, after the request's head. */
    void (*const *request_body)(exchange_t *ex, str_t data);
    /* Bytes of the origin are about to go to the client. The hook may shorten `data`. False: the hook has
     * ended the exchange with a part of them. */
    bool (*const *response_body)(exchange_t *ex, str_t *data);
    /* The origin ended its direction (`failure` is NULL) or failed. False: the hook holds the
     * exchange (await_hold), and calls exchange_response_end or exchange_origin_failed again later. */
    bool (*const *origin_left)(exchange_t *ex, const origin_failure_t *failure);
    /* The origin failed, and an answer follows. */
    void (*const *failed)(exchange_t *ex, origin_failure_t failure);
    /* The edge prepares for its end (exchange_drain). */
    const exchange_hook_t *drain;
    /* The exchange is answered, cut or ends: gives back its claims and all that could call it. Idempotent. */
    const exchange_hook_t *leave;
    /* The exchange ends, after `leave`: the last look at it. */
    const exchange_hook_t *end;
} exchange_hooks_t;

struct pipeline {
    /* Steps of exchanges, by their listener; each list ends with {NULL, NULL}. */
    const exchange_step_t *preview, *redirect, *health;
    const exchange_step_t *api;          /* the host step switches to these on an API host */
    const exchange_step_t *api_upstream; /* the last of them, for requests of the edge itself */
    exchange_hooks_t hooks;
};

/* The product's pipeline. */
extern const pipeline_t edge_pipeline;
/* A pipeline without features, for contexts outside a worker: no steps, and no hook sees the exchange. */
extern const pipeline_t bare_pipeline;

#endif
