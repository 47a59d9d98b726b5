/* The world of test exchanges (exchange_world.h) with a box that sleeps: the wake step, with the test in the
 * place of the controller and, after the step, of the box. */
#ifndef BOXEDGE_WAKE_WORLD_H
#define BOXEDGE_WAKE_WORLD_H

#include "worker_fixture.h"

#include "access.h"
#include "process.h"
#include "wake.h"

typedef struct wake_world {
    exchange_world_t *world; /* its exchange has not started; wake_world_next makes another */
    worker_t *worker;
    channel_t *channel;
    int controller; /* the controller's end of the channel */
    _Atomic uint64_t epoch;
} wake_world_t;

void wake_world_prepare(exchange_t *ex);
wake_world_t *wake_world_new(void);

/* Ends the present exchange and makes another. */
exchange_t *wake_world_next(wake_world_t *w);
void wake_world_free(wake_world_t *w);

/* The worker's last question to the controller about `box-3000`: a wake_wish_t, or -1 for none. */
int wake_world_asked(wake_world_t *w);
void wake_world_stage(wake_world_t *w, wake_stage_t stage, uint64_t elapsed_ms);
void wake_world_ends(wake_world_t *w, wake_result_t result, const wake_answer_t *answer);

/* The box runs, and the controller reports it. */
void wake_world_runs(wake_world_t *w, const wake_answer_t *answer);

/* `ms` pass; due timers run. */
void wake_world_skip(wake_world_t *w, uint64_t ms);
void wake_world_field(exchange_t *ex, const char *name, const char *value);

/* A field of the answer; an empty slice if absent. */
str_t wake_world_got(const exchange_t *ex, const char *name);
bool wake_world_body_has(const wake_world_t *w, const char *text);

#endif
