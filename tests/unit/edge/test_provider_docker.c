/* Boxes that are containers: what is told of them, and how they are resumed and paused. */
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

static told_t *of(world_t *world, const char *id)
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

static void resume(world_t *world, const char *id)
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
        resume(world, name);
    told->resume_again = false;
}

static const provider_handlers_t handlers = {
    .box = on_box, .sync_began = on_sync_began, .sync_ended = on_sync_ended, .resumed = on_resumed};

static int setup(void **state)
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

static int teardown(void **state)
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

static docker_t *docker_of(world_t *world)
{
    return H2O_STRUCT_FROM_MEMBER(docker_t, provider, world->provider);
}

/* With all boxes told, and nothing under way any more. */
static void begin(world_t *world)
{
    world->provider = provider_docker_new(world->loop, world->fetcher, &world->conf, &handlers, world);
    WAIT(world,
         world->ended == 1 && world->engine->strays > 0 && docker_engine_busy(docker_of(world)->engine) == 0);
}

static engine_container_t *add(world_t *world, const char *box, const char *status)
{
    engine_lock(world->engine);
    engine_container_t *container = engine_add(world->engine, box, status);
    engine_event(world->engine, container, "create");
    engine_unlock(world->engine);
    return container;
}

static void set(world_t *world, engine_container_t *container, const char *status, const char *action)
{
    engine_lock(world->engine);
    engine_set(world->engine, container, status, action);
    engine_unlock(world->engine);
}

static void take_away(world_t *world, engine_container_t *container)
{
    engine_lock(world->engine);
    engine_remove(world->engine, container);
    engine_unlock(world->engine);
}

/* Resumes the box, and expects `result`. */
static const told_t *resume_and_wait(world_t *world, const char *id, provider_result_t result)
{
    told_t *told = of(world, id);
    unsigned answers = told->answers;
    resume(world, id);
    WAIT(world, told->answers > answers);
    assert_int_equal(told->answers, answers + 1);
    assert_int_equal(told->result, result);
    return told;
}

/* ---- what is told ---- */

static void a_listing_tells_every_box(void **state)
{
    world_t *world = *state;
    add(world, "a", "running");
    add(world, "b", "paused");
    add(world, "c", "exited");
    add(world, "", "running");
    add(world, "Not A Box", "running");
    begin(world);
    assert_int_equal(world->told_count, 3);
    assert_int_equal(of(world, "a")->box.state, BOX_RUNNING);
    assert_int_equal(of(world, "a")->box.address.s6_addr[15], 1);
    assert_int_equal(of(world, "a")->box.pid, 1000);
    assert_int_equal(of(world, "b")->box.state, BOX_PAUSED);
    assert_int_equal(of(world, "c")->box.state, BOX_PAUSED);
    for (unsigned i = 0; i < world->told_count; i++) {
        assert_int_equal(world->told[i].sync, 1); /* between sync_began and sync_ended */
        assert_int_equal(world->told[i].renewed, 0);
    }
    assert_int_equal(world->engine->streams, 1);
}

static void an_engine_without_boxes_is_listed_too(void **state)
{
    world_t *world = *state;
    begin(world);
    assert_int_equal(world->told_count, 0);
}

static void events_tell_what_changed(void **state)
{
    world_t *world = *state;
    engine_container_t *container = add(world, "a", "running");
    begin(world);
    told_t *told = of(world, "a");
    set(world, container, "paused", "pause");
    WAIT(world, told->box.state == BOX_PAUSED);
    set(world, container, "running", "unpause");
    WAIT(world, told->box.state == BOX_RUNNING);
    assert_int_equal(told->renewed, 0); /* the same process, with the same connections */
    set(world, container, "running", "start");
    WAIT(world, told->renewed == 1);
    add(world, "b", "paused");
    WAIT(world, of(world, "b")->count > 0);
    take_away(world, container);
    WAIT(world, told->box.state == BOX_GONE);
    assert_int_equal(world->engine->lists, 1);
}

static void a_box_is_recreated_elsewhere(void **state)
{
    world_t *world = *state;
    engine_container_t *old = add(world, "a", "running");
    begin(world);
    engine_container_t *new = add(world, "a", "running");
    told_t *told = of(world, "a");
    WAIT(world, told->box.pid == new->pid); /* started later */
    assert_int_equal(told->renewed, 1);
    take_away(world, old);
    unsigned count = told->count;
    WAIT(world, told->count > count);
    assert_int_equal(told->box.state, BOX_RUNNING);
    assert_int_equal(told->box.pid, new->pid);
    assert_int_equal(told->renewed, 1);
}

