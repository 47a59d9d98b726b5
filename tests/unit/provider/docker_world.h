/* The docker provider with an engine that the test plays (docker_engine.h), and the provider's reports. */
#ifndef BOXEDGE_DOCKER_WORLD_H
#define BOXEDGE_DOCKER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>

#include "docker_engine.h"
#include "docker_internal.h"

#define STORM 1000

/* The reports on a box. */
typedef struct told {
    provider_box_t box; /* the last one */
    unsigned count, renewed;
    unsigned sync;    /* the listing that contained it */
    unsigned answers; /* of resumes */
    provider_result_t result;
    char sentence[256];
    bool resume_again; /* requested from within the answer */
} told_t;

typedef struct world {
    loop_t *loop;
    fetcher_t *fetcher;
    engine_t *engine;
    provider_t *provider;
    conf_t conf;
    told_t told[STORM + 20];
    unsigned told_count;
    unsigned begun, ended;
    bool within; /* a call of docker_world_resume, pause or look is under way */
} world_t;

told_t *of(world_t *world, const char *id);
void docker_world_resume(world_t *world, const char *id);
extern const provider_handlers_t docker_world_handlers;
int docker_world_setup(void **state);
int docker_world_teardown(void **state);

/* Turns while `condition` does not hold; a generous bound ends a test that would hang. */
#define WAIT(world, condition)                                                                               \
    do {                                                                                                     \
        uint64_t wait_end = loop_precise_us() + 30000000;                                                    \
        while (!(condition) && loop_precise_us() < wait_end)                                                 \
            loop_turn((world)->loop, 100);                                                                   \
        assert_true(condition);                                                                              \
    } while (0)

/* The same with a moving clock: waits for a timer take no time. */
#define PASS(world, condition)                                                                               \
    do {                                                                                                     \
        uint64_t pass_end = loop_precise_us() + 30000000;                                                    \
        while (!(condition) && loop_precise_us() < pass_end) {                                               \
            loop_skip((world)->loop, 500);                                                                   \
            loop_turn((world)->loop, 10);                                                                    \
        }                                                                                                    \
        assert_true(condition);                                                                              \
    } while (0)

docker_t *docker_of(world_t *world);

/* With all boxes reported, and no call under way any more. */
void docker_world_begin(world_t *world);

/* After a listing, with no call under way: waits until the provider has read the beginning of its present
 * stream of events and all resulting inspections are answered. Several tries leave several streams, and the
 * engine may answer the last one after the listing, so a count of streams does not distinguish them. */
void docker_world_await_stream(world_t *world);
engine_container_t *add(world_t *world, const char *box, const char *status);
void set(world_t *world, engine_container_t *container, const char *status, const char *action);
void take_away(world_t *world, engine_container_t *container);

/* The resume's pause before its next look is over. */
void end_change(world_t *world, const char *id);

/* Turns until that many resumes of the box have been answered. */
void await_answers(world_t *world, const char *id, unsigned answers);

/* Resumes the box, and expects `result`. */
const told_t *resume_and_wait(world_t *world, const char *id, provider_result_t result);

#endif
