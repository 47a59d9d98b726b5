/* Connections to origins by client and box: their bounds, the queues behind them, and requests that leave. */
#include "exchange_world.h"

#include "random_id.h"
#include "slots.h"

#define MANY (SLOTS_MANY_BOX + 8)

typedef struct world {
    context_fixture_t *fixture;
    context_t *context;
    pipeline_t pipeline;
    exchange_world_t x[MANY];
    size_t count;
} world_t;

static const exchange_step_t slot_steps[] = {
    {"slots", slots_take_for_box}, {"origin", world_step}, {NULL, NULL}};

static const exchange_hook_t leave[] = {slots_release, NULL};

static int setup(void **state)
{
    world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->fixture = context_fixture_new();
    w->context = w->fixture->context;
    w->pipeline = bare_pipeline;
    w->pipeline.hooks.leave = leave;
    w->context->pipeline = &w->pipeline;
    w->fixture->client.local = false;
    w->fixture->client.steps = slot_steps;
    w->context->slots = slots_new(w->context);
    w->context->conf->limits.origin_connections_per_client = 2;
    w->context->conf->limits.origin_connections_per_box = 3;
    w->context->conf->limits.origin_queue = 4;
    loop_hold(w->context->loop);
    *state = w;
    return 0;
}

static void end(exchange_world_t *x, exchange_end_t how)
{
    if (x->ex != NULL)
        exchange_end(&x->ex, how);
    free(x->out);
    x->out = NULL;
}

static int teardown(void **state)
{
    world_t *w = *state;
    for (size_t i = 0; i < w->count; i++)
        end(&w->x[i], EXCHANGE_END_CLIENT_GONE);
    loop_turn(w->context->loop, 0);
    assert_int_equal(slots_waiting(w->context->slots), 0);
    slots_free(&w->context->slots); /* asserts that no slot is held */
    context_fixture_free(w->fixture);
    free(w);
    return 0;
}

/* A request of `client` to `box`, started. */
static exchange_world_t *ask(world_t *w, const char *client, const char *box)
{
    assert_true(w->count < MANY);
    exchange_world_t *x = &w->x[w->count++];
    *x = (exchange_world_t){.fixture = w->fixture, .answer = STEP_DONE};
    x->room = x->origin_room = EXCHANGE_BODY_BYTES;
    x->out = malloc(WORLD_OUT);
    assert_int_equal(inet_pton(AF_INET6, client, &w->fixture->client.address), 1);
    exchange_t *ex = x->ex = exchange_new(&w->fixture->client, &world_client_ops, x);
    ex->request.version = HTTP_1_1;
    ex->request.method = STR("GET");
    ex->request.target = STR("/");
    ex->box.state = BOX_RUNNING;
    ex->box.provider = PROVIDER_STATIC;
    snprintf(ex->box.id, sizeof(ex->box.id), "%s", box);
    exchange_start(ex);
    return x;
}

static void turn(world_t *w, uint64_t ms)
{
    loop_skip(w->context->loop, ms);
    loop_turn(w->context->loop, 0);
    loop_turn(w->context->loop, 0);
}

static void respond_whole(exchange_world_t *x)
{
    x->ex->response = (response_t){.status = 204, .bodyless = true, .content_length = LENGTH_UNKNOWN};
    exchange_response_head(x->ex);
    x->ex->origin_ops = NULL;
    exchange_response_end(x->ex);
}

static void expect_at_origin(const exchange_world_t *x)
{
    assert_int_equal(x->ex->state, EXCHANGE_ORIGIN);
}

static void expect_waits(const exchange_world_t *x)
{
    assert_int_equal(x->ex->state, EXCHANGE_STEPS);
    assert_string_equal(await_source(x->ex)->name, "slots");
}

#define A "::ffff:192.0.2.1"
#define B "::ffff:192.0.2.2"
#define C "::ffff:192.0.2.3"

static void a_client_has_its_connections_and_no_more(void **state)
{
    world_t *w = *state;
    exchange_world_t *one = ask(w, A, "x"), *two = ask(w, A, "y"), *three = ask(w, A, "z"),
                     *four = ask(w, A, "z");
    expect_at_origin(one);
    expect_at_origin(two);
    expect_waits(three);
    expect_waits(four);
    expect_at_origin(ask(w, B, "x")); /* other clients are not concerned */
    respond_whole(two);
    turn(w, 0);
    expect_at_origin(three); /* first come, first served */
    expect_waits(four);
    end(three, EXCHANGE_END_CLIENT_GONE);
    turn(w, 0);
    expect_at_origin(four);
}

static void a_box_has_its_connections_and_no_more(void **state)
{
    world_t *w = *state;
    exchange_world_t *first = ask(w, A, "x");
    expect_at_origin(ask(w, A, "x"));
    expect_at_origin(ask(w, B, "x"));
    exchange_world_t *waits = ask(w, C, "x");
    expect_waits(waits);
    expect_at_origin(ask(w, C, "y"));
    expect_at_origin(ask(w, C, "y")); /* a request that waits for its box holds none of its client's slots */
    respond_whole(first);
    turn(w, 0);
    expect_waits(waits); /* now its client has too many */
}