static void of_two_containers_the_running_one_counts(void **state)
{
    world_t *world = *state;
    engine_container_t *first = add(world, "a", "running"), *second = add(world, "a", "exited");
    begin(world);
    assert_int_equal(of(world, "a")->box.state, BOX_RUNNING);
    assert_int_equal(of(world, "a")->box.pid, first->pid);
    set(world, first, "exited", "die");
    WAIT(world, of(world, "a")->box.state == BOX_PAUSED); /* now the newest one does */
    resume_and_wait(world, "a", PROVIDER_OK);
    assert_int_equal(second->acts, 1);
    assert_int_equal(first->acts, 0);
}

static void looks_are_answered(void **state)
{
    world_t *world = *state;
    add(world, "a", "running");
    begin(world);
    told_t *told = of(world, "a");
    unsigned count = told->count;
    world->within = true;
    world->provider->look(world->provider, STR("a"));
    world->provider->look(world->provider, STR("nobody"));
    world->within = false;
    WAIT(world, told->count > count && of(world, "nobody")->count > 0);
    assert_int_equal(told->box.state, BOX_RUNNING);
    assert_int_equal(of(world, "nobody")->box.state, BOX_GONE);
}

/* ---- resumes and pauses ---- */

static void paused_boxes_are_unpaused(void **state)
{
    world_t *world = *state;
    engine_container_t *container = add(world, "a", "paused");
    begin(world);
    const told_t *told = resume_and_wait(world, "a", PROVIDER_OK);
    assert_int_equal(told->box.state, BOX_RUNNING); /* told before the answer */
    assert_int_equal(container->acts, 1);
    resume_and_wait(world, "a", PROVIDER_OK); /* it runs: nothing is done */
    assert_int_equal(container->acts, 1);
    assert_int_equal(told->renewed, 0);
}

static void stopped_boxes_are_started(void **state)
{
    world_t *world = *state;
    engine_container_t *container = add(world, "a", "exited");
    begin(world);
    const told_t *told = resume_and_wait(world, "a", PROVIDER_OK);
    assert_int_equal(told->box.state, BOX_RUNNING);
    assert_int_equal(container->acts, 1);
    assert_int_equal(world->engine->execs, 0);
    assert_true(told->box.pid > 1000);
}

static void what_is_resumed_already_is_resumed(void **state)
{
    world_t *world = *state;
    engine_container_t *paused = add(world, "a", "paused"), *stopped = add(world, "b", "exited");
    begin(world);
    engine_lock(world->engine); /* without an event */
    snprintf(paused->status, sizeof(paused->status), "running");
    snprintf(stopped->status, sizeof(stopped->status), "running");
    engine_unlock(world->engine);
    resume_and_wait(world, "a", PROVIDER_OK);
    resume_and_wait(world, "b", PROVIDER_OK);
}

static void what_changed_unseen_is_found(void **state)
{
    world_t *world = *state;
    engine_container_t *paused = add(world, "a", "paused"), *stopped = add(world, "b", "exited"),
                       *running = add(world, "c", "running");
    begin(world);
    engine_lock(world->engine);
    snprintf(paused->status, sizeof(paused->status), "exited");
    snprintf(stopped->status, sizeof(stopped->status), "paused");
    snprintf(running->status, sizeof(running->status), "paused");
    engine_unlock(world->engine);
    resume_and_wait(world, "a", PROVIDER_OK);
    resume_and_wait(world, "b", PROVIDER_OK);
    resume_and_wait(world, "c", PROVIDER_OK);
    assert_int_equal(paused->acts, 2);
    assert_int_equal(stopped->acts, 2);
    assert_int_equal(running->acts, 1);
}

