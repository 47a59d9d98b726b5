/* Effects of a box's changes on its open exchanges. Time is a parameter. */
#include "activity_world.h"

#include "activity.h"
#include "box_ports_message.h"
#include "list.h"
#include "origin_pool.h"
#include "refused.h"
#include "shm.h"
#include "store.h"
#include "tunnel.h"

static void test_waiting_ones_are_answered_when_it_is_paused(void **state)
{
    world_t *w = *state;
    exchange_world_t *waits = activity_world_begin(w, "box", false),
                     *streams = activity_world_begin(w, "box", false);
    exchange_world_t *tunnel = activity_world_begin(w, "box", true);
    respond(streams, STR("text/plain"));
    accept_websocket(tunnel);
    turn(w, 250);
    expect_untouched(waits);
    put_box(w, "box", BOX_PAUSED, 2);
    assert_true(activity_is_current(waits->ex)); /* nobody has looked yet */
    turn(w, 249);
    expect_untouched(waits);
    turn(w, 1);
    expect_code(waits, 502, "box_paused");
    assert_int_equal(waits->ends, 1);
    expect_untouched(streams);
    expect_untouched(tunnel);
    assert_false(activity_is_current(streams->ex)); /* its connection is not pooled */
    put_box(w, "box", BOX_RUNNING, 3);
    turn(w, 250);
    expect_untouched(streams);
    expect_untouched(tunnel);
    end(&waits);
    end(&streams);
    end(&tunnel);
}

static void test_looked_at_in_the_turn_of_the_message(void **state)
{
    world_t *w = *state;
    exchange_world_t *x = activity_world_begin(w, "box", false);
    turn(w, 250);
    put_box(w, "box", BOX_RUNNING, 2); /* it slept and runs again, unseen */
    activity_boxes_changed(w->activity);
    turn(w, 0);
    expect_code(x, 502, "box_paused");
    end(&x);
    x = activity_world_begin(w, "box", false);
    activity_boxes_changed(w->activity); /* another box's */
    turn(w, 0);
    expect_untouched(x);
    assert_true(activity_is_current(x->ex));
    end(&x);
}

static void no_event(void *owner)
{
    (void)owner;
}

static conn_t *idle_conn(worker_t *worker, int *peer)
{
    static const conn_handlers_t handlers = {no_event, no_event, NULL};
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    *peer = fds[1];
    return conn_new(worker->context.loop, fds[0], NULL, &handlers, NULL);
}

/* Also when no exchange is open at that time. */
static void test_pooled_connections_go_with_their_generation(void **state)
{
    world_t *w = *state;
    worker_t *worker = worker_of(w->fixture->context);
    exchange_world_t *x = activity_world_begin(w, "box", false);
    int peer;
    conn_t *conn = idle_conn(worker, &peer);
    turn(w, 1000);
    origin_pool_put(worker->context.origins, &conn, STR("box"), 1, 3000, 4000);
    end(&x);
    turn(w, 3000);
    assert_int_equal(origin_pool_idle(worker->context.origins), 1);
    put_box(w, "box", BOX_PAUSED, 2);
    turn(w, 250);
    assert_int_equal(origin_pool_idle(worker->context.origins), 0);
    close(peer);
}

static void test_all_ends_when_it_is_gone(void **state)
{
    static const struct {
        bool recorded;
    } cases[] = {{true}, {false}};
    world_t *w = *state;
    for (size_t i = 0; i < 2; i++) {
        put_box(w, "box", BOX_RUNNING, 10 * i + 1);
        exchange_world_t *waits = activity_world_begin(w, "box", false),
                         *streams = activity_world_begin(w, "box", false);
        exchange_world_t *tunnel = activity_world_begin(w, "box", true);
        respond(streams, STR("text/plain"));
        accept_websocket(tunnel);
        if (cases[i].recorded)
            put_box(w, "box", BOX_GONE, 10 * i + 2);
        else
            assert_int_equal(store_delete_box(w->store.store, STR("box")), STORE_OK);
        shm_epoch_bump(w->fixture->context->shm);
        turn(w, 250);
        expect_code(waits, 502, "box_gone");
        expect_code(streams, 200, "box_gone");
        assert_int_equal(streams->cuts, 1);
        expect_code(tunnel, 101, "box_gone");
        assert_memory_equal(tunnel->out, "\x88\x15\x03\xe9the box was removed", 23);
        end(&waits);
        end(&streams);
        end(&tunnel);
    }
}

