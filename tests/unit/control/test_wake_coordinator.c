/* Waking of boxes in the controller: one resume for any number of requests, probing, remembered failures, and
 * boxes that leave during a wake. */
#include "wake_coordinator_world.h"

static void one_resume_for_all(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    tell(w, "a", BOX_PAUSED, NULL);
    for (int i = 0; i < 5; i++)
        for (unsigned worker = 0; worker < 2; worker++)
            wake_coordinator_request(w->coordinator, worker, label(w, "a"), WAKE_WISH_WAKE, 0);
    settle(w);
    assert_int_equal(w->resumes, 1);
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    answer(w, PROVIDER_OK, NULL);
    assert_int_equal(ended(w, 0, &got, 200), WAKE_OK);
    assert_string_equal(got.label, label(w, "a").p);
    assert_int_equal(ended(w, 1, &got, 200), WAKE_OK);
    assert_int_equal(ended(w, 2, &got, 0), 0); /* did not ask */
    assert_int_equal(known(w, "a")->state, BOX_RUNNING);
    assert_int_equal(known(w, "a")->listening[0], w->port);
    /* A repeated request is answered from memory. */
    wake_coordinator_request(w->coordinator, 2, label(w, "a"), WAKE_WISH_WAKE, 0);
    assert_int_equal(ended(w, 2, &got, 0), WAKE_OK);
    assert_int_equal(w->resumes, 1);
    assert_int_equal(atomic_load(&shm_wakes(w->shm)->resumes), 1);
}

/* The stage of the wake that worker `index` was sent last; 0: none. */
static uint64_t stage_told(world_t *w, unsigned index)
{
    ipc_message_t message;
    uint64_t last = 0;
    while (ipc_receive(w->workers[index], &message) == IPC_OK)
        if (message.type == PROCESS_WAKE_STAGE)
            last = message.value;
    return last;
}

/* A worker that joins learns the stage and its start; only workers that ask get messages. */
static void stages_for_those_who_join(void **state)
{
    world_t *w = *state;
    close(w->listener);
    w->listener = make_port(&w->port, false);
    tell(w, "a", BOX_PAUSED, NULL);
    wake_coordinator_request(w->coordinator, 0, label(w, "a"), WAKE_WISH_WAKE, 0);
    assert_int_equal(wake_stage_of(stage_told(w, 0)), WAKE_RESUMING);
    wake_coordinator_world_pass(w, 1200);
    wake_coordinator_request(w->coordinator, 1, label(w, "a"), WAKE_WISH_WATCH, 0);
    uint64_t told = stage_told(w, 1);
    assert_int_equal(wake_stage_of(told), WAKE_RESUMING);
    assert_in_range(wake_stage_elapsed_ms(told), 1200, 10000);
    assert_int_equal(stage_told(w, 0), 0); /* knows already */
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    answer(w, PROVIDER_OK, NULL);
    settle(w);
    assert_int_equal(wake_stage_of(stage_told(w, 0)), WAKE_STARTING);
    assert_int_equal(wake_stage_of(stage_told(w, 1)), WAKE_STARTING);
    wake_coordinator_request(w->coordinator, 2, label(w, "a"), WAKE_WISH_WATCH, 0);
    assert_int_equal(wake_stage_of(stage_told(w, 2)), WAKE_STARTING);
}

static void a_failure_is_remembered(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    tell(w, "a", BOX_PAUSED, NULL);
    wake_coordinator_request(w->coordinator, 0, label(w, "a"), WAKE_WISH_WAKE, 0);
    answer(w, PROVIDER_FAILED, "It is broken.");
    assert_int_equal(ended(w, 0, &got, 200), WAKE_FAILED);
    assert_string_equal(got.sentence, "It is broken.");
    assert_in_range(got.retry_after_ms, 4000, 5000);
    wake_coordinator_request(w->coordinator, 1, label(w, "a"), WAKE_WISH_WAKE, 0);
    assert_int_equal(ended(w, 1, &got, 0), WAKE_FAILED); /* immediately */
    assert_string_equal(got.sentence, "It is broken.");
    assert_int_equal(w->resumes, 1);
    assert_int_equal(atomic_load(&shm_wakes(w->shm)->failures), 1);
    /* The watcher of a page is notified too. */
    wake_coordinator_request(w->coordinator, 1, label(w, "a"), WAKE_WISH_WATCH, 0);
    assert_int_equal(ended(w, 1, &got, 0), WAKE_FAILED);
}