static void init_runs_after_a_start_only(void **state)
{
    world_t *world = *state;
    engine_container_t *stopped = add(world, "a", "exited"), *paused = add(world, "b", "paused"),
                       *third = add(world, "c", "exited");
    const char *init = ",\"boxedge.init\":\"echo \\\"$HOME\\\" > /tmp/x\"";
    snprintf(stopped->more, sizeof(stopped->more), "%s", init);
    snprintf(paused->more, sizeof(paused->more), "%s", init);
    snprintf(third->more, sizeof(third->more), "%s", init);
    begin(world);
    resume_and_wait(world, "b", PROVIDER_OK);
    assert_int_equal(world->engine->execs, 0);
    resume_and_wait(world, "a", PROVIDER_OK);
    assert_int_equal(world->engine->execs, 1);
    assert_non_null(
        strstr(world->engine->last_exec, "\"Cmd\":[\"/bin/sh\",\"-c\",\"echo \\\"$HOME\\\" > /tmp/x\"]"));
    world->engine->exec_status = 500; /* the box runs nevertheless */
    resume_and_wait(world, "c", PROVIDER_OK);
    assert_int_equal(world->engine->execs, 1);
}

static void failures_say_what_happened(void **state)
{
    world_t *world = *state;
    engine_container_t *ends = add(world, "a", "exited"), *refused = add(world, "b", "exited"),
                       *frozen = add(world, "c", "paused");
    ends->ends_at_once = true;
    refused->refuses = 500;
    frozen->refuses = 409;
    begin(world);
    assert_string_equal(resume_and_wait(world, "a", PROVIDER_FAILED)->sentence,
                        "The box's container ended as soon as it was started, with exit code 7.");
    assert_string_equal(resume_and_wait(world, "b", PROVIDER_FAILED)->sentence,
                        "The container engine could not start the box's container.");
    assert_string_equal(resume_and_wait(world, "c", PROVIDER_FAILED)->sentence,
                        "The container engine could not unpause the box's container.");
    assert_int_equal(ends->acts, 1);
    assert_int_equal(refused->acts, 1);
    assert_int_equal(of(world, "b")->box.state, BOX_PAUSED);
    refused->refuses = 0; /* the next one works */
    resume_and_wait(world, "b", PROVIDER_OK);
}

static void boxes_that_nobody_has_are_gone(void **state)
{
    world_t *world = *state;
    engine_container_t *container = add(world, "a", "paused");
    begin(world);
    resume_and_wait(world, "nobody", PROVIDER_GONE);
    assert_int_equal(of(world, "nobody")->box.state, BOX_GONE);
    engine_lock(world->engine);
    container->id[0] = '\0'; /* without an event */
    engine_unlock(world->engine);
    resume_and_wait(world, "a", PROVIDER_GONE);
    assert_int_equal(of(world, "a")->box.state, BOX_GONE);
}

static void a_box_is_removed_while_it_is_resumed(void **state)
{
    world_t *world = *state;
    engine_container_t *container = add(world, "a", "paused");
    begin(world);
    engine_lock(world->engine);
    world->engine->holds = true;
    engine_unlock(world->engine);
    resume(world, "a");
    WAIT(world, docker_engine_busy(docker_of(world)->engine) == 1);
    engine_lock(world->engine);
    engine_remove(world->engine, container);
    engine_unlock(world->engine);
    WAIT(world, of(world, "a")->box.state == BOX_GONE);
    engine_lock(world->engine);
    world->engine->holds = false;
    engine_unlock(world->engine);
    WAIT(world, of(world, "a")->answers == 1);
    assert_int_equal(of(world, "a")->result, PROVIDER_GONE);
}

static void a_box_is_recreated_while_it_is_resumed(void **state)
{
    world_t *world = *state;
    engine_container_t *old = add(world, "a", "paused");
    begin(world);
    engine_lock(world->engine);
    world->engine->holds = true;
    engine_unlock(world->engine);
    resume(world, "a");
    WAIT(world, docker_engine_busy(docker_of(world)->engine) == 1);
    engine_container_t *new = add(world, "a", "exited");
    WAIT(world, of(world, "a")->renewed == 1);
    take_away(world, old);
    engine_lock(world->engine);
    world->engine->holds = false;
    engine_unlock(world->engine);
    WAIT(world, of(world, "a")->answers == 1);
    assert_int_equal(of(world, "a")->result, PROVIDER_OK);
    assert_int_equal(of(world, "a")->box.address.s6_addr[15], 2);
    assert_int_equal(new->acts, 1);
}

static void containers_between_states_are_waited_for(void **state)
{
    world_t *world = *state;
    engine_container_t *container = add(world, "a", "stopping");
    begin(world);
    resume(world, "a");
    docker_box_t *box = docker_find_box(docker_of(world), STR("a"));
    WAIT(world, box->resume == RESUME_CHANGE);
    assert_int_equal(container->acts, 0);
    engine_lock(world->engine);
    snprintf(container->status, sizeof(container->status), "exited");
    engine_unlock(world->engine);
    WAIT(world, of(world, "a")->answers == 1);
    assert_int_equal(of(world, "a")->result, PROVIDER_OK);
    assert_int_equal(container->acts, 1);
}