static void test_connections_to_a_left_address_end(void **state)
{
    world_t *w = *state;
    exchange_world_t *streams = activity_world_begin(w, "box", false),
                     *tunnel = activity_world_begin(w, "box", true);
    respond(streams, STR("text/event-stream"));
    accept_websocket(tunnel);
    store_box_t box = put_box(w, "box", BOX_RUNNING, 2);
    box.address.s6_addr[0] = 1;
    assert_int_equal(store_put_box(w->store.store, &box), STORE_OK);
    turn(w, 250);
    expect_code(streams, 200, "box_paused");
    assert_int_equal(streams->cuts, 1);
    expect_code(tunnel, 101, "box_paused");
    assert_memory_equal(tunnel->out, "\x88\x1e\x03\xf4the box was stopped or moved", 32);
    end(&streams);
    end(&tunnel);
}

static void put_process(world_t *w, box_state_t state, uint64_t generation, uint32_t pid)
{
    store_box_t box = put_box(w, "box", state, generation);
    box.pid = pid;
    assert_int_equal(store_put_box(w->store.store, &box), STORE_OK);
    shm_epoch_bump(w->fixture->context->shm);
}

/* A request learns of the end of its process from its connection; the failure quotes the app's last words. A
 * box of another provider may give no such sign. */
static void test_requests_of_a_process_that_ends(void **state)
{
    world_t *w = *state;
    static const box_provider_t providers[] = {PROVIDER_PROCESS, PROVIDER_DOCKER};
    for (unsigned i = 0; i < 4; i++) {
        store_box_t box = put_box(w, "box", BOX_RUNNING, 2 * i + 1);
        box.pid = 100;
        box.provider = providers[i % 2];
        assert_int_equal(store_put_box(w->store.store, &box), STORE_OK);
        exchange_world_t *x = activity_world_begin(w, "box", false);
        box.pid = i < 2 ? 0 : 101; /* started again immediately */
        box.state = i < 2 ? BOX_PAUSED : BOX_RUNNING;
        box.generation++;
        assert_int_equal(store_put_box(w->store.store, &box), STORE_OK);
        shm_epoch_bump(w->fixture->context->shm);
        turn(w, 250);
        if (box.provider == PROVIDER_PROCESS)
            expect_untouched(x);
        else
            expect_code(x, 502, "box_paused");
        end(&x);
    }
}

/* Its connection has ended: the request waits for its app's last words, whatever the box has done since. */
static void test_a_request_that_waits_to_say_why(void **state)
{
    world_t *w = *state;
    worker_t *worker = worker_of(w->fixture->context);
    worker->refused = refused_new(worker);
    refused_set_channel(worker->refused, w->channel);
    exchange_world_t *x = activity_world_begin(w, "box", false);
    snprintf(test_preview(x->ex)->id, sizeof(test_preview(x->ex)->id), "box");
    test_preview(x->ex)->port = 3000;
    x->ex->target.is_box = true;
    x->ex->origin_ops = NULL;
    exchange_origin_failed(x->ex, ORIGIN_CLOSED);
    put_box(w, "box", BOX_PAUSED, 2);
    turn(w, 250);
    assert_null(x->ex->local_code);
    ipc_message_t message = {.type = PROCESS_BOX_PORTS, .value = x->ex->box.generation};
    message.len = box_ports_write(STR("box-3000"), &(box_ports_answer_t){.line = "boom"}, message.bytes);
    refused_message(worker->refused, &message);
    assert_string_equal(x->ex->local_code, "origin_closed");
    assert_string_equal(x->ex->detail, "The last line of its log: boom.");
    end(&x);
    refused_set_channel(worker->refused, NULL);
    refused_free(&worker->refused);
}

static const char stopped[] = "\x88\x15\x03\xe9the box was stopped";

typedef enum tunnel_loss { LOSS_NONE, LOSS_END, LOSS_FAILURE, LOSS_BOTH } tunnel_loss_t;

