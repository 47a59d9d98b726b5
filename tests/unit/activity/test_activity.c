/* Activity reports: which boxes count as active and which as silent. Time is a parameter. */
#include "activity_world.h"

/* ---- reports ---- */

static void test_static_boxes_have_no_activity(void **state)
{
    world_t *w = *state;
    store_box_t box = put_box(w, "still", BOX_RUNNING, 1);
    box.provider = PROVIDER_STATIC;
    assert_int_equal(store_put_box(w->store.store, &box), STORE_OK);
    exchange_world_t *x = activity_world_begin(w, "still", false);
    assert_int_equal(activity_boxes(w->activity), 0);
    assert_true(activity_is_current(x->ex));
    assert_true(activity_still_there(x->ex));
    respond(x, STR("text/event-stream"));
    from_box(x, STR("data: 1\n\n"));
    turn(w, 1000);
    end(&x);
    turn(w, 1000);
    expect_silence(w);
}

static void test_told_at_once_then_each_second(void **state)
{
    world_t *w = *state;
    exchange_world_t *x = activity_world_begin(w, "box", false);
    expect_silence(w);
    turn(w, 1);
    expect_message(w, PROCESS_ACTIVE, "box\n");
    exchange_world_t *y = activity_world_begin(w, "box", false);
    turn(w, 1); /* the last report is less than a second old */
    expect_silence(w);
    assert_true(is_active(w));
    assert_true(is_active(w));
    end(&y);
    end(&x);
    expect_silence(w);
    assert_true(is_active(w)); /* in the second before */
    assert_false(is_active(w));
}

/* A poller that asks not to wake does not keep a box awake either. A slow request is not cut short. */
static void test_requests_that_wake_nothing_count_while_they_are_long(void **state)
{
    world_t *w = *state;
    w->polls = true;
    exchange_world_t *x = activity_world_begin(w, "box", false);
    end(&x);
    assert_false(is_active(w));
    x = activity_world_begin(w, "box", false);
    assert_false(is_active(w)); /* the request may have just begun */
    assert_true(is_active(w));
    end(&x);
    assert_false(is_active(w));
    x = activity_world_begin(w, "box", true);
    accept_websocket(x);
    turn(w, w->fixture->context->conf->wake.idle_open);
    put_box(w, "box", BOX_PAUSED, 2);
    turn(w, 1000);
    from_client(x, STR("\x81\x81xxxxx"));
    turn(w, 1000);
    expect_silence(w);
    end(&x);
}

/* A cross-origin request from a browser. */
static exchange_world_t *begin_as(world_t *w, const char *id, const char *method)
{
    w->method = method;
    exchange_world_t *x = activity_world_begin(w, id, false);
    w->method = NULL;
    return x;
}

/* Browsers send preflights every few minutes; the request itself may or may not follow. */
static void test_preflights_are_no_activity(void **state)
{
    world_t *w = *state;
    for (int i = 0; i < 3; i++) {
        exchange_world_t *x = begin_as(w, "box", "OPTIONS");
        end(&x);
        assert_false(is_active(w));
    }
    exchange_world_t *x = begin_as(w, "box", "GET");
    end(&x);
    assert_true(is_active(w));
}

/* A request that began and ended between two reports. */
static void test_short_activity_is_reported(void **state)
{
    world_t *w = *state;
    assert_int_equal(activity_boxes(w->activity), 0);
    exchange_world_t *x = activity_world_begin(w, "box", false);
    turn(w, 1000);
    expect_message(w, PROCESS_ACTIVE, "box\n");
    expect_silence(w);
    end(&x);
    x = activity_world_begin(w, "box", false);
    end(&x);
    assert_true(is_active(w));
    assert_false(is_active(w));
    x = activity_world_begin(w, "box", false);
    end(&x);
    turn(w, 1);
    expect_message(w, PROCESS_ACTIVE, "box\n");
}

static void test_forgotten_when_its_connections_are(void **state)
{
    world_t *w = *state;
    uint64_t rest = w->fixture->context->conf->timeouts.pool_idle + 1000;
    exchange_world_t *x = activity_world_begin(w, "box", false);
    turn(w, 1000);
    end(&x);
    turn(w, rest);
    assert_int_equal(activity_boxes(w->activity), 1);
    turn(w, 1000);
    assert_int_equal(activity_boxes(w->activity), 0);
}