static void containers_that_have_just_ended_are_left_alone(void **state)
{
    world_t *world = *state;
    engine_container_t *removed = add(world, "a", "running"), *stopped = add(world, "b", "running");
    begin(world);
    set(world, removed, "exited", "die");
    set(world, stopped, "exited", "die");
    WAIT(world, of(world, "a")->box.state == BOX_PAUSED && of(world, "b")->box.state == BOX_PAUSED);
    resume(world, "a");
    resume(world, "b");
    docker_box_t *box = docker_find_box(docker_of(world), STR("a"));
    WAIT(world, box->resume == RESUME_CHANGE);
    take_away(world, removed);
    WAIT(world, of(world, "a")->answers == 1 && of(world, "b")->answers == 1);
    assert_int_equal(of(world, "a")->result, PROVIDER_GONE);
    assert_int_equal(of(world, "b")->result, PROVIDER_OK);
    assert_int_equal(removed->acts, 0);
    assert_int_equal(stopped->acts, 1);
}

static void pauses_and_resumes_follow_each_other(void **state)
{
    world_t *world = *state;
    engine_container_t *container = add(world, "a", "running");
    begin(world);
    told_t *told = of(world, "a");
    world->within = true;
    world->provider->pause(world->provider, STR("a"));
    world->provider->pause(world->provider, STR("a")); /* once is enough */
    world->provider->pause(world->provider, STR("nobody"));
    world->within = false;
    WAIT(world, told->box.state == BOX_PAUSED);
    assert_int_equal(world->engine->pauses, 1);
    resume_and_wait(world, "a", PROVIDER_OK);
    world->provider->pause(world->provider, STR("a"));
    resume_and_wait(world, "a", PROVIDER_OK); /* after the pause, or instead of it */
    assert_string_equal(container->status, "running");
    told->resume_again = true;
    resume_and_wait(world, "a", PROVIDER_OK);
    WAIT(world, told->answers == 4);
}

static void a_storm_of_resumes_starves_nobody(void **state)
{
    world_t *world = *state;
    char id[16];
    for (unsigned i = 0; i < STORM; i++) {
        snprintf(id, sizeof(id), "box%u", i);
        add(world, id, i % 2 != 0 ? "paused" : "exited");
    }
    begin(world);
    for (unsigned i = 0; i < STORM; i++) {
        snprintf(id, sizeof(id), "box%u", i);
        resume(world, id);
    }
    for (unsigned i = 0; i < STORM; i++) {
        snprintf(id, sizeof(id), "box%u", i);
        WAIT(world, of(world, id)->answers == 1);
        assert_int_equal(of(world, id)->result, PROVIDER_OK);
        assert_int_equal(world->engine->at[i].acts, 1);
    }
    assert_in_range(world->engine->busy_most, 1, DOCKER_CALLS_MAX);
}

/* ---- engines that are slow, wrong and down ---- */

static void resumes_have_limits(void **state)
{
    world_t *world = *state;
    char id[16];
    for (unsigned i = 0; i < DOCKER_CALLS_MAX + 1; i++) {
        snprintf(id, sizeof(id), "box%u", i);
        add(world, id, "paused");
    }
    engine_container_t *busy = add(world, "busy", "restarting");
    begin(world);
    docker_of(world)->resume_ms = 300;
    docker_of(world)->queue_ms = 100;
    (void)busy;
    assert_string_equal(resume_and_wait(world, "busy", PROVIDER_FAILED)->sentence,
                        "The box's container keeps stopping and starting.");
    engine_lock(world->engine);
    world->engine->holds = true;
    engine_unlock(world->engine);
    for (unsigned i = 0; i < DOCKER_CALLS_MAX + 1; i++) {
        snprintf(id, sizeof(id), "box%u", i);
        resume(world, id);
    }
    for (unsigned i = 0; i < DOCKER_CALLS_MAX + 1; i++) {
        snprintf(id, sizeof(id), "box%u", i);
        WAIT(world, of(world, id)->answers == 1);
        assert_int_equal(of(world, id)->result, PROVIDER_UNAVAILABLE);
    }
    assert_int_equal(world->engine->at[DOCKER_CALLS_MAX].acts, 0); /* never left the queue */
}

