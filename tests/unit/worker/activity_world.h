/* A worker with exchanges whose boxes can sleep (exchange_world.h), a store, and the test in the controller's
 * place. Time is a parameter: `turn` advances it. */
#ifndef BOXEDGE_ACTIVITY_WORLD_H
#define BOXEDGE_ACTIVITY_WORLD_H

#include "worker_fixture.h"

#include <unistd.h>

#include "activity.h"
#include "activity_internal.h"
#include "origin_pool.h"
#include "process.h"
#include "shm.h"
#include "store.h"
#include "store_fixture.h"
#include "tunnel.h"

typedef struct world {
    fixture_t store;
    context_fixture_t *fixture;
    activity_t *activity;
    uint64_t now;
    channel_t *channel;
    bool polls;         /* exchanges ask not to wake */
    const char *method; /* of cross-origin exchanges; NULL: they are none */
    int controller;     /* its end of the channel */
} world_t;

void connect_controller(world_t *w);
void disconnect_controller(world_t *w);

/* The store's record of the box, and a bump of the epoch. */
store_box_t put_box(world_t *w, const char *id, box_state_t state, uint64_t generation);
int activity_world_setup(void **state);
int activity_world_teardown(void **state);

/* An exchange that went to the box with the store's present record, and waits for its answer. */
exchange_world_t *activity_world_begin(world_t *w, const char *id, bool websocket);
void end(exchange_world_t **x);
void respond(exchange_world_t *x, str_t content_type);
void accept_websocket(exchange_world_t *x);
void from_box(exchange_world_t *x, str_t data);
void from_client(exchange_world_t *x, str_t data);
void turn(world_t *w, uint64_t ms);

/* The next message; 0: none. */
uint32_t hear(world_t *w, char *bytes);
void expect_message(world_t *w, uint32_t type, const char *bytes);
void expect_silence(world_t *w);

/* Whether the box is reported as active within the next second. */
bool is_active(world_t *w);

/* A masked frame of `n` bytes, at most 65535. */
str_t frame(char *out, unsigned opcode, size_t n);
void expect_code(exchange_world_t *x, int status, const char *code);
void expect_untouched(exchange_world_t *x);

#endif