static void test_event_streams_hold_for_a_while(void **state)
{
    world_t *w = *state;
    static char kib[1025];
    uint32_t idle_open = w->fixture->context->conf->wake.idle_open;
    static const str_t types[] = {{"text/event-stream", 17}, {"Text/Event-Stream; charset=utf-8", 32}};
    for (size_t i = 0; i < 2; i++) {
        exchange_world_t *x = activity_world_begin(w, "box", false);
        turn(w, 1000);
        expect_message(w, PROCESS_ACTIVE, "box\n");
        respond(x, types[i]);
        turn(w, idle_open - 1);
        expect_message(w, PROCESS_ACTIVE, "box\n");
        assert_false(is_active(w));
        from_box(x, str_make(kib, 1024));
        assert_false(is_active(w));
        from_box(x, str_make(kib, 1));
        assert_true(is_active(w));
        turn(w, idle_open);
        expect_silence(w);
        end(&x);
        assert_true(is_active(w));
        assert_false(is_active(w));
    }
}

/* A slow answer keeps its box active until it ends. */
static void test_others_hold_for_ever(void **state)
{
    world_t *w = *state;
    static const str_t types[] = {{"text/event-streams", 18}, {"text/html", 9}};
    for (size_t i = 0; i < 2; i++) {
        exchange_world_t *x = activity_world_begin(w, "box", false);
        turn(w, 1000);
        respond(x, types[i]);
        turn(w, 100000000);
        while (hear(w, (char[IPC_BYTES_MAX + 1]){0}) != 0)
            continue;
        assert_true(is_active(w));
        end(&x);
        assert_true(is_active(w));
    }
}

static void test_content_of_tunnels_counts_and_control_frames_do_not(void **state)
{
    world_t *w = *state;
    char bytes[2048];
    exchange_world_t *x = activity_world_begin(w, "box", true);
    turn(w, 1000);
    expect_message(w, PROCESS_ACTIVE, "box\n");
    accept_websocket(x);
    turn(w, w->fixture->context->conf->wake.idle_open);
    expect_silence(w);
    for (int i = 0; i < 40; i++) {
        from_client(x, frame(bytes, 9, 100));
        from_box(x, frame(bytes, 10, 100));
    }
    assert_false(is_active(w));
    from_client(x, frame(bytes, 1, 1000));
    from_box(x, frame(bytes, 2, 24));
    assert_false(is_active(w)); /* 1 KiB, and no more */
    from_box(x, frame(bytes, 2, 1));
    assert_true(is_active(w));
    end(&x);
}

/* Several messages when one is too small: every box is in one, and no message exceeds its bound. */
static void test_many_boxes_in_several_messages(void **state)
{
    enum { COUNT = 300 };
    world_t *w = *state;
    static exchange_world_t *x[COUNT];
    static bool seen[COUNT];
    char id[BOX_ID_MAX + 1], got[IPC_BYTES_MAX + 1];
    for (int i = 0; i < COUNT; i++) {
        snprintf(id, sizeof(id), "a-very-long-name-of-a-box-to-fill-messages-%014d", i);
        assert_int_equal(strlen(id), BOX_ID_MAX);
        put_box(w, id, BOX_RUNNING, 1);
        x[i] = activity_world_begin(w, id, false);
    }
    for (int round = 0; round < 2; round++) {
        memset(seen, 0, sizeof(seen));
        turn(w, 1000);
        int count = 0, messages = 0;
        while (hear(w, got) == PROCESS_ACTIVE) {
            messages++;
            for (char *at = got, *line_end; (line_end = strchr(at, '\n')) != NULL; at = line_end + 1) {
                *line_end = '\0';
                assert_int_equal(strlen(at), BOX_ID_MAX);
                int i = (int)strtol(at + BOX_ID_MAX - 14, NULL, 10);
                assert_false(seen[i]);
                seen[i] = true;
                count++;
            }
        }
        assert_int_equal(count, COUNT);
        assert_int_equal(messages, (COUNT * (BOX_ID_MAX + 1) + IPC_BYTES_MAX - 1) / IPC_BYTES_MAX);
    }
    for (int i = 0; i < COUNT; i++)
        end(&x[i]);
}

static void test_told_to_the_next_controller(void **state)
{
    world_t *w = *state;
    exchange_world_t *x = activity_world_begin(w, "box", false);
    turn(w, 1000);
    expect_message(w, PROCESS_ACTIVE, "box\n");
    end(&x);
    disconnect_controller(w);
    turn(w, 1000); /* nobody is listening */
    connect_controller(w);
    assert_true(is_active(w));
    assert_false(is_active(w));
}

