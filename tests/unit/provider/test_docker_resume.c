/* Boxes that are containers: resuming and pausing. */
#include "docker_world.h"

static void paused_boxes_are_unpaused(void **state)
{
    world_t *world = *state;
    engine_container_t *container = add(world, "a", "paused");
    docker_world_begin(world);
    const told_t *told = resume_and_wait(world, "a", PROVIDER_OK);
    assert_int_equal(told->box.state, BOX_RUNNING); /* reported before the answer */
    assert_int_equal(container->acts, 1);
    resume_and_wait(world, "a", PROVIDER_OK); /* it runs: nothing is done */
    assert_int_equal(container->acts, 1);
    assert_int_equal(told->renewed, 0);
}

static void stopped_boxes_are_started(void **state)
{
    world_t *world = *state;
    engine_container_t *container = add(world, "a", "exited");
    docker_world_begin(world);
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
    docker_world_begin(world);
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
    docker_world_begin(world);
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
    docker_world_begin(world);
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

/* It ends by itself, which the provider sees. */
static void crash(world_t *world, engine_container_t *container, const char *box, unsigned exit_code)
{
    engine_lock(world->engine);
    container->exit_code = exit_code;
    engine_set(world->engine, container, "exited", "die");
    engine_unlock(world->engine);
    WAIT(world, of(world, box)->box.state == BOX_PAUSED);
}

static void failures_say_what_happened(void **state)
{
    world_t *world = *state;
    engine_container_t *ends = add(world, "a", "exited"), *refused = add(world, "b", "exited"),
                       *frozen = add(world, "c", "paused");
    ends->ends_at_once = true;
    refused->refuses = 500;
    frozen->refuses = 409;
    docker_world_begin(world);
    assert_string_equal(resume_and_wait(world, "a", PROVIDER_FAILED)->sentence,
                        "The box's container ended right after its start, with exit code 7.");
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

/* A container that runs for a moment, again and again. */
static void a_loop_is_told_with_its_reason(void **state)
{
    world_t *world = *state;
    engine_container_t *container = add(world, "a", "exited");
    container->log = "starting\nError: no database at db:5432\n    at main.js:7\n}\n";
    docker_world_begin(world);
    for (unsigned i = 1; i <= DOCKER_CRASHES_MAX; i++) {
        resume_and_wait(world, "a", PROVIDER_OK);
        crash(world, container, "a", 3);
    }
    assert_string_equal(resume_and_wait(world, "a", PROVIDER_FAILED)->sentence,
                        "The box's container ends right after each start (exited, exit code 3).\x1f"
                        "Its log ends: Error: no database at db:5432");
    assert_int_equal(container->acts, DOCKER_CRASHES_MAX);
    /* The next request triggers one more try, and gets the failure immediately if it ends again. */
    resume_and_wait(world, "a", PROVIDER_OK);
    crash(world, container, "a", 4);
    container->log = NULL;
    assert_string_equal(resume_and_wait(world, "a", PROVIDER_FAILED)->sentence,
                        "The box's container ends right after each start (exited, exit code 4).");
    resume_and_wait(world, "a", PROVIDER_OK);
    /* A container that ran for long is no restart loop, whatever happened before. */
    loop_skip(world->loop, DOCKER_CRASH_MS);
    crash(world, container, "a", 5);
    resume_and_wait(world, "a", PROVIDER_OK);
}

static void boxes_that_nobody_has_are_gone(void **state)
{
    world_t *world = *state;
    engine_container_t *container = add(world, "a", "paused");
    docker_world_begin(world);
    resume_and_wait(world, "nobody", PROVIDER_GONE);
    assert_int_equal(of(world, "nobody")->box.state, BOX_GONE);
    engine_lock(world->engine);
    container->id[0] = '\0'; /* without an event */
    engine_unlock(world->engine);
    resume_and_wait(world, "a", PROVIDER_GONE);
    assert_int_equal(of(world, "a")->box.state, BOX_GONE);
}

/* The engine has the call that resumes box "a", and holds it back. */
static void begin_held_resume(world_t *world)
{
    docker_world_begin(world);
    engine_lock(world->engine);
    world->engine->holds = true;
    engine_unlock(world->engine);
    docker_world_resume(world, "a");
    WAIT(world, docker_engine_busy(docker_of(world)->engine) == 1);
}

static void a_box_is_removed_while_it_is_resumed(void **state)
{
    world_t *world = *state;
    engine_container_t *container = add(world, "a", "paused");
    begin_held_resume(world);
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
    begin_held_resume(world);
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

/* The box is left alone for that long, and then looked at. */
static void expect_look_after(world_t *world, const docker_box_t *box, uint64_t ms)
{
    loop_skip(world->loop, ms - 1);
    loop_turn(world->loop, 0);
    assert_int_equal(box->resume, RESUME_CHANGE);
    loop_skip(world->loop, 1);
    loop_turn(world->loop, 0);
    assert_int_equal(box->resume, RESUME_LOOK);
}

static void containers_between_states_are_waited_for(void **state)
{
    world_t *world = *state;
    engine_container_t *container = add(world, "a", "stopping");
    docker_world_begin(world);
    loop_hold(world->loop);
    docker_world_resume(world, "a");
    docker_box_t *box = docker_find_box(docker_of(world), STR("a"));
    WAIT(world, box->resume == RESUME_CHANGE);
    assert_int_equal(container->acts, 0);
    engine_lock(world->engine);
    snprintf(container->status, sizeof(container->status), "exited");
    engine_unlock(world->engine);
    expect_look_after(world, box, 250);
    await_answers(world, "a", 1);
    assert_int_equal(of(world, "a")->result, PROVIDER_OK);
    assert_int_equal(container->acts, 1);
}

static void containers_that_have_just_ended_are_left_alone(void **state)
{
    world_t *world = *state;
    engine_container_t *removed = add(world, "a", "running"), *stopped = add(world, "b", "running");
    docker_world_begin(world);
    loop_hold(world->loop);
    set(world, removed, "exited", "die");
    set(world, stopped, "exited", "die");
    WAIT(world, of(world, "a")->box.state == BOX_PAUSED && of(world, "b")->box.state == BOX_PAUSED);
    docker_world_resume(world, "a");
    docker_world_resume(world, "b");
    docker_box_t *box = docker_find_box(docker_of(world), STR("b"));
    WAIT(world, box->resume == RESUME_CHANGE);
    take_away(world, removed);
    WAIT(world, of(world, "a")->box.state == BOX_GONE);
    expect_look_after(world, box, 500);
    await_answers(world, "a", 1);
    await_answers(world, "b", 1);
    assert_int_equal(of(world, "a")->result, PROVIDER_GONE);
    assert_int_equal(of(world, "b")->result, PROVIDER_OK);
    assert_int_equal(removed->acts, 0);
    assert_int_equal(stopped->acts, 1);
}

static void pauses_and_resumes_follow_each_other(void **state)
{
    world_t *world = *state;
    engine_container_t *container = add(world, "a", "running");
    docker_world_begin(world);
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
    docker_world_begin(world);
    for (unsigned i = 0; i < STORM; i++) {
        snprintf(id, sizeof(id), "box%u", i);
        docker_world_resume(world, id);
    }
    for (unsigned i = 0; i < STORM; i++) {
        snprintf(id, sizeof(id), "box%u", i);
        WAIT(world, of(world, id)->answers == 1);
        assert_int_equal(of(world, id)->result, PROVIDER_OK);
        assert_int_equal(world->engine->at[i].acts, 1);
    }
    assert_in_range(world->engine->busy_most, 1, DOCKER_CALLS_MAX);
}

static void a_container_that_keeps_changing_is_given_up(void **state)
{
    world_t *world = *state;
    add(world, "busy", "restarting");
    docker_world_begin(world);
    loop_hold(world->loop);
    uint64_t limit = loop_now(world->loop) + DOCKER_QUEUE_MS;
    docker_world_resume(world, "busy");
    const docker_box_t *box = docker_find_box(docker_of(world), STR("busy"));
    for (unsigned i = 0; i < 5; i++) {
        WAIT(world, box->resume == RESUME_CHANGE);
        assert_int_equal(of(world, "busy")->answers, 0);
        end_change(world, "busy");
        WAIT(world, box->resume == RESUME_LOOK);
    }
    WAIT(world, box->resume == RESUME_CHANGE);
    loop_skip(world->loop, limit - loop_now(world->loop) - 1);
    WAIT(world, box->resume == RESUME_LOOK);
    WAIT(world, box->resume == RESUME_CHANGE); /* the limit comes before the next look */
    assert_int_equal(of(world, "busy")->answers, 0);
    loop_skip(world->loop, 1);
    loop_turn(world->loop, 0);
    assert_int_equal(of(world, "busy")->answers, 1);
    assert_int_equal(of(world, "busy")->result, PROVIDER_FAILED);
    assert_string_equal(of(world, "busy")->sentence, "The box's container keeps stopping and starting.");
}

/* An engine that answers nothing: each resume under way has its own time, and so has the wait behind
 * others. */
static void resumes_have_limits(void **state)
{
    enum { BATCHES = DOCKER_QUEUE_MS / DOCKER_RESUME_MS, LAST = BATCHES * DOCKER_CALLS_MAX };
    world_t *world = *state;
    char id[16];
    for (unsigned i = 0; i <= LAST; i++) {
        snprintf(id, sizeof(id), "box%u", i);
        add(world, id, "paused");
    }
    docker_world_begin(world);
    engine_lock(world->engine);
    world->engine->holds = true;
    engine_unlock(world->engine);
    for (unsigned i = 0; i <= LAST; i++) {
        snprintf(id, sizeof(id), "box%u", i);
        docker_world_resume(world, id);
    }
    for (unsigned i = 0; i < LAST; i++) {
        snprintf(id, sizeof(id), "box%u", i);
        if (i % DOCKER_CALLS_MAX == 0) {
            WAIT(world, docker_engine_busy(docker_of(world)->engine) == DOCKER_CALLS_MAX);
            assert_int_equal(of(world, id)->answers, 0);
            loop_skip(world->loop, DOCKER_RESUME_MS);
            loop_turn(world->loop, 0);
        }
        assert_int_equal(of(world, id)->answers, 1);
        assert_int_equal(of(world, id)->result, PROVIDER_UNAVAILABLE);
    }
    snprintf(id, sizeof(id), "box%u", LAST);
    assert_int_equal(of(world, id)->answers, 1);
    assert_int_equal(of(world, id)->result, PROVIDER_UNAVAILABLE);
    assert_int_equal(world->engine->at[LAST].acts, 0); /* never left the queue */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, docker_world_setup, docker_world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(paused_boxes_are_unpaused),
        TEST(stopped_boxes_are_started),
        TEST(what_is_resumed_already_is_resumed),
        TEST(what_changed_unseen_is_found),
        TEST(init_runs_after_a_start_only),
        TEST(a_loop_is_told_with_its_reason),
        TEST(failures_say_what_happened),
        TEST(boxes_that_nobody_has_are_gone),
        TEST(a_box_is_removed_while_it_is_resumed),
        TEST(a_box_is_recreated_while_it_is_resumed),
        TEST(containers_between_states_are_waited_for),
        TEST(containers_that_have_just_ended_are_left_alone),
        TEST(pauses_and_resumes_follow_each_other),
        TEST(a_storm_of_resumes_starves_nobody),
        TEST(a_container_that_keeps_changing_is_given_up),
        TEST(resumes_have_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