/* Each failure in a row is remembered for twice as long, up to a minute; a success resets that. */
static void failures_are_remembered_for_longer(void **state)
{
    static const uint32_t remembered[] = {5000, 10000, 20000, 40000, 60000, 60000};
    world_t *w = *state;
    wake_answer_t got;
    tell(w, "a", BOX_PAUSED, NULL);
    for (unsigned i = 0; i < sizeof(remembered) / sizeof(remembered[0]); i++) {
        wake_coordinator_request(w->coordinator, 0, label(w, "a"), WAKE_WISH_WAKE, 0);
        assert_int_equal(w->resumes, i + 1);
        answer(w, PROVIDER_FAILED, "It is broken.");
        assert_int_equal(ended(w, 0, &got, 200), WAKE_FAILED);
        wake_coordinator_world_pass(w, remembered[i] - 500);
        wake_coordinator_request(w->coordinator, 0, label(w, "a"), WAKE_WISH_WAKE, 0);
        assert_int_equal(ended(w, 0, &got, 0), WAKE_FAILED);
        assert_int_equal(w->resumes, i + 1);
        wake_coordinator_world_pass(w, 600);
    }
    wake_coordinator_request(w->coordinator, 0, label(w, "a"), WAKE_WISH_WAKE, 0);
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    answer(w, PROVIDER_OK, NULL);
    assert_int_equal(ended(w, 0, &got, 200), WAKE_OK);
    tell(w, "a", BOX_PAUSED, NULL);
    wake_coordinator_request(w->coordinator, 0, label(w, "a"), WAKE_WISH_WAKE, 0);
    answer(w, PROVIDER_FAILED, "It is broken again.");
    assert_int_equal(ended(w, 0, &got, 200), WAKE_FAILED);
    assert_in_range(got.retry_after_ms, 4000, 5000);
}

/* A box without requests for long is forgotten, with its failures. */
static void wake_client_are_forgotten(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    tell(w, "a", BOX_PAUSED, NULL);
    wake_coordinator_request(w->coordinator, 0, label(w, "a"), WAKE_WISH_WAKE, 0);
    wake_coordinator_world_pass(w, 100000);
    answer(w, PROVIDER_FAILED, "It is broken.");
    assert_int_equal(ended(w, 0, &got, 200), WAKE_FAILED);
    wake_coordinator_world_pass(w, 100000); /* less than two minutes since then */
    assert_int_equal(atomic_load(&shm_wakes(w->shm)->boxes), 1);
    wake_coordinator_world_pass(w, 200000);
    assert_int_equal(atomic_load(&shm_wakes(w->shm)->boxes), 0);
    wake_coordinator_request(w->coordinator, 0, label(w, "a"), WAKE_WISH_WAKE, 0); /* as the first time */
    assert_int_equal(w->resumes, 2);
    answer(w, PROVIDER_FAILED, "It is broken again.");
    assert_int_equal(ended(w, 0, &got, 200), WAKE_FAILED);
    assert_in_range(got.retry_after_ms, 4000, 5000);
}

/* A request that came at `came_ms` waits for the box, at that worker. */
static void ask_since(world_t *w, unsigned worker, uint64_t came_ms)
{
    wake_coordinator_request(w->coordinator, worker, label(w, "a"), WAKE_WISH_WAKE, came_ms);
}

/* The operator stops a box that a request waits for: neither that request nor bytes start it again; a later
 * request does. */
