/* The docker provider with an engine that the test plays (docker_engine.h), and what it told. */
#ifndef BOXEDGE_DOCKER_WORLD_H
#define BOXEDGE_DOCKER_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>

#include "docker_engine.h"
#include "docker_impl.h"

#define STORM 1000

/* What was told of a box. */
typedef struct told {
    provider_box_t box; /* the last of it */
    unsigned count, renewed;
    unsigned sync;    /* the listing that had it */
    unsigned answers; /* of resumes */
    provider_result_t result;
    char sentence[256];
    bool resume_again; /* asked for from within the answer */
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
    bool within; /* resume, pause or look is being called */
} world_t;

static inline told_t *of(world_t *world, const char *id)
{
    for (unsigned i = 0; i < world->told_count; i++)
        if (strcmp(world->told[i].box.id, id) == 0)
            return &world->told[i];
    assert_true(world->told_count < sizeof(world->told) / sizeof(world->told[0]));
    told_t *told = &world->told[world->told_count++];
    snprintf(told->box.id, sizeof(told->box.id), "%s", id);
    return told;
}

static inline void on_box(void *owner, provider_t *provider, const provider_box_t *box)
{
    world_t *world = owner;
    assert_ptr_equal(provider, world->provider);
    assert_false(world->within);
    told_t *told = of(world, box->id);
    told->box = *box;
    told->count++;
    told->renewed += box->renewed;
    told->sync = world->begun;
}

static inline void on_sync_began(void *owner, provider_t *provider)
{
    world_t *world = owner;
    (void)provider;
    assert_int_equal(world->begun++, world->ended);
}

static inline void on_sync_ended(void *owner, provider_t *provider)
{
    world_t *world = owner;
    (void)provider;
    assert_int_equal(world->begun, ++world->ended);
}

static inline void resume(world_t *world, const char *id)
{
    world->within = true;
    world->provider->resume(world->provider, str_from(id));
    world->within = false;
}

static inline void on_resumed(void *owner, provider_t *provider, str_t id, provider_result_t result,
                              const char *sentence)
{
    world_t *world = owner;
    char name[BOX_ID_MAX + 1];
    (void)provider;
    assert_false(world->within);
    snprintf(name, sizeof(name), "%.*s", STR_ARG(id));
    told_t *told = of(world, name);
    told->answers++;
    told->result = result;
    snprintf(told->sentence, sizeof(told->sentence), "%s", sentence != NULL ? sentence : "");
    if (told->resume_again)
        resume(world, name);
    told->resume_again = false;
}

static const provider_handlers_t handlers = {
    .box = on_box, .sync_began = on_sync_began, .sync_ended = on_sync_ended, .resumed = on_resumed};

static inline int setup(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    world_t *world = calloc(1, sizeof(*world));
    world->loop = loop_new();
    world->fetcher = fetcher_new(world->loop);
    world->engine = engine_new();
    world->conf.docker.socket = world->engine->path;
    world->conf.docker.label = (char *)(uintptr_t) "boxedge";
    *state = world;
    return 0;
}

static inline int teardown(void **state)
{
    world_t *world = *state;
    if (world->provider != NULL)
        world->provider->free(world->provider);
    fetcher_free(&world->fetcher);
    loop_free(&world->loop);
    if (!world->engine->stopping)
        engine_end(world->engine);
    engine_free(&world->engine);
    free(world);
    return 0;
}

/* Turns while `condition` does not hold; a generous bound ends a test that would hang. */
#define WAIT(world, condition)                                                                               \
    do {                                                                                                     \
        uint64_t wait_end = loop_precise_us() + 30000000;                                                    \
        while (!(condition) && loop_precise_us() < wait_end)                                                 \
            loop_turn((world)->loop, 100);                                                                   \
        assert_true(condition);                                                                              \
    } while (0)

/* The same while time goes by: what waits for a timer need not be waited for. */
#define PASS(world, condition)                                                                               \
    do {                                                                                                     \
        uint64_t pass_end = loop_precise_us() + 30000000;                                                    \
        while (!(condition) && loop_precise_us() < pass_end) {                                               \
            loop_skip((world)->loop, 500);                                                                   \
            loop_turn((world)->loop, 10);                                                                    \
        }                                                                                                    \
        assert_true(condition);                                                                              \
    } while (0)

static inline docker_t *docker_of(world_t *world)
{
    return H2O_STRUCT_FROM_MEMBER(docker_t, provider, world->provider);
}

/* With all boxes told, and nothing under way any more. */
static inline void begin(world_t *world)
{
    world->provider = provider_docker_new(world->loop, world->fetcher, &world->conf, &handlers, world);
    PASS(world,
         world->ended == 1 && world->engine->strays > 0 && docker_engine_busy(docker_of(world)->engine) == 0);
}

static inline engine_container_t *add(world_t *world, const char *box, const char *status)
{
    engine_lock(world->engine);
    engine_container_t *container = engine_add(world->engine, box, status);
    engine_event(world->engine, container, "create");
    engine_unlock(world->engine);
    return container;
}

static inline void set(world_t *world, engine_container_t *container, const char *status, const char *action)
{
    engine_lock(world->engine);
    engine_set(world->engine, container, status, action);
    engine_unlock(world->engine);
}

static inline void take_away(world_t *world, engine_container_t *container)
{
    engine_lock(world->engine);
    engine_remove(world->engine, container);
    engine_unlock(world->engine);
}

/* The box's resume waits before it looks again: that time is over. */
static inline void end_change(world_t *world, const char *id)
{
    const docker_box_t *box = docker_find_box(docker_of(world), str_from(id));
    if (box != NULL && box->resume == RESUME_CHANGE)
        loop_skip(world->loop, 250);
}

/* Turns until resumes of the box have been answered so often. */
static inline void await_answers(world_t *world, const char *id, unsigned answers)
{
    uint64_t end = loop_precise_us() + 30000000;
    while (of(world, id)->answers < answers && loop_precise_us() < end) {
        end_change(world, id);
        loop_turn(world->loop, 100);
    }
    assert_int_equal(of(world, id)->answers, answers);
}

/* Resumes the box, and expects `result`. */
static inline const told_t *resume_and_wait(world_t *world, const char *id, provider_result_t result)
{
    told_t *told = of(world, id);
    unsigned answers = told->answers;
    resume(world, id);
    await_answers(world, id, answers + 1);
    assert_int_equal(told->result, result);
    return told;
}

#endif
