#include "docker_world.h"

#include "list.h"

told_t *of(world_t *world, const char *id)
{
    for (unsigned i = 0; i < world->told_count; i++)
        if (strcmp(world->told[i].box.id, id) == 0)
            return &world->told[i];
    assert_true(world->told_count < sizeof(world->told) / sizeof(world->told[0]));
    told_t *told = &world->told[world->told_count++];
    snprintf(told->box.id, sizeof(told->box.id), "%s", id);
    return told;
}

static void on_box(void *owner, provider_t *provider, const provider_box_t *box)
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

static void on_sync_began(void *owner, provider_t *provider)
{
    world_t *world = owner;
    (void)provider;
    assert_int_equal(world->begun++, world->ended);
}

static void on_sync_ended(void *owner, provider_t *provider)
{
    world_t *world = owner;
    (void)provider;
    assert_int_equal(world->begun, ++world->ended);
}

void docker_world_resume(world_t *world, const char *id)
{
    world->within = true;
    world->provider->resume(world->provider, str_from(id));
    world->within = false;
}

static void on_resumed(void *owner, provider_t *provider, str_t id, provider_result_t result,
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
        docker_world_resume(world, name);
    told->resume_again = false;
}

const provider_handlers_t docker_world_handlers = {
    .box = on_box, .sync_began = on_sync_began, .sync_ended = on_sync_ended, .resumed = on_resumed};

int docker_world_setup(void **state)
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

int docker_world_teardown(void **state)
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

docker_t *docker_of(world_t *world)
{
    return CONTAINER_OF(docker_t, provider, world->provider);
}

void docker_world_begin(world_t *world)
{
    world->provider =
        provider_docker_new(world->loop, world->fetcher, &world->conf, &docker_world_handlers, world);
    PASS(world, world->ended == 1 && docker_engine_busy(docker_of(world)->engine) == 0);
    docker_world_await_stream(world);
}

void docker_world_await_stream(world_t *world)
{
    const docker_t *docker = docker_of(world);
    assert_true(docker->sync == SYNC_DONE && docker_engine_busy(docker->engine) == 0);
    engine_lock(world->engine);
    unsigned strays = world->engine->strays;
    engine_stray(world->engine);
    engine_unlock(world->engine);
    WAIT(world, world->engine->strays > strays && docker_engine_busy(docker->engine) == 0);
}

engine_container_t *add(world_t *world, const char *box, const char *status)
{
    engine_lock(world->engine);
    engine_container_t *container = engine_add(world->engine, box, status);
    engine_event(world->engine, container, "create");
    engine_unlock(world->engine);
    return container;
}

void set(world_t *world, engine_container_t *container, const char *status, const char *action)
{
    engine_lock(world->engine);
    engine_set(world->engine, container, status, action);
    engine_unlock(world->engine);
}

void take_away(world_t *world, engine_container_t *container)
{
    engine_lock(world->engine);
    engine_remove(world->engine, container);
    engine_unlock(world->engine);
}

void end_change(world_t *world, const char *id)
{
    const docker_box_t *box = docker_find_box(docker_of(world), str_from(id));
    if (box != NULL && box->resume == RESUME_CHANGE)
        loop_skip(world->loop, 250);
}

void await_answers(world_t *world, const char *id, unsigned answers)
{
    uint64_t end = loop_precise_us() + 30000000;
    while (of(world, id)->answers < answers && loop_precise_us() < end) {
        end_change(world, id);
        loop_turn(world->loop, 100);
    }
    assert_int_equal(of(world, id)->answers, answers);
}

const told_t *resume_and_wait(world_t *world, const char *id, provider_result_t result)
{
    told_t *told = of(world, id);
    unsigned answers = told->answers;
    docker_world_resume(world, id);
    await_answers(world, id, answers + 1);
    assert_int_equal(told->result, result);
    return told;
}