/* The worker may see the end of the box's process before the controller's message, or without it. */
static void lose(exchange_world_t *tunnel, tunnel_loss_t loss)
{
    if (loss == LOSS_END || loss == LOSS_BOTH)
        exchange_response_end(tunnel->ex);
    if (loss == LOSS_FAILURE || loss == LOSS_BOTH) {
        tunnel->ex->origin_ops = NULL; /* the origin has let go */
        exchange_origin_failed(tunnel->ex, ORIGIN_CUT);
    }
    exchange_response_flush(tunnel->ex);
}

/* The client gets a Close frame, whichever the worker sees first: the end of the connection, or its
 * reason. */
static void test_tunnels_of_a_process_that_is_stopped(void **state)
{
    world_t *w = *state;
    loop_hold(w->fixture->context->loop);
    for (tunnel_loss_t loss = LOSS_NONE; loss <= LOSS_BOTH; loss++) {
        uint64_t generation = 10 * loss + 1;
        put_process(w, BOX_RUNNING, generation, 100);
        exchange_world_t *tunnel = activity_world_begin(w, "box", true);
        accept_websocket(tunnel);
        lose(tunnel, loss);
        assert_int_equal(tunnel->ends + tunnel->cuts, 0);
        /* Stopped, or restarted immediately. */
        put_process(w, loss % 2 == 0 ? BOX_PAUSED : BOX_RUNNING, generation + 1, loss % 2 == 0 ? 0 : 101);
        turn(w, 250);
        expect_out(tunnel, str_make(stopped, sizeof(stopped) - 1));
        assert_string_equal(tunnel->ex->local_code, "box_paused");
        assert_int_equal(tunnel->ends, 1);
        loop_skip(w->fixture->context->loop, TUNNEL_HOLD_MS);
        loop_turn(w->fixture->context->loop, 0);
        assert_int_equal(tunnel->ends + tunnel->cuts, 1);
        end(&tunnel);
    }
}

/* A drain has its own timer and does not shorten the wait for the controller's message. */
static void test_a_box_that_leaves_while_the_worker_drains(void **state)
{
    world_t *w = *state;
    loop_t *loop = w->fixture->context->loop;
    loop_hold(loop);
    w->fixture->context->conf->timeouts.drain = TUNNEL_HOLD_MS / 2; /* a tunnel closes before this time */
    put_process(w, BOX_RUNNING, 1, 100);
    for (int box_first = 0; box_first < 2; box_first++) {
        exchange_world_t *tunnel = activity_world_begin(w, "box", true);
        accept_websocket(tunnel);
        if (box_first == 0)
            tunnel_drain(tunnel->ex);
        lose(tunnel, LOSS_END);
        tunnel_drain(tunnel->ex); /* no-op: the box has left */
        loop_skip(loop, TUNNEL_HOLD_MS - 1);
        loop_turn(loop, 0);
        assert_int_equal(tunnel->out_n + tunnel->ends + tunnel->cuts, 0);
        loop_skip(loop, 1);
        loop_turn(loop, 0);
        assert_int_equal(tunnel->out_n, 0);
        assert_int_equal(tunnel->ends, 1);
        end(&tunnel);
    }
}

static void test_tunnels_of_a_process_that_closes_them(void **state)
{
    world_t *w = *state;
    loop_hold(w->fixture->context->loop);
    put_process(w, BOX_RUNNING, 1, 100);
    for (tunnel_loss_t loss = LOSS_END; loss <= LOSS_BOTH; loss++) {
        exchange_world_t *tunnel = activity_world_begin(w, "box", true),
                         *said = activity_world_begin(w, "box", true),
                         *within = activity_world_begin(w, "box", true);
        accept_websocket(tunnel);
        accept_websocket(said);
        accept_websocket(within);
        lose(tunnel, loss);
        loop_skip(w->fixture->context->loop, TUNNEL_HOLD_MS - 1);
        loop_turn(w->fixture->context->loop, 0);
        assert_int_equal(tunnel->ends + tunnel->cuts, 0);
        loop_skip(w->fixture->context->loop, 1);
        loop_turn(w->fixture->context->loop, 0);
        assert_int_equal(loss == LOSS_END ? tunnel->ends : tunnel->cuts, 1);
        assert_int_equal(tunnel->out_n, 0);
        /* A box that announced its end, or that is within a frame, is not waited for. */
        from_box(said, STR("\x88\x00"));
        from_box(within, STR("\x81\x05he"));
        lose(said, loss == LOSS_BOTH ? LOSS_END : loss);
        lose(within, loss == LOSS_BOTH ? LOSS_END : loss);
        assert_int_equal(loss == LOSS_FAILURE ? said->cuts + within->cuts : said->ends + within->ends, 2);
        end(&within);
        end(&said);
        end(&tunnel);
    }
}

