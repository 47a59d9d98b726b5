/* Client bytes for a box that fell asleep under an open exchange. Time is a parameter. */
#include "activity_world.h"

static exchange_world_t *sleeping_tunnel(world_t *w)
{
    exchange_world_t *x = activity_world_begin(w, "box", true);
    accept_websocket(x);
    turn(w, 1000);
    expect_message(w, PROCESS_ACTIVE, "box\n");
    turn(w, w->fixture->context->conf->wake.idle_open);
    put_box(w, "box", BOX_PAUSED, 2);
    turn(w, 1000);
    expect_silence(w);
    return x;
}

static void test_a_clients_bytes_wake(void **state)
{
    world_t *w = *state;
    char bytes[64];
    exchange_world_t *x = sleeping_tunnel(w);
    from_client(x, frame(bytes, 9, 10)); /* a ping, and the Close frame of a closed tab */
    from_client(x, frame(bytes, 10, 0));
    expect_silence(w);
    from_client(x, frame(bytes, 1, 5));
    expect_message(w, PROCESS_WAKE, "box-3000");
    from_client(x, frame(bytes, 1, 5)); /* at most one a second */
    turn(w, 999);
    from_client(x, frame(bytes, 1, 5));
    expect_silence(w);
    turn(w, 1);
    expect_message(w, PROCESS_WAKE, "box-3000");
    put_box(w, "box", BOX_RUNNING, 3);
    turn(w, 1000);
    from_client(x, frame(bytes, 1, 5));
    expect_silence(w);
    end(&x);
}

/* A heartbeat does not wake the box, and keeps its place in the order of frames. */
static void test_heartbeats_do_not_wake(void **state)
{
    world_t *w = *state;
    loop_t *loop = w->fixture->context->loop;
    char bytes[64];
    loop_hold(loop);
    exchange_world_t *x = activity_world_begin(w, "box", true);
    accept_websocket(x);
    for (int i = 0; i < 3; i++) {
        loop_skip(loop, 30000);
        from_client(x, frame(bytes, 1, 18));
    }
    turn(w, 1000);
    expect_message(w, PROCESS_ACTIVE, "box\n");
    turn(w, w->fixture->context->conf->wake.idle_open);
    put_box(w, "box", BOX_PAUSED, 2);
    turn(w, 1000);
    expect_silence(w);
    for (int i = 0; i < 5; i++) {
        loop_skip(loop, 30000);
        str_t beat = frame(bytes, 1, 18);
        from_client(x, str_make(beat.p, 7)); /* in two parts */
        from_client(x, str_from_offset(beat, 7));
    }
    turn(w, 1000);
    expect_silence(w);
    assert_true(x->taken_n > 8 * 18); /* both parts went on to the box's socket */
    loop_skip(loop, 30000);
    from_client(x, frame(bytes, 1, 18));
    from_client(x, frame(bytes, 1, 20));
    expect_message(w, PROCESS_WAKE, "box-3000");
    put_box(w, "box", BOX_RUNNING, 3);
    turn(w, 1000);
    put_box(w, "box", BOX_PAUSED, 4);
    turn(w, 1000);
    turn(w, 1000);
    while (hear(w, bytes) != 0) {
        /* bytes that arrived meanwhile */
    }
    loop_skip(loop, 12000);
    from_client(x, frame(bytes, 1, 18)); /* not when the report is due */
    expect_message(w, PROCESS_WAKE, "box-3000");
    end(&x);
}

static void test_every_message_wakes_where_the_preview_says_so(void **state)
{
    world_t *w = *state;
    loop_t *loop = w->fixture->context->loop;
    char bytes[64];
    loop_hold(loop);
    exchange_world_t *x = sleeping_tunnel(w);
    test_preview(x->ex)->background_wakes = true;
    for (int i = 0; i < 4; i++) {
        loop_skip(loop, 30000);
        from_client(x, frame(bytes, 1, 18));
        turn(w, 1000);
        expect_message(w, PROCESS_WAKE, "box-3000");
        while (hear(w, bytes) != 0) {
            /* asked again each second */
        }
    }
    end(&x);
}