static void an_operators_stop_lasts(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    close(w->listener);
    w->listener = make_port(&w->port, false);
    uint64_t began = loop_now(w->loop);
    tell(w, "a", BOX_PAUSED, NULL);
    ask_since(w, 0, began);
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    answer(w, PROVIDER_OK, NULL);
    settle(w);
    wake_coordinator_world_pass(w, 100);
    wake_coordinator_order(w->coordinator, STR("a"), false);
    tell(w, "a", BOX_PAUSED, NULL);
    assert_int_equal(ended(w, 0, &got, 200), WAKE_FAILED);
    assert_non_null(strstr(got.sentence, "stopped by hand"));
    ask_since(w, 1, began); /* of another worker, which asks again */
    assert_int_equal(ended(w, 1, &got, 0), WAKE_FAILED);
    ask_since(w, 2, 0); /* bytes */
    assert_int_equal(ended(w, 2, &got, 0), WAKE_FAILED);
    assert_int_equal(w->resumes, 1);
    wake_coordinator_world_pass(w, 1);
    ask_since(w, 0, loop_now(w->loop));
    assert_int_equal(w->resumes, 2);
    ask_since(w, 1, began); /* joins it */
    assert_int_equal(ended(w, 1, &got, 0), 0);
    settle(w);
}

/* A request whose sender waited for the end of the stop may arrive in the same millisecond. */
static void a_request_right_after_a_stop_wakes(void **state)
{
    world_t *w = *state;
    tell(w, "a", BOX_PAUSED, NULL);
    wake_coordinator_order(w->coordinator, STR("a"), false);
    ask_since(w, 0, loop_now(w->loop));
    assert_int_equal(w->resumes, 1);
}

/* A wake that a stop interrupts is not remembered as a failure. */
static void an_operators_stop_interrupts_a_start(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    tell(w, "a", BOX_PAUSED, NULL);
    ask_since(w, 0, loop_now(w->loop));
    wake_coordinator_world_pass(w, 1);
    wake_coordinator_order(w->coordinator, STR("a"), false);
    answer(w, PROVIDER_FAILED, "The box was stopped while it started.");
    assert_int_equal(ended(w, 0, &got, 200), WAKE_FAILED);
    assert_non_null(strstr(got.sentence, "stopped by hand"));
    wake_coordinator_world_pass(w, 1);
    ask_since(w, 0, loop_now(w->loop));
    assert_int_equal(w->resumes, 2);
    /* Started again by hand, bytes wake it as usual. */
    wake_coordinator_order(w->coordinator, STR("a"), false);
    answer(w, PROVIDER_FAILED, "The box was stopped while it started.");
    assert_int_equal(ended(w, 0, &got, 200), WAKE_FAILED);
    wake_coordinator_order(w->coordinator, STR("a"), true);
    ask_since(w, 0, 0);
    assert_int_equal(w->resumes, 3);
}

static void the_provider_is_away(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    tell(w, "a", BOX_PAUSED, NULL);
    wake_coordinator_request(w->coordinator, 0, label(w, "a"), WAKE_WISH_WAKE, 0);
    answer(w, PROVIDER_UNAVAILABLE, "Nobody answers.");
    assert_int_equal(ended(w, 0, &got, 200), WAKE_UNAVAILABLE);
    assert_string_equal(got.sentence, "Nobody answers.");
}

static void a_port_that_never_listens(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    uint16_t silent;
    int fd = make_port(&silent, false);
    char text[80];
    snprintf(text, sizeof text, "a-%u", silent);
    w->conf->wake.timeout = 30000;
    wake_coordinator_set_conf(w->coordinator, w->conf);
    tell(w, "a", BOX_PAUSED, NULL);
    wake_coordinator_request(w->coordinator, 0, str_from(text), WAKE_WISH_WAKE, 0);
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    answer(w, PROVIDER_OK, NULL);
    settle(w); /* the store's thread has its own clock */
    wake_coordinator_world_pass(w, 25000);
    assert_int_equal(ended(w, 0, &got, 0), 0); /* still asking */
    wake_coordinator_world_pass(w, 5000);
    assert_int_equal(ended(w, 0, &got, 0), WAKE_FAILED);
    assert_non_null(strstr(got.sentence, "cannot be reached"));
    settle(w);
    /* Until it may be asked again, workers ask rather than connect. */
    assert_true(known(w, "a")->settles_at_ms > loop_now(w->loop) + 4000);
    wake_coordinator_request(w->coordinator, 0, str_from(text), WAKE_WISH_WAKE, 0);
    assert_int_equal(ended(w, 0, &got, 0), WAKE_FAILED);
    /* Another port of the same box is not concerned. */
    wake_coordinator_request(w->coordinator, 0, label(w, "a"), WAKE_WISH_WAKE, 0);
    assert_int_equal(ended(w, 0, &got, 200), WAKE_OK);
    assert_int_equal(w->resumes, 1);
    close(fd);
}