/* One request to each of the boxes b0, b1... */
static void begin_many(world_t *w, exchange_world_t **x, int count)
{
    char id[16];
    for (int i = 0; i < count; i++) {
        snprintf(id, sizeof(id), "b%d", i);
        put_box(w, id, BOX_RUNNING, 1);
        x[i] = activity_world_begin(w, id, false);
    }
    turn(w, 250);
}

static void test_looks_are_spread_where_boxes_are_many(void **state)
{
    enum { COUNT = 640 };
    world_t *w = *state;
    static exchange_world_t *x[COUNT];
    begin_many(w, x, COUNT);
    put_box(w, "b0", BOX_PAUSED, 2);
    activity_boxes_changed(w->activity);
    turn(w, COUNT / 64 - 1);
    expect_untouched(x[0]);
    turn(w, 1);
    expect_code(x[0], 502, "box_paused");
    for (int i = 0; i < COUNT; i++)
        end(&x[i]);
}

/* Each turn looks up a bounded number of boxes. The next turn follows without delay, and every box gets its
 * turn. The same holds for idle boxes. */
static void test_a_turn_looks_at_few(void **state)
{
    enum { COUNT = 3 * ACTIVITY_LOOKS_A_TURN };
    world_t *w = *state;
    static exchange_world_t *x[COUNT];
    char id[16];
    begin_many(w, x, COUNT);
    for (int i = 0; i < 3; i++)
        turn(w, 0);
    for (int i = 0; i < COUNT; i++) {
        snprintf(id, sizeof(id), "b%d", i);
        put_box(w, id, BOX_PAUSED, 2);
    }
    turn(w, 250);
    for (int looked = 1; looked <= 3; looked++) {
        for (int i = 0; i < COUNT; i++) {
            if (i < looked * ACTIVITY_LOOKS_A_TURN)
                expect_code(x[i], 502, "box_paused");
            else
                expect_untouched(x[i]);
        }
        assert_int_equal(loop_deferred(&w->activity->look_on), looked < 3);
        loop_turn(w->fixture->context->loop, 0);
        turn(w, 0);
    }
    for (int i = 0; i < COUNT; i++)
        end(&x[i]);
    assert_int_equal(w->activity->resting_count, COUNT);
    put_box(w, "b0", BOX_RUNNING, 3);
    turn(w, 250);
    assert_true(loop_deferred(&w->activity->look_on));
    turn(w, 0);
    turn(w, 0);
    assert_true(list_is_empty(&w->activity->unlooked));
}

/* A box is forgotten, or comes into use, while its lookup is still pending. */
static void test_boxes_that_come_and_go_between_looks(void **state)
{
    enum { COUNT = ACTIVITY_LOOKS_A_TURN + 2 };
    world_t *w = *state;
    static exchange_world_t *x[COUNT];
    char id[16];
    begin_many(w, x, COUNT);
    turn(w, 0);
    for (int i = 0; i < COUNT; i++)
        end(&x[i]);
    snprintf(id, sizeof(id), "b%d", COUNT - 1);
    put_box(w, id, BOX_RUNNING, 2);
    turn(w, 250); /* the last two lookups are still pending */
    exchange_world_t *late = activity_world_begin(w, id, false);
    turn(w, 10000); /* the idle ones are forgotten, and the last one is looked up */
    assert_int_equal(activity_boxes(w->activity), 1);
    expect_untouched(late);
    assert_true(activity_is_current(late->ex));
    end(&late);
}

/* ---- before the first byte is sent ---- */

static unsigned began_again;
static store_box_t began_at;