static void test_an_empty_message_wakes_and_carries_nothing(void **state)
{
    world_t *w = *state;
    char bytes[16];
    exchange_world_t *x = sleeping_tunnel(w);
    str_t empty = frame(bytes, 1, 0);
    from_client(x, str_make(empty.p, 1)); /* the header is not complete, so its type is unknown */
    expect_silence(w);
    from_client(x, str_from_offset(empty, 1));
    expect_message(w, PROCESS_WAKE, "box-3000");
    end(&x);
}

/* A lost request is repeated while the bytes are fresh. */
static void test_a_wake_is_asked_for_until_it_has_come(void **state)
{
    world_t *w = *state;
    char bytes[64];
    uint32_t timeout = w->fixture->context->conf->wake.timeout;
    exchange_world_t *x = sleeping_tunnel(w);
    from_client(x, frame(bytes, 1, 5));
    for (uint32_t ms = 0; ms < timeout; ms += 1000) {
        expect_message(w, PROCESS_WAKE, "box-3000");
        expect_silence(w);
        turn(w, 1000);
    }
    turn(w, 1000);
    expect_silence(w);
    end(&x);
}

/* The bytes may lie in the socket of a box that was frozen before it read them. */
static void test_bytes_just_before_the_pause_wake(void **state)
{
    world_t *w = *state;
    char bytes[64];
    exchange_world_t *x = activity_world_begin(w, "box", true);
    accept_websocket(x);
    turn(w, 1000);
    expect_message(w, PROCESS_ACTIVE, "box\n");
    from_client(x, frame(bytes, 1, 5));
    put_box(w, "box", BOX_PAUSED, 2);
    turn(w, 499);
    expect_message(w, PROCESS_WAKE, "box-3000");
    put_box(w, "box", BOX_RUNNING, 3);
    turn(w, 250);
    from_client(x, frame(bytes, 1, 5));
    turn(w, 250);
    put_box(w, "box", BOX_PAUSED, 4);
    turn(w, 250);
    assert_int_equal(hear(w, bytes), PROCESS_ACTIVE);
    expect_silence(w);
    end(&x);
}

/* A stopped box has no socket that could hold the bytes. */
static void test_bytes_just_before_a_stop_do_not_wake(void **state)
{
    world_t *w = *state;
    char bytes[64];
    exchange_world_t *x = activity_world_begin(w, "box", true);
    accept_websocket(x);
    turn(w, 1000);
    expect_message(w, PROCESS_ACTIVE, "box\n");
    from_client(x, frame(bytes, 1, 5));
    store_box_t box = put_box(w, "box", BOX_PAUSED, 2);
    box.pid = 7; /* another process, or none */
    assert_int_equal(store_put_box(w->store.store, &box), STORE_OK);
    turn(w, 499);
    expect_silence(w);
    end(&x);
}

/* The box wakes for bytes and stops soon after: the request was fulfilled, so it is not repeated. */
static void test_a_wake_that_came_is_over(void **state)
{
    world_t *w = *state;
    char bytes[64];
    exchange_world_t *x = sleeping_tunnel(w);
    from_client(x, frame(bytes, 1, 5));
    expect_message(w, PROCESS_WAKE, "box-3000");
    put_box(w, "box", BOX_RUNNING, 3);
    turn(w, 1000);
    put_box(w, "box", BOX_PAUSED, 4);
    turn(w, 1000);
    turn(w, 1000);
    expect_silence(w);
    end(&x);
}

static void test_a_body_that_goes_on_wakes(void **state)
{
    world_t *w = *state;
    exchange_world_t *x = activity_world_begin(w, "box", false);
    x->ex->request_complete = false;
    respond(x, STR("text/plain"));
    turn(w, 1000);
    expect_message(w, PROCESS_ACTIVE, "box\n");
    put_box(w, "box", BOX_PAUSED, 2);
    turn(w, 250);
    expect_silence(w);
    from_client(x, STR("more"));
    expect_message(w, PROCESS_WAKE, "box-3000");
    end(&x);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, activity_world_setup, activity_world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_clients_bytes_wake),
        TEST(test_heartbeats_do_not_wake),
        TEST(test_every_message_wakes_where_the_preview_says_so),
        TEST(test_an_empty_message_wakes_and_carries_nothing),
        TEST(test_a_wake_is_asked_for_until_it_has_come),
        TEST(test_bytes_just_before_the_pause_wake),
        TEST(test_bytes_just_before_a_stop_do_not_wake),
        TEST(test_a_wake_that_came_is_over),
        TEST(test_a_body_that_goes_on_wakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