/* A box that announces its start time gets that long. The watcher of its page is notified, and keeps it
 * awake. */
static void a_box_that_takes_its_time(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    uint16_t silent;
    int fd = make_port(&silent, false);
    char text[80];
    snprintf(text, sizeof text, "a-%u", silent);
    provider_box_t box = box_at("a", BOX_RUNNING, "::ffff:127.0.0.1");
    box.start_ms = 90000;
    tell(w, "a", BOX_PAUSED, NULL);
    wake_coordinator_request(w->coordinator, 0, str_from(text), WAKE_WISH_WAKE, 0);
    w->provider.handlers->box(w->boxes, &w->provider, &box);
    answer(w, PROVIDER_OK, NULL);
    settle(w);
    assert_true(known(w, "a")->settles_at_ms > loop_now(w->loop) + 80000);
    wake_coordinator_world_pass(w, 80000); /* sixteen times wake.timeout */
    assert_int_equal(ended(w, 0, &got, 0), 0);
    assert_true(wake_coordinator_request(w->coordinator, 0, str_from(text), WAKE_WISH_WATCH, 0));
    wake_coordinator_world_pass(w, 10000);
    assert_int_equal(ended(w, 0, &got, 0), WAKE_FAILED);
    assert_false(wake_coordinator_request(w->coordinator, 0, str_from(text), WAKE_WISH_WATCH, 0));
    close(fd);
}

/* A box whose resume took nearly all of its waiters' time gets half of it once more to start listening. */
static void a_port_of_a_box_that_was_late(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    close(w->listener);
    w->listener = make_port(&w->port, false);
    w->conf->wake.timeout = 30000;
    wake_coordinator_set_conf(w->coordinator, w->conf);
    tell(w, "a", BOX_PAUSED, NULL);
    wake_coordinator_request(w->coordinator, 0, label(w, "a"), WAKE_WISH_WAKE, 0);
    wake_coordinator_world_pass(w, 28000);
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    answer(w, PROVIDER_OK, NULL);
    settle(w);
    wake_coordinator_world_pass(w, 12000);
    assert_int_equal(ended(w, 0, &got, 0), 0);
    wake_coordinator_world_pass(w, 4000);
    assert_int_equal(ended(w, 0, &got, 0), WAKE_FAILED);
}

static void gone_while_waiting(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    tell(w, "a", BOX_PAUSED, NULL);
    wake_coordinator_request(w->coordinator, 0, label(w, "a"), WAKE_WISH_WAKE, 0);
    tell(w, "a", BOX_GONE, NULL);
    answer(w, PROVIDER_GONE, NULL);
    assert_int_equal(ended(w, 0, &got, 200), WAKE_GONE);
    assert_int_equal(known(w, "a")->state, BOX_GONE);
}

static void nobody_knows_it(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    wake_coordinator_request(w->coordinator, 0, label(w, "never-heard-of"), WAKE_WISH_WAKE, 0);
    assert_int_equal(ended(w, 0, &got, 200), WAKE_GONE);
    assert_int_equal(w->resumes, 0);
}

static void paused_again_and_again(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    close(w->listener);
    w->listener = make_port(&w->port, false);
    tell(w, "a", BOX_PAUSED, NULL);
    wake_coordinator_request(w->coordinator, 0, label(w, "a"), WAKE_WISH_WAKE, 0);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(w->resumes, i);
        tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
        answer(w, PROVIDER_OK, NULL);
        settle(w);
        tell(w, "a", BOX_PAUSED, NULL);
        settle(w);
    }
    assert_int_equal(w->resumes, 3);
    assert_int_equal(ended(w, 0, &got, 200), WAKE_FAILED);
}

