/* Tunnels that are closed while the edge drains: between two frames of the box, and only while there is
 * something left to say it to. */
#include "exchange_world.h"

#define CLOSE_1012 "\x88\x13\x03\xf4the edge restarts"

static exchange_world_t *drained_world(void)
{
    exchange_world_t *world = exchange_world_new();
    world->fixture->worker.conf->timeouts.drain = 20; /* so that it expires within 20 ms */
    return world;
}

/* Lets the time of every tunnel come. */
static void let_drain_expire(exchange_world_t *world)
{
    loop_t *loop = world->fixture->worker.loop;
    uint64_t until = loop_precise_us() + 1000000;
    while (loop_timer_running(&world->ex->timer) && loop_precise_us() < until)
        loop_turn(loop, 5);
    assert_false(loop_timer_running(&world->ex->timer));
}

static void from_box(exchange_world_t *world, str_t data)
{
    char *copy = malloc(data.n); /* slices do not outlive the call */
    memcpy(copy, data.p, data.n);
    exchange_response_body(world->ex, str_make(copy, data.n));
    exchange_response_flush(world->ex);
    free(copy);
}

static void expect_closed(exchange_world_t *world)
{
    assert_int_equal(world->ex->state, EXCHANGE_DONE);
    assert_int_equal(world->ends, 1);
    assert_int_equal(world->cuts, 0);
    assert_int_equal(world->cancels, 1);
    assert_string_equal(world->ex->local_code, "drained");
    assert_int_equal(exchange_request_room(world->ex), 0);
}

static void test_closed_between_frames(void **state)
{
    (void)state;
    exchange_world_t *world = drained_world();
    world_open_tunnel(world);
    from_box(world, STR("\x82\x02hi"));
    exchange_drain(world->ex);
    expect_out(world, STR("\x82\x02hi")); /* not at once: not all clients may come back together */
    exchange_drain(world->ex);            /* asked twice is asked once */
    let_drain_expire(world);
    expect_out(world, STR("\x82\x02hi" CLOSE_1012));
    expect_closed(world);
    exchange_world_free(world);
}

static void test_closed_before_any_frame(void **state)
{
    (void)state;
    exchange_world_t *world = drained_world();
    world_open_tunnel(world);
    exchange_drain(world->ex);
    let_drain_expire(world);
    expect_out(world, STR(CLOSE_1012));
    expect_closed(world);
    exchange_world_free(world);
}

/* In the middle of a frame its end is waited for, whichever of its bytes was the last; what comes behind it
 * is dropped. */
static void test_waits_for_the_end_of_the_frame(void **state)
{
    (void)state;
    static const char frames[] = "\x82\x7e\x00\x04"
                                 "abcd"
                                 "\x81\x01!";
    for (size_t cut = 1; cut < 8; cut++) {
        exchange_world_t *world = drained_world();
        world_open_tunnel(world);
        from_box(world, str_make(frames, cut));
        exchange_drain(world->ex);
        let_drain_expire(world);
        expect_out(world, str_make(frames, cut));
        assert_int_equal(world->ex->state, EXCHANGE_TUNNEL);
        from_box(world, str_make(frames + cut, sizeof(frames) - 1 - cut));
        expect_closed(world);
        expect_out(world, STR("\x82\x7e\x00\x04"
                              "abcd" CLOSE_1012));
        exchange_world_free(world);
    }
}

static void test_the_rest_of_the_frame_in_pieces(void **state)
{
    (void)state;
    static const char frame[] = "\x82\x7e\x00\x04"
                                "abcd";
    exchange_world_t *world = drained_world();
    world_open_tunnel(world);
    from_box(world, str_make(frame, 1));
    exchange_drain(world->ex);
    let_drain_expire(world);
    for (size_t i = 1; i < sizeof(frame) - 1; i++) {
        assert_int_equal(world->ex->state, EXCHANGE_TUNNEL);
        from_box(world, str_make(frame + i, 1));
    }
    expect_closed(world);
    expect_out(world, STR("\x82\x7e\x00\x04"
                          "abcd" CLOSE_1012));
    exchange_world_free(world);
}

/* A Close of the box's own is its last word (RFC 6455 section 5.5.1). */
static void test_the_box_said_close(void **state)
{
    (void)state;
    exchange_world_t *world = drained_world();
    world_open_tunnel(world);
    from_box(world, STR("\x88\x02\x03\xe8"));
    exchange_drain(world->ex);
    let_drain_expire(world);
    expect_out(world, STR("\x88\x02\x03\xe8"));
    assert_int_equal(world->ex->state, EXCHANGE_TUNNEL);
    exchange_world_free(world);
}

/* Where the stream stands is not known: nothing is put into it. */
static void test_what_is_not_websocket(void **state)
{
    (void)state;
    exchange_world_t *world = drained_world();
    world_open_tunnel(world);
    from_box(world, STR("\x83\x00"));
    exchange_drain(world->ex);
    let_drain_expire(world);
    from_box(world, STR("\x82\x00"));
    expect_out(world, STR("\x83\x00\x82\x00"));
    exchange_world_free(world);
}

/* After the box's end our direction to the client is shut: a word more would be an error of ours. */
static void test_the_box_has_ended(void **state)
{
    (void)state;
    for (int before = 0; before < 2; before++)
        for (int both = 0; both < 2; both++) {
            exchange_world_t *world = drained_world();
            world_open_tunnel(world);
            if (before)
                exchange_drain(world->ex);
            exchange_response_end(world->ex);
            if (both) {
                exchange_request_end(world->ex);
                exchange_request_flush(world->ex);
            }
            exchange_drain(world->ex);
            let_drain_expire(world);
            expect_out(world, STR(""));
            assert_int_equal(world->ends, 1);
            assert_int_equal(world->ex->state, both ? EXCHANGE_DONE : EXCHANGE_TUNNEL);
            exchange_world_free(world);
        }
}

static void test_opened_while_the_edge_drains(void **state)
{
    (void)state;
    exchange_world_t *world = drained_world();
    world->fixture->worker.draining = true;
    world_open_tunnel(world);
    let_drain_expire(world);
    expect_out(world, STR(CLOSE_1012));
    expect_closed(world);
    exchange_world_free(world);
}

/* Exchanges that are no tunnels go on. */
static void test_others_go_on(void **state)
{
    (void)state;
    exchange_world_t *world = drained_world();
    exchange_drain(world->ex);
    exchange_start(world->ex);
    exchange_drain(world->ex);
    world_respond(world);
    exchange_drain(world->ex);
    assert_false(loop_timer_running(&world->ex->timer));
    exchange_world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed_between_frames),
        cmocka_unit_test(test_closed_before_any_frame),
        cmocka_unit_test(test_waits_for_the_end_of_the_frame),
        cmocka_unit_test(test_the_rest_of_the_frame_in_pieces),
        cmocka_unit_test(test_the_box_said_close),
        cmocka_unit_test(test_what_is_not_websocket),
        cmocka_unit_test(test_the_box_has_ended),
        cmocka_unit_test(test_opened_while_the_edge_drains),
        cmocka_unit_test(test_others_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