static void an_engine_that_is_gone_changes_nothing(void **state)
{
    world_t *world = *state;
    add(world, "a", "running");
    add(world, "b", "paused");
    engine_container_t *removed = add(world, "c", "running");
    begin(world);
    engine_end(world->engine);
    WAIT(world, docker_of(world)->lost);
    unsigned told = of(world, "a")->count;
    assert_string_equal(resume_and_wait(world, "b", PROVIDER_UNAVAILABLE)->sentence,
                        "The container engine cannot be reached.");
    resume_and_wait(world, "nobody", PROVIDER_UNAVAILABLE);
    assert_int_equal(of(world, "nobody")->count, 0); /* nothing is known of it */
    assert_int_equal(of(world, "a")->count, told);
    assert_int_equal(of(world, "a")->box.state, BOX_RUNNING);
    removed->id[0] = '\0'; /* while nobody looked */
    engine_begin(world->engine);
    WAIT(world, world->ended == 2);
    assert_int_equal(of(world, "a")->box.state, BOX_RUNNING);
    assert_int_equal(of(world, "a")->renewed, 0);
    assert_int_equal(of(world, "c")->box.state, BOX_GONE);
    resume_and_wait(world, "b", PROVIDER_OK);
    WAIT(world, !docker_of(world)->lost);
}

static void an_engine_comes_up_after_the_edge(void **state)
{
    world_t *world = *state;
    add(world, "a", "paused");
    engine_end(world->engine);
    world->provider = provider_docker_new(world->loop, world->fetcher, &world->conf, &handlers, world);
    resume(world, "a"); /* before anything is known of the box */
    WAIT(world, of(world, "a")->answers == 1);
    assert_int_equal(of(world, "a")->result, PROVIDER_UNAVAILABLE);
    assert_int_equal(world->begun, 0);
    engine_begin(world->engine);
    WAIT(world, world->ended == 1);
    resume_and_wait(world, "a", PROVIDER_OK);
}

static void resumes_wait_for_the_first_listing(void **state)
{
    world_t *world = *state;
    add(world, "a", "paused");
    world->provider = provider_docker_new(world->loop, world->fetcher, &world->conf, &handlers, world);
    resume(world, "a");
    resume(world, "nobody");
    WAIT(world, of(world, "a")->answers == 1 && of(world, "nobody")->answers == 1);
    assert_int_equal(of(world, "a")->result, PROVIDER_OK);
    assert_int_equal(of(world, "nobody")->result, PROVIDER_GONE);
}

static void answers_that_are_no_listing_tell_nothing(void **state)
{
    world_t *world = *state;
    add(world, "a", "running");
    world->engine->is_silly = true;
    world->provider = provider_docker_new(world->loop, world->fetcher, &world->conf, &handlers, world);
    WAIT(world, docker_of(world)->tries >= 2);
    assert_int_equal(world->begun, 0);
    assert_true(docker_of(world)->lost);
    engine_lock(world->engine);
    world->engine->is_silly = false;
    engine_unlock(world->engine);
    WAIT(world, world->ended == 1);
    assert_int_equal(of(world, "a")->box.state, BOX_RUNNING);
}

static void events_that_cannot_be_read_lead_to_a_listing(void **state)
{
    world_t *world = *state;
    add(world, "a", "running");
    begin(world);
    engine_lock(world->engine);
    engine_stream(world->engine, "{\"Type\":\"container\",\n");
    engine_unlock(world->engine);
    WAIT(world, world->ended == 2);
    char *text = malloc(DOCKER_LINE_MAX + 2);
    memset(text, 'x', DOCKER_LINE_MAX + 1);
    text[DOCKER_LINE_MAX + 1] = '\0';
    engine_lock(world->engine);
    engine_stream(world->engine, text);
    engine_unlock(world->engine);
    free(text);
    WAIT(world, world->ended == 3);
    assert_int_equal(of(world, "a")->renewed, 0);
}