/* A box that is doubted again during each check has not paused: its waiters are not given up. */
static void doubted_again_and_again(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    boxes_set_provider(w->boxes, PROVIDER_PROCESS, NULL);
    w->provider.kind = PROVIDER_HTTP;
    boxes_set_provider(w->boxes, PROVIDER_HTTP, &w->provider);
    tell(w, "a", BOX_RUNNING, "::ffff:10.0.0.9");
    assert_true(boxes_doubt(w->boxes, STR("a"), UINT64_MAX));
    wake_coordinator_request(w->coordinator, 0, label(w, "a"), WAKE_WISH_WAKE, 0);
    for (unsigned i = 1; i <= 6; i++) {
        assert_int_equal(w->resumes, i);
        provider_box_t box = box_at("a", BOX_RUNNING, "::ffff:10.0.0.9");
        box.requested_us = loop_wall_us(w->loop);
        wake_coordinator_world_pass(w, 5);
        assert_true(boxes_doubt(w->boxes, STR("a"), UINT64_MAX));
        w->provider.handlers->box(w->boxes, &w->provider, &box);
        answer(w, PROVIDER_OK, NULL);
        settle(w);
    }
    assert_int_equal(ended(w, 0, &got, 0), 0);
    tell(w, "a", BOX_GONE, NULL);
    answer(w, PROVIDER_GONE, NULL);
    assert_int_equal(ended(w, 0, &got, 200), WAKE_GONE);
    boxes_set_provider(w->boxes, PROVIDER_HTTP, NULL);
}

static void watching_wakes_nothing(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    tell(w, "a", BOX_PAUSED, NULL);
    wake_coordinator_request(w->coordinator, 0, label(w, "a"), WAKE_WISH_WATCH, 0);
    assert_int_equal(ended(w, 0, &got, 0), WAKE_ASLEEP);
    assert_int_equal(w->resumes, 0);
    wake_coordinator_request(w->coordinator, 1, label(w, "a"), WAKE_WISH_WAKE, 0);
    wake_coordinator_request(w->coordinator, 0, label(w, "a"), WAKE_WISH_WATCH, 0);
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    answer(w, PROVIDER_OK, NULL);
    assert_int_equal(ended(w, 0, &got, 200), WAKE_OK);
    assert_int_equal(ended(w, 1, &got, 200), WAKE_OK);
}

static void a_port_that_is_not_exposed(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    provider_box_t box = box_at("a", BOX_RUNNING, "::ffff:127.0.0.1");
    box.ports[0] = w->port == 1 ? 2 : 1;
    box.port_count = 1;
    w->provider.handlers->box(w->boxes, &w->provider, &box);
    wake_coordinator_request(w->coordinator, 0, label(w, "a"), WAKE_WISH_WAKE, 0);
    assert_int_equal(ended(w, 0, &got, 0), WAKE_REFUSED);
}

/* ---- bounds ---- */

static wake_result_t ask_for(world_t *w, const char *id, unsigned port)
{
    wake_answer_t got;
    char text[80];
    snprintf(text, sizeof text, "%s-%u", id, port);
    wake_coordinator_request(w->coordinator, 0, str_from(text), WAKE_WISH_WAKE, 0);
    return ended(w, 0, &got, 0);
}

static void more_ports_than_one_box_may_have(void **state)
{
    world_t *w = *state;
    tell(w, "a", BOX_PAUSED, NULL);
    for (unsigned port = 1; port <= WAKE_COORDINATOR_PORTS_MAX; port++)
        assert_int_equal(ask_for(w, "a", port), 0);
    assert_int_equal(ask_for(w, "a", WAKE_COORDINATOR_PORTS_MAX + 1), WAKE_BUSY);
    assert_int_equal(ask_for(w, "a", WAKE_COORDINATOR_PORTS_MAX), 0); /* one of those that wait */
    assert_int_equal(w->resumes, 1);
}