static void a_client_may_have_many(void **state)
{
    world_t *w = *state;
    w->context->conf->limits.origin_connections_per_client = MANY;
    w->context->conf->limits.origin_connections_per_box = MANY;
    for (size_t i = 0; i < SLOTS_MANY_CLIENT; i++)
        assert_false(slots_are_many(ask(w, A, i % 2 == 0 ? "x" : "y")->ex));
    assert_true(slots_are_many(ask(w, A, "z")->ex));
    assert_false(slots_are_many(ask(w, B, "z")->ex));
}

static void a_box_may_have_many(void **state)
{
    world_t *w = *state;
    w->context->conf->limits.origin_connections_per_client = MANY;
    w->context->conf->limits.origin_connections_per_box = MANY;
    char client[] = "::ffff:192.0.2.0";
    for (size_t i = 0; i <= SLOTS_MANY_BOX; i++) {
        client[sizeof(client) - 2] = (char)('0' + i % 8);
        assert_int_equal(slots_are_many(ask(w, client, "x")->ex), i == SLOTS_MANY_BOX);
    }
}

/* One /64 is one client. */
static void addresses_of_one_client(void **state)
{
    world_t *w = *state;
    expect_at_origin(ask(w, "2001:db8:0:1::1", "x"));
    expect_at_origin(ask(w, "2001:db8:0:1::2", "y"));
    expect_waits(ask(w, "2001:db8:0:1:ffff::3", "z"));
    expect_at_origin(ask(w, "2001:db8:0:2::1", "z"));
}

static void a_wait_has_an_end(void **state)
{
    world_t *w = *state;
    (void)ask(w, A, "x");
    (void)ask(w, A, "x");
    exchange_world_t *late = ask(w, A, "x");
    turn(w, w->context->conf->timeouts.origin_queue - 1);
    expect_waits(late);
    turn(w, 1);
    assert_int_equal(late->ex->status, 503);
    assert_string_equal(late->ex->local_code, "client_busy");
}

static void a_line_has_an_end(void **state)
{
    world_t *w = *state;
    for (int i = 0; i < 2; i++)
        expect_at_origin(ask(w, A, "x"));
    for (int i = 0; i < 4; i++)
        expect_waits(ask(w, A, "x"));
    exchange_world_t *one_more = ask(w, A, "x");
    assert_int_equal(one_more->ex->status, 503);
    assert_int_equal(w->context->counters->origin_queue_refused_total, 1);
    assert_int_equal(w->context->counters->origin_queue_waits_total, 4);
    expect_at_origin(ask(w, B, "y"));
}

/* The codec answers a waiting request: no trace of it is left, and the next one has its turn. */
static void one_that_waits_is_answered(void **state)
{
    world_t *w = *state;
    exchange_world_t *one = ask(w, A, "x");
    (void)ask(w, A, "x");
    exchange_world_t *refused = ask(w, A, "x"), *next = ask(w, A, "x");
    refused->room = 0; /* its answer cannot leave */
    exchange_refuse(refused->ex, 408, "request_timeout", "The request's body did not come in time.", NULL);
    assert_int_equal(slots_waiting(w->context->slots), 1);
    respond_whole(one);
    turn(w, 0);
    assert_int_equal(refused->ex->status, 408);
    expect_at_origin(next);
}

/* Its slot is free once the response has arrived, even if the client has not read all of it. */
static void a_slot_is_held_until_the_response_has_come(void **state)
{
    world_t *w = *state;
    exchange_world_t *one = ask(w, A, "x");
    (void)ask(w, A, "x");
    exchange_world_t *waits = ask(w, A, "x");
    world_respond(one);
    turn(w, 0);
    expect_waits(waits);
    one->ex->origin_ops = NULL;
    exchange_response_end(one->ex);
    turn(w, 0);
    expect_at_origin(waits);
}

/* Descriptors bound the slots, whatever the configuration allows. */
static void shares_of_the_descriptors(void **state)
{
    world_t *w = *state;
    w->context->conf->limits.origin_connections_per_client = 0;
    w->context->usable_descriptors = 16; /* two for a client, four for a box */
    expect_at_origin(ask(w, A, "x"));
    expect_at_origin(ask(w, A, "x"));
    expect_waits(ask(w, A, "x"));
    expect_at_origin(ask(w, B, "x"));
    w->context->conf->limits.origin_connections_per_box = 0;
    expect_at_origin(ask(w, B, "x"));
    expect_waits(ask(w, C, "x"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_client_has_its_connections_and_no_more),
        TEST(a_box_has_its_connections_and_no_more),
        TEST(a_client_may_have_many),
        TEST(a_box_may_have_many),
        TEST(addresses_of_one_client),
        TEST(a_wait_has_an_end),
        TEST(a_line_has_an_end),
        TEST(one_that_waits_is_answered),
        TEST(a_slot_is_held_until_the_response_has_come),
        TEST(shares_of_the_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