static void one_broken_container_does_not_hide_the_others(void **state)
{
    world_t *world = *state;
    engine_container_t *broken = add(world, "a", "running");
    add(world, "b", "running");
    broken->is_broken = true;
    begin(world); /* after some tries */
    assert_int_equal(of(world, "b")->box.state, BOX_RUNNING);
    assert_int_equal(world->told_count, 1);
    engine_lock(world->engine);
    broken->is_broken = false;
    engine_event(world->engine, broken, "start");
    engine_unlock(world->engine);
    WAIT(world, of(world, "a")->box.state == BOX_RUNNING);
    engine_lock(world->engine);
    broken->is_broken = true;
    engine_event(world->engine, broken, "start");
    unsigned inspects = world->engine->inspects;
    engine_unlock(world->engine);
    WAIT(world, world->engine->inspects > inspects);
    assert_int_equal(of(world, "a")->box.state, BOX_RUNNING); /* what was known stays */
    resume_and_wait(world, "a", PROVIDER_UNAVAILABLE);
}

static void another_configuration_lists_again(void **state)
{
    world_t *world = *state;
    add(world, "a", "running");
    begin(world);
    conf_t conf = world->conf;
    world->provider->set_conf(world->provider, &conf); /* nothing that matters here */
    conf.docker.idle = 60000;
    world->provider->set_conf(world->provider, &conf);
    WAIT(world, world->ended == 2);
    assert_int_equal(of(world, "a")->box.idle_ms, 60000);
    assert_int_equal(world->engine->lists, 2);
    conf.docker.label = (char *)(uintptr_t) "other";
    world->provider->set_conf(world->provider, &conf);
    WAIT(world, of(world, "a")->box.state == BOX_GONE);
}

static void it_can_be_freed_at_any_time(void **state)
{
    world_t *world = *state;
    char id[16];
    for (unsigned i = 0; i < 40; i++) {
        snprintf(id, sizeof(id), "box%u", i);
        add(world, id, i % 2 != 0 ? "paused" : "running");
    }
    for (unsigned turns = 0; turns < 12; turns++) {
        world->begun = world->ended = 0;
        world->provider = provider_docker_new(world->loop, world->fetcher, &world->conf, &handlers, world);
        for (unsigned i = 0; i < turns; i++)
            loop_turn(world->loop, 10);
        for (unsigned i = 0; i < 20; i++) {
            snprintf(id, sizeof(id), "box%u", i);
            resume(world, id);
            world->provider->pause(world->provider, str_from(id));
            world->provider->look(world->provider, str_from(id));
        }
        loop_turn(world->loop, 0);
        world->provider->free(world->provider);
        world->provider = NULL;
        loop_turn(world->loop, 0);
    }
}

static void retries_are_spread(void **state)
{
    (void)state;
    static const uint32_t most[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000};
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(docker_backoff_ms(i + 1, 0), most[i] / 2);
        assert_int_equal(docker_backoff_ms(i + 1, most[i] / 2), most[i]);
        for (uint64_t random = 1; random < 10000; random += 37)
            assert_in_range(docker_backoff_ms(i + 1, random), most[i] / 2, most[i]);
    }
    assert_in_range(docker_backoff_ms(UINT32_MAX, UINT64_MAX), 2500, 5000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_listing_tells_every_box),
        TEST(an_engine_without_boxes_is_listed_too),
        TEST(events_tell_what_changed),
        TEST(a_box_is_recreated_elsewhere),
        TEST(of_two_containers_the_running_one_counts),
        TEST(looks_are_answered),
        TEST(paused_boxes_are_unpaused),
        TEST(stopped_boxes_are_started),
        TEST(what_is_resumed_already_is_resumed),
        TEST(what_changed_unseen_is_found),
        TEST(init_runs_after_a_start_only),
        TEST(failures_say_what_happened),
        TEST(boxes_that_nobody_has_are_gone),
        TEST(a_box_is_removed_while_it_is_resumed),
        TEST(a_box_is_recreated_while_it_is_resumed),
        TEST(containers_between_states_are_waited_for),
        TEST(containers_that_have_just_ended_are_left_alone),
        TEST(pauses_and_resumes_follow_each_other),
        TEST(a_storm_of_resumes_starves_nobody),
        TEST(resumes_have_limits),
        TEST(an_engine_that_is_gone_changes_nothing),
        TEST(an_engine_comes_up_after_the_edge),
        TEST(resumes_wait_for_the_first_listing),
        TEST(answers_that_are_no_listing_tell_nothing),
        TEST(events_that_cannot_be_read_lead_to_a_listing),
        TEST(one_broken_container_does_not_hide_the_others),
        TEST(another_configuration_lists_again),
        TEST(it_can_be_freed_at_any_time),
        cmocka_unit_test(retries_are_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