static void more_boxes_than_may_be_woken(void **state)
{
    world_t *w = *state;
    provider_t http = w->provider;
    wake_answer_t got;
    char id[16];
    http.kind = PROVIDER_HTTP; /* whichever box is asked about */
    http.resume = ignore_id;
    boxes_set_provider(w->boxes, PROVIDER_HTTP, &http);
    for (unsigned i = 0; i < WAKE_COORDINATOR_BOXES_MAX; i++) {
        snprintf(id, sizeof id, "b%u", i);
        assert_int_equal(ask_for(w, id, 80), 0);
    }
    assert_int_equal(atomic_load(&shm_wakes(w->shm)->boxes), WAKE_COORDINATOR_BOXES_MAX);
    assert_int_equal(ask_for(w, "one-too-many", 80), WAKE_BUSY);
    assert_int_equal(ask_for(w, "b0", 80), 0);
    http.handlers->resumed(w->boxes, &http, STR("b0"), PROVIDER_FAILED, "It is broken.");
    assert_int_equal(ended(w, 0, &got, 1), WAKE_FAILED);
    loop_skip(w->loop, 130000); /* that is forgotten, too */
    loop_turn(w->loop, 0);
    assert_int_equal(ask_for(w, "one-too-many", 80), 0);
}

static void nonsense_from_a_worker(void **state)
{
    world_t *w = *state;
    static const char *const labels[] = {"", "-", "a", "a-", "a-0", "a-65536", "../a-1", "a b-1"};
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++)
        wake_coordinator_request(w->coordinator, 0, str_from(labels[i]), WAKE_WISH_WAKE, 0);
    wake_coordinator_request(w->coordinator, SHM_WORKERS_MAX, STR("a-1"), WAKE_WISH_WAKE, 0);
    assert_int_equal(atomic_load(&shm_wakes(w->shm)->boxes), 0);
}

/* A record that the store does not have yet is of no use to workers, which read the store. */
static void answered_once_the_store_has_it(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    settle(w);
    wake_coordinator_request(w->coordinator, 0, label(w, "a"), WAKE_WISH_WAKE, 0);
    assert_int_equal(ended(w, 0, &got, 200), WAKE_OK);
    wake_coordinator_request(w->coordinator, 0, label(w, "a"), WAKE_WISH_WAKE, 0);
    assert_int_equal(ended(w, 0, &got, 0), WAKE_OK);
    /* At another address again: neither the former record counts, nor the new one before it is stored. */
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.2");
    boxes_set_listening(w->boxes, STR("a"), known(w, "a")->generation, w->port, 0, NULL, NULL);
    wake_coordinator_request(w->coordinator, 0, label(w, "a"), WAKE_WISH_WAKE, 0);
    assert_int_equal(ended(w, 0, &got, 0), 0);
}

int main(void)
{
#define TEST(name)                                                                                           \
    cmocka_unit_test_setup_teardown(name, wake_coordinator_world_setup, wake_coordinator_world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(one_resume_for_all),
        TEST(stages_for_those_who_join),
        TEST(a_failure_is_remembered),
        TEST(failures_are_remembered_for_longer),
        TEST(wake_client_are_forgotten),
        TEST(an_operators_stop_lasts),
        TEST(an_operators_stop_interrupts_a_start),
        TEST(a_request_right_after_a_stop_wakes),
        TEST(the_provider_is_away),
        TEST(a_port_that_never_listens),
        TEST(a_port_of_a_box_that_was_late),
        TEST(a_box_that_takes_its_time),
        TEST(gone_while_waiting),
        TEST(nobody_knows_it),
        TEST(paused_again_and_again),
        TEST(doubted_again_and_again),
        TEST(answered_once_the_store_has_it),
        TEST(watching_wakes_nothing),
        TEST(a_port_that_is_not_exposed),
        TEST(more_ports_than_one_box_may_have),
        TEST(more_boxes_than_may_be_woken),
        TEST(nonsense_from_a_worker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