static void test_boxes_at_rest_are_bounded(void **state)
{
    world_t *w = *state;
    for (int i = 0; i < ACTIVITY_RESTING_MAX + 10; i++) {
        exchange_world_t x = {.fixture = w->fixture, .room = EXCHANGE_BODY_BYTES};
        x.ex = exchange_new(&w->fixture->client, &world_client_ops, &x);
        x.ex->request.target = STR("/");
        x.ex->box = (store_box_t){.state = BOX_RUNNING, .provider = PROVIDER_HTTP};
        snprintf(x.ex->box.id, sizeof(x.ex->box.id), "b%d", i);
        activity_begin(x.ex);
        exchange_end(&x.ex, EXCHANGE_END_CLIENT_GONE);
        if (i % 1000 == 0) { /* so that the channel keeps the reports */
            turn(w, 1);
            while (hear(w, (char[IPC_BYTES_MAX + 1]){0}) != 0)
                continue;
        }
    }
    assert_int_equal(activity_boxes(w->activity), ACTIVITY_RESTING_MAX);
}

/* ---- silence ---- */

static void test_silence_is_told_once(void **state)
{
    world_t *w = *state;
    exchange_world_t *x = activity_world_begin(w, "box", false);
    turn(w, 1000);
    expect_message(w, PROCESS_ACTIVE, "box\n");
    for (int i = 0; i < 4; i++)
        assert_true(is_active(w));
    turn(w, 1000);
    expect_message(w, PROCESS_LOOK, "box");
    expect_message(w, PROCESS_ACTIVE, "box\n");
    for (int i = 0; i < 20; i++)
        assert_true(is_active(w));
    end(&x);
}

static void test_no_silence_while_the_request_goes_on_or_after_the_head(void **state)
{
    world_t *w = *state;
    exchange_world_t *x = activity_world_begin(w, "box", false), *y = activity_world_begin(w, "box", true);
    respond(y, STR("text/plain"));
    turn(w, 1000);
    expect_message(w, PROCESS_ACTIVE, "box\n");
    x->ex->request_complete = false;
    for (int i = 0; i < 10; i++) {
        from_client(x, STR("more"));
        assert_true(is_active(w));
    }
    for (int i = 0; i < 4; i++)
        assert_true(is_active(w));
    turn(w, 1000);
    expect_message(w, PROCESS_LOOK, "box");
    end(&x);
    end(&y);
}

/* Several silent exchanges of a box cause one question, and at most one in 5 s. */
static void test_silence_of_many(void **state)
{
    world_t *w = *state;
    exchange_world_t *x[3];
    for (int i = 0; i < 2; i++)
        x[i] = activity_world_begin(w, "box", false);
    turn(w, 1000);
    x[2] = activity_world_begin(w, "box", false);
    turn(w, 1000);
    expect_message(w, PROCESS_ACTIVE, "box\n");
    expect_message(w, PROCESS_ACTIVE, "box\n");
    for (int i = 0; i < 3; i++)
        assert_true(is_active(w));
    turn(w, 1000); /* the first two */
    expect_message(w, PROCESS_LOOK, "box");
    expect_message(w, PROCESS_ACTIVE, "box\n");
    for (int i = 0; i < 4; i++) /* the third is due with the first two */
        assert_true(is_active(w));
    turn(w, 1000);
    expect_message(w, PROCESS_LOOK, "box");
    expect_message(w, PROCESS_ACTIVE, "box\n");
    for (int i = 0; i < 10; i++)
        assert_true(is_active(w));
    for (int i = 0; i < 3; i++)
        end(&x[i]);
}

static void test_boxes_out_of_reach_are_looked_at(void **state)
{
    world_t *w = *state;
    exchange_world_t *x = activity_world_begin(w, "box", false), *y = activity_world_begin(w, "box", false);
    activity_unreachable(x->ex);
    expect_message(w, PROCESS_LOOK, "box");
    activity_unreachable(y->ex);
    expect_silence(w);
    end(&x);
    assert_true(is_active(w));
    turn(w, 4000);
    expect_message(w, PROCESS_ACTIVE, "box\n");
    activity_unreachable(y->ex);
    expect_message(w, PROCESS_LOOK, "box");
    end(&y);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, activity_world_setup, activity_world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_static_boxes_have_no_activity),
        TEST(test_told_at_once_then_each_second),
        TEST(test_requests_that_wake_nothing_count_while_they_are_long),
        TEST(test_preflights_are_no_activity),
        TEST(test_short_activity_is_reported),
        TEST(test_forgotten_when_its_connections_are),
        TEST(test_event_streams_hold_for_a_while),
        TEST(test_others_hold_for_ever),
        TEST(test_content_of_tunnels_counts_and_control_frames_do_not),
        TEST(test_many_boxes_in_several_messages),
        TEST(test_told_to_the_next_controller),
        TEST(test_boxes_at_rest_are_bounded),
        TEST(test_silence_is_told_once),
        TEST(test_no_silence_while_the_request_goes_on_or_after_the_head),
        TEST(test_silence_of_many),
        TEST(test_boxes_out_of_reach_are_looked_at),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