static bool world_again(exchange_t *ex, const store_box_t *now, uint64_t epoch)
{
    (void)epoch;
    began_again++;
    began_at = *now;
    return ex->request_bytes == 0;
}

static void test_connects_again_where_the_box_is_now(void **state)
{
    world_t *w = *state;
    origin_ops_t ops = world_origin_ops;
    ops.again = world_again;
    began_again = 0;
    exchange_world_t *x = activity_world_begin(w, "box", false);
    x->ex->origin_ops = &ops;
    assert_true(activity_still_there(x->ex));
    put_box(w, "other", BOX_PAUSED, 9); /* the epoch changes, but this box does not */
    assert_true(activity_still_there(x->ex));
    assert_int_equal(began_again, 0);
    put_box(w, "box", BOX_RUNNING, 2);
    assert_false(activity_still_there(x->ex));
    assert_int_equal(began_again, 1);
    assert_int_equal(began_at.generation, 2);
    expect_untouched(x);
    x->ex->sent_again = true; /* once */
    assert_false(activity_still_there(x->ex));
    assert_int_equal(began_again, 1);
    expect_code(x, 502, "box_paused");
    end(&x);
}

static void test_does_not_connect_where_it_may_not(void **state)
{
    world_t *w = *state;
    origin_ops_t ops = world_origin_ops;
    ops.again = world_again;
    began_again = 0;
    exchange_world_t *x[3];
    for (size_t i = 0; i < 3; i++) {
        put_box(w, "box", BOX_RUNNING, 10 * i + 1);
        x[i] = activity_world_begin(w, "box", false);
        x[i]->ex->origin_ops = &ops;
    }
    store_box_t box = put_box(w, "box", BOX_RUNNING, 40);
    box.ports[0] = 3001; /* and for no other */
    box.port_count = 1;
    assert_int_equal(store_put_box(w->store.store, &box), STORE_OK);
    assert_false(activity_still_there(x[0]->ex));
    expect_code(x[0], 502, "box_paused");
    put_box(w, "box", BOX_PAUSED, 41);
    assert_false(activity_still_there(x[1]->ex));
    expect_code(x[1], 502, "box_paused");
    assert_int_equal(store_delete_box(w->store.store, STR("box")), STORE_OK);
    assert_false(activity_still_there(x[2]->ex));
    expect_code(x[2], 502, "box_gone");
    assert_int_equal(began_again, 0);
    for (size_t i = 0; i < 3; i++)
        end(&x[i]);
}

/* Its address may belong to another box by now. */
static void test_does_not_connect_to_a_doubted_box(void **state)
{
    world_t *w = *state;
    origin_ops_t ops = world_origin_ops;
    ops.again = world_again;
    began_again = 0;
    for (uint64_t generation = 1; generation <= 2; generation++) {
        put_box(w, "box", BOX_RUNNING, 1);
        exchange_world_t *x = activity_world_begin(w, "box", false);
        x->ex->origin_ops = &ops;
        store_box_t box = put_box(w, "box", BOX_RUNNING, generation);
        box.doubted = true;
        assert_int_equal(store_put_box(w->store.store, &box), STORE_OK);
        assert_false(activity_still_there(x->ex));
        expect_code(x, 503, "box_in_doubt");
        end(&x);
    }
    assert_int_equal(began_again, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, activity_world_setup, activity_world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_waiting_ones_are_answered_when_it_is_paused),
        TEST(test_looked_at_in_the_turn_of_the_message),
        TEST(test_pooled_connections_go_with_their_generation),
        TEST(test_all_ends_when_it_is_gone),
        TEST(test_connections_to_a_left_address_end),
        TEST(test_a_turn_looks_at_few),
        TEST(test_boxes_that_come_and_go_between_looks),
        TEST(test_requests_of_a_process_that_ends),
        TEST(test_a_request_that_waits_to_say_why),
        TEST(test_tunnels_of_a_process_that_is_stopped),
        TEST(test_tunnels_of_a_process_that_closes_them),
        TEST(test_a_box_that_leaves_while_the_worker_drains),
        TEST(test_looks_are_spread_where_boxes_are_many),
        TEST(test_connects_again_where_the_box_is_now),
        TEST(test_does_not_connect_where_it_may_not),
        TEST(test_does_not_connect_to_a_doubted_box),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
