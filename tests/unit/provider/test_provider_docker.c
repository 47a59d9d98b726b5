/* Boxes that are containers: reports on them, also when the engine is wrong or down. */
#include "docker_world.h"

/* ---- reports ---- */

static void a_listing_tells_every_box(void **state)
{
    world_t *world = *state;
    add(world, "a", "running");
    add(world, "b", "paused");
    add(world, "c", "exited");
    add(world, "", "running");
    add(world, "Not A Box", "running");
    docker_world_begin(world);
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
    docker_world_begin(world);
    assert_int_equal(world->told_count, 0);
}

static void events_tell_what_changed(void **state)
{
    world_t *world = *state;
    engine_container_t *container = add(world, "a", "running");
    docker_world_begin(world);
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
    docker_world_begin(world);
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
    docker_world_begin(world);
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
    docker_world_begin(world);
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

/* ---- engines that are slow, wrong and down ---- */

static void an_engine_that_is_gone_changes_nothing(void **state)
{
    world_t *world = *state;
    add(world, "a", "running");
    add(world, "b", "paused");
    engine_container_t *removed = add(world, "c", "running");
    docker_world_begin(world);
    engine_end(world->engine);
    PASS(world, docker_of(world)->lost);
    unsigned told = of(world, "a")->count;
    assert_string_equal(resume_and_wait(world, "b", PROVIDER_UNAVAILABLE)->sentence,
                        "The container engine cannot be reached.");
    resume_and_wait(world, "nobody", PROVIDER_UNAVAILABLE);
    assert_int_equal(of(world, "nobody")->count, 0); /* its state is unknown */
    assert_int_equal(of(world, "a")->count, told);
    assert_int_equal(of(world, "a")->box.state, BOX_RUNNING);
    removed->id[0] = '\0'; /* while nobody looked */
    engine_begin(world->engine);
    PASS(world, world->ended == 2);
    assert_int_equal(of(world, "a")->box.state, BOX_RUNNING);
    assert_int_equal(of(world, "a")->renewed, 0);
    assert_int_equal(of(world, "c")->box.state, BOX_GONE);
    resume_and_wait(world, "b", PROVIDER_OK);
    loop_skip(world->loop, 1000); /* its events have continued for that long */
    loop_turn(world->loop, 0);
    assert_false(docker_of(world)->lost);
}

static void an_engine_comes_up_after_the_edge(void **state)
{
    world_t *world = *state;
    add(world, "a", "paused");
    engine_end(world->engine);
    world->provider =
        provider_docker_new(world->loop, world->fetcher, &world->conf, &docker_world_handlers, world);
    docker_world_resume(world, "a"); /* before anything is known of the box */
    WAIT(world, of(world, "a")->answers == 1);
    assert_int_equal(of(world, "a")->result, PROVIDER_UNAVAILABLE);
    assert_int_equal(world->begun, 0);
    engine_begin(world->engine);
    PASS(world, world->ended == 1);
    resume_and_wait(world, "a", PROVIDER_OK);
}

static void resumes_wait_for_the_first_listing(void **state)
{
    world_t *world = *state;
    add(world, "a", "paused");
    world->provider =
        provider_docker_new(world->loop, world->fetcher, &world->conf, &docker_world_handlers, world);
    docker_world_resume(world, "a");
    docker_world_resume(world, "nobody");
    WAIT(world, of(world, "a")->answers == 1 && of(world, "nobody")->answers == 1);
    assert_int_equal(of(world, "a")->result, PROVIDER_OK);
    assert_int_equal(of(world, "nobody")->result, PROVIDER_GONE);
}

static void answers_that_are_no_listing_tell_nothing(void **state)
{
    world_t *world = *state;
    add(world, "a", "running");
    world->engine->is_silly = true;
    world->provider =
        provider_docker_new(world->loop, world->fetcher, &world->conf, &docker_world_handlers, world);
    PASS(world, docker_of(world)->tries >= 2);
    assert_int_equal(world->begun, 0);
    assert_true(docker_of(world)->lost);
    engine_lock(world->engine);
    world->engine->is_silly = false;
    engine_unlock(world->engine);
    PASS(world, world->ended == 1);
    assert_int_equal(of(world, "a")->box.state, BOX_RUNNING);
}

static void events_that_cannot_be_read_lead_to_a_listing(void **state)
{
    world_t *world = *state;
    add(world, "a", "running");
    docker_world_begin(world);
    engine_lock(world->engine);
    engine_stream(world->engine, "{\"Type\":\"container\",\n");
    engine_unlock(world->engine);
    PASS(world, world->ended == 2 && docker_engine_busy(docker_of(world)->engine) == 0);
    docker_world_await_stream(world);
    char *text = malloc(DOCKER_LINE_MAX + 2);
    memset(text, 'x', DOCKER_LINE_MAX + 1);
    text[DOCKER_LINE_MAX + 1] = '\0';
    engine_lock(world->engine);
    engine_stream(world->engine, text);
    engine_unlock(world->engine);
    free(text);
    PASS(world, world->ended == 3);
    assert_int_equal(of(world, "a")->renewed, 0);
}

static void one_broken_container_does_not_hide_the_others(void **state)
{
    world_t *world = *state;
    engine_container_t *broken = add(world, "a", "running");
    add(world, "b", "running");
    broken->is_broken = true;
    docker_world_begin(world); /* after some tries */
    assert_int_equal(of(world, "b")->box.state, BOX_RUNNING);
    assert_int_equal(world->told_count, 1);
    engine_lock(world->engine);
    broken->is_broken = false;
    engine_event(world->engine, broken, "start");
    engine_unlock(world->engine);
    WAIT(world,
         of(world, "a")->box.state == BOX_RUNNING && docker_engine_busy(docker_of(world)->engine) == 0);
    loop_hold(world->loop);
    engine_lock(world->engine);
    broken->is_broken = true;
    engine_event(world->engine, broken, "start");
    unsigned inspects = world->engine->inspects;
    engine_unlock(world->engine);
    for (unsigned tries = 1; tries <= 4; tries++) { /* tried again three times, a second apart */
        WAIT(world, world->engine->inspects == inspects + tries &&
                        docker_engine_busy(docker_of(world)->engine) == 0);
        loop_skip(world->loop, 1000);
        loop_turn(world->loop, 0);
    }
    loop_skip(world->loop, 10000);
    loop_turn(world->loop, 0);
    assert_int_equal(docker_engine_busy(docker_of(world)->engine), 0); /* and no more */
    assert_int_equal(of(world, "a")->box.state, BOX_RUNNING);          /* the known state stays */
    resume_and_wait(world, "a", PROVIDER_UNAVAILABLE);
}

static void another_configuration_lists_again(void **state)
{
    world_t *world = *state;
    add(world, "a", "running");
    docker_world_begin(world);
    conf_t conf = world->conf;
    world->provider->set_conf(world->provider, &conf); /* nothing relevant here */
    conf.docker.idle = 60000;
    world->provider->set_conf(world->provider, &conf);
    PASS(world, world->ended == 2);
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
        world->provider =
            provider_docker_new(world->loop, world->fetcher, &world->conf, &docker_world_handlers, world);
        for (unsigned i = 0; i < turns; i++)
            loop_turn(world->loop, 10);
        for (unsigned i = 0; i < 20; i++) {
            snprintf(id, sizeof(id), "box%u", i);
            docker_world_resume(world, id);
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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, docker_world_setup, docker_world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_listing_tells_every_box),
        TEST(an_engine_without_boxes_is_listed_too),
        TEST(events_tell_what_changed),
        TEST(a_box_is_recreated_elsewhere),
        TEST(of_two_containers_the_running_one_counts),
        TEST(looks_are_answered),
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
