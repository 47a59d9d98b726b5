/* The world of fuzz_exchange.c: a worker of the unit tests with its store, slots, places and wakes, and both
 * codecs of its exchanges, which assert their expectations. */
#ifndef FUZZ_EXCHANGE_WORLD_H
#define FUZZ_EXCHANGE_WORLD_H

#include "worker_fixture.h"

#include <assert.h>
#include <stdlib.h>

#include "activity.h"
#include "exchange.h"
#include "process.h"
#include "route.h"
#include "shm.h"
#include "slots.h"
#include "step.h"
#include "steps.h"
#include "store_fixture.h"
#include "subrequest.h"
#include "upstream_queue.h"
#include "wake.h"

#define FUZZ_CALLS 6
#define FUZZ_TAKEN (2 * FUZZ_CALLS)
/* Slices between two flushes. */
#define FUZZ_SLICES  64
#define FUZZ_WAIT_MS 10000
/* Until every wait has ended. */
#define FUZZ_ROUNDS   60
#define FUZZ_ROUND_MS 10000

/* The steps at which a request can wait, beside those of its box. */
enum { WAITS_WORLD = 1, WAITS_BODY = 2, WAITS_SUBREQUEST = 4, WAITS_LINE = 8, WAITS_AT_ONCE = 16 };

typedef struct fuzz_call {
    exchange_t *ex; /* NULL: none */
    unsigned waits;
    bool world_came, subrequest_came, in_line;
    upstream_waiter_t place;
    subrequest_t *subrequest;
    size_t room;
    str_t staged[FUZZ_SLICES]; /* until the flush */
    size_t staged_count;
    uint64_t length, got;
    unsigned heads, ends, cuts;
} fuzz_call_t;

/* The origin's own actions. */
enum { ORIGIN_FAILS_AT_ONCE = 1, ORIGIN_FAILS_AT_FLUSH = 2, ORIGIN_TALKS_ON = 4, ORIGIN_GOES_ELSEWHERE = 8 };

/* Of one exchange, in its arena. */
typedef struct fuzz_origin {
    unsigned nature;
    size_t room;
    bool took, ended;
} fuzz_origin_t;

typedef struct fuzz_world {
    context_fixture_t *fixture;
    worker_t *worker;
    conf_t *confs[2];
    fixture_t store;
    channel_t *channel;
    int controller;
    fuzz_call_t calls[FUZZ_CALLS];
    exchange_t *taken[FUZZ_TAKEN]; /* at the origin, or waiting for the world */
    size_t taken_count;
    unsigned nature; /* of the next origin */
    bool line_open;
    bool changed; /* the store */
    uint64_t generation;
} fuzz_world_t;

extern fuzz_world_t fuzz_world;

/* ---- codecs.c ---- */

extern const client_ops_t fuzz_client_ops;
extern const origin_ops_t fuzz_origin_ops;
void fuzz_take(exchange_t *ex);
void fuzz_forget(exchange_t *ex);
fuzz_origin_t *fuzz_origin_of(const exchange_t *ex);
/* The origin's actions on an exchange that it has. */
void fuzz_origin_fails(exchange_t *ex, origin_failure_t failure);
void fuzz_origin_head(exchange_t *ex, uint8_t kind);
void fuzz_origin_sends(exchange_t *ex, size_t n);
void fuzz_origin_ends(exchange_t *ex);

/* ---- steps.c ---- */

extern const exchange_step_t fuzz_steps[];
extern const await_source_t fuzz_subrequest_source;
/* An exchange that waits for the world continues. */
void fuzz_comes(exchange_t *ex);

/* ---- world.c ---- */

void fuzz_world_new(void);
/* Before and after each input. */
void fuzz_begin(void);
void fuzz_end(void);
void fuzz_end_call(fuzz_call_t *call, exchange_end_t how);
void fuzz_turn(void);
/* The invariants. */
void fuzz_check(void);
void fuzz_put_box(box_state_t state, unsigned more);
void fuzz_put_preview(bool bearer);
void fuzz_set_block(store_block_kind_t kind, const char *text, bool on);

#endif
