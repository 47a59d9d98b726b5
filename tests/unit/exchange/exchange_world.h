/* A world for tests of the exchange: a context without a process; the test plays both codecs. The client side
 * keeps slices as they are and copies them at the flush, like the codecs, so that the address sanitizer sees
 * a slice that did not live as long. No slice may wait when the exchange ends. */
#ifndef BOXEDGE_EXCHANGE_WORLD_H
#define BOXEDGE_EXCHANGE_WORLD_H

#include "context_fixture.h"

#include "exchange.h"
#include "step.h"

#define WORLD_SLICES 64
#define WORLD_OUT    (1 << 20)

typedef struct exchange_world {
    context_fixture_t *fixture;
    exchange_t *ex;
    step_result_t
        answer;    /* of the step: STEP_WAIT, or STEP_DONE with the request handed to the origin below */
    unsigned runs; /* of the step */

    /* The client's view. */
    size_t room;
    str_t staged[WORLD_SLICES];
    size_t staged_count;
    char *out;
    size_t out_n;
    unsigned heads, ends, cuts, resumes, asked_in_vain;
    unsigned informational[8], informational_count;

    /* The origin's view. */
    size_t origin_room;
    bool origin_sent;
    char taken[EXCHANGE_BODY_BYTES];
    size_t taken_n;
    unsigned origin_ends, origin_flushes, origin_resumes, cancels;
} exchange_world_t;

void world_flush(exchange_t *ex);
extern const client_ops_t world_client_ops;
extern const origin_ops_t world_origin_ops;
step_result_t world_step(exchange_t *ex);
extern const exchange_step_t world_steps[];

/* An exchange that has not started yet: a GET over HTTP/1.1. */
exchange_world_t *exchange_world_new(void);
/* The same with `fixture`, which it takes over. */
exchange_world_t *exchange_world_in(context_fixture_t *fixture);
void exchange_world_free(exchange_world_t *world);

/* The origin accepts a WebSocket. */
void world_open_tunnel(exchange_world_t *world);

/* The origin answers with a head and continues with a body. */
void world_respond(exchange_world_t *world);
void expect_out(exchange_world_t *world, str_t expected);

#endif
