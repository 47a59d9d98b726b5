/* The wait of an exchange: one source, one deadline, a completion within the call that begins it, and nothing
 * that resumes an exchange afterwards. A step waits, and so does the failure or the end of an origin. */
#include "exchange_world.h"

typedef enum plan {
    PLAN_WAIT,     /* begins to wait, and continues when it runs again */
    PLAN_AGAIN,    /* the same, but waits a second time without a new deadline */
    PLAN_COMPLETE, /* its wait completes before it returns, several times over */
    PLAN_ANSWER,   /* it is answered before it returns */
    PLAN_COMPLETE_ANSWER,
} plan_t;

static const unsigned completions = 3;

typedef struct bed {
    exchange_world_t *world;
    plan_t plan;
    unsigned begun, expired, left, resumed, depth;
    bool listed;
} bed_t;

static bed_t *bed; /* of the test that runs */

static void source_leave(exchange_t *ex, await_end_t how)
{
    assert_true(bed->listed);
    assert_null(await_source(ex));
    bed->listed = false;
    *(how == AWAIT_LEFT ? &bed->left : &bed->resumed) += 1;
}

static const await_source_t source = {.name = "bed", .leave = source_leave};

static void expired(exchange_t *ex)
{
    assert_ptr_equal(await_source(ex), &source);
    bed->expired++;
    exchange_reply_error(ex, 503, "late", "It did not come in time.", 0);
}

static void begin(exchange_t *ex)
{
    bed->listed = true;
    bed->begun++;
    await_begin(ex, &source);
    assert_ptr_equal(await_source(ex), &source);
}

static bool waits_again(void)
{
    switch (bed->plan) {
    case PLAN_WAIT:
    case PLAN_ANSWER:
    case PLAN_COMPLETE_ANSWER:
        return bed->begun < 1;
    case PLAN_AGAIN:
        return bed->begun < 2;
    case PLAN_COMPLETE:
        return bed->begun < completions;
    }
    return false;
}

static step_result_t step_wait(exchange_t *ex)
{
    assert_int_equal(bed->depth++, 0); /* it never runs within itself */
    bool waits = waits_again();
    if (waits)
        begin(ex);
    if (bed->begun == 1 && waits)
        await_until(ex, 1000, expired);
    if (waits && (bed->plan == PLAN_COMPLETE || bed->plan == PLAN_COMPLETE_ANSWER))
        await_complete(ex);
    if (bed->plan == PLAN_ANSWER || bed->plan == PLAN_COMPLETE_ANSWER)
        exchange_reply_error(ex, 400, "bad_chunk", "It is wrong.", 0);
    bed->depth--;
    return waits ? STEP_WAIT : STEP_NEXT;
}

static const exchange_step_t steps[] = {{"wait", step_wait}, {"origin", world_step}, {NULL, NULL}};

static void start(bed_t *b, plan_t plan)
{
    *b = (bed_t){.world = exchange_world_new(), .plan = plan};
    bed = b;
    b->world->fixture->client.steps = steps;
    loop_hold(b->world->fixture->context->loop);
    exchange_start(b->world->ex);
}

static void pass_time(const bed_t *b, uint64_t ms)
{
    loop_t *loop = b->world->fixture->context->loop;
    loop_skip(loop, ms);
    loop_turn(loop, 0);
}

static void expect_at_origin(const bed_t *b)
{
    assert_int_equal(b->world->ex->state, EXCHANGE_ORIGIN);
    assert_int_equal(b->world->runs, 1);
    assert_false(b->listed);
    pass_time(b, 5000); /* no deadline is left */
    assert_int_equal(b->expired, 0);
    assert_int_equal(b->world->ex->state, EXCHANGE_ORIGIN);
}

static void it_goes_on_when_the_source_says_so(void **state)
{
    (void)state;
    bed_t b;
    start(&b, PLAN_WAIT);
    assert_int_equal(b.world->ex->state, EXCHANGE_STEPS);
    pass_time(&b, 999);
    assert_int_equal(b.expired, 0);
    await_complete(b.world->ex);
    assert_int_equal(b.resumed, 1);
    expect_at_origin(&b);
    exchange_world_free(b.world);
    assert_int_equal(b.left, 0);
}

static void it_completes_within_the_call_that_begins(void **state)
{
    (void)state;
    bed_t b;
    start(&b, PLAN_COMPLETE);
    assert_int_equal(b.begun, completions);
    assert_int_equal(b.resumed, completions);
    expect_at_origin(&b);
    exchange_world_free(b.world);
}

/* A deadline belongs to the step: a second wait of the same step does not restart it. */
static void a_deadline_outlasts_a_completion(void **state)
{
    (void)state;
    bed_t b;
    start(&b, PLAN_AGAIN);
    pass_time(&b, 600);
    await_complete(b.world->ex);
    assert_int_equal(b.begun, 2);
    assert_ptr_equal(await_source(b.world->ex), &source);
    pass_time(&b, 400);
    assert_int_equal(b.expired, 1);
    assert_int_equal(b.left, 1);
    assert_int_equal(b.world->ex->status, 503);
    exchange_world_free(b.world);
}

static void it_is_answered_before_the_step_returns(void **state)
{
    (void)state;
    static const plan_t plans[] = {PLAN_ANSWER, PLAN_COMPLETE_ANSWER};
    for (size_t i = 0; i < 2; i++) {
        bed_t b;
        start(&b, plans[i]);
        assert_int_equal(b.left + b.resumed, 1);
        assert_int_equal(b.resumed, i);
        assert_null(await_source(b.world->ex));
        assert_int_equal(b.begun, 1);
        assert_int_equal(b.world->runs, 0);
        pass_time(&b, 5000);
        assert_int_equal(b.expired, 0);
        assert_int_equal(b.world->ex->status, 400);
        assert_int_equal(b.world->heads, 1);
        exchange_world_free(b.world);
    }
}

typedef enum way { BY_ANSWER, BY_CUT, BY_END, BY_LEAVING, WAYS } way_t;

/* The source and the deadline are left first. */
static void every_end_leaves_it(void **state)
{
    (void)state;
    for (way_t way = 0; way < WAYS; way++) {
        bed_t b;
        start(&b, PLAN_WAIT);
        exchange_t *ex = b.world->ex;
        if (way == BY_ANSWER)
            exchange_refuse(ex, 400, "bad_chunk", "It is wrong.", NULL);
        else if (way == BY_CUT)
            exchange_cut(ex);
        else if (way == BY_END)
            exchange_end(&b.world->ex, EXCHANGE_END_CLIENT_GONE);
        else
            await_leave(ex);
        assert_int_equal(b.left, 1);
        assert_false(b.listed);
        pass_time(&b, 5000);
        assert_int_equal(b.expired, 0);
        assert_int_equal(b.world->runs, 0);
        if (way == BY_END)
            b.world->ex = exchange_new(&b.world->fixture->client, &world_client_ops, b.world);
        await_leave(b.world->ex); /* no-op */
        exchange_world_free(b.world);
        assert_int_equal(b.left, 1);
    }
}

/* ---- an origin that has left ---- */

#define HOLD_MS 500

static void held_goes_on(exchange_t *ex)
{
    assert_null(await_source(ex));
    bed->begun++;
    if (ex->state == EXCHANGE_TUNNEL)
        exchange_cut(ex);
    else
        exchange_reply_error(ex, 502, "origin_closed", "The app closed the connection.", 0);
}

static const await_source_t holder = {.name = "holder", .leave = source_leave, .go_on = held_goes_on};

static void hold(exchange_t *ex)
{
    bed->listed = true;
    await_hold(ex, &holder, HOLD_MS);
    assert_ptr_equal(await_source(ex), &holder);
}

/* The origin leaves before the step has returned. */
static step_result_t step_left(exchange_t *ex)
{
    exchange_to_origin(ex);
    hold(ex);
    return STEP_DONE;
}

/* Holds an exchange within its step, at its origin, or as a tunnel. */
typedef enum place { IN_STEP, AT_ORIGIN, IN_TUNNEL, PLACES } place_t;

static void start_held(bed_t *b, place_t place)
{
    static const exchange_step_t left[] = {{"left", step_left}, {NULL, NULL}};
    static const exchange_step_t taken[] = {{"origin", world_step}, {NULL, NULL}};
    *b = (bed_t){.world = exchange_world_new()};
    bed = b;
    exchange_t *ex = b->world->ex;
    b->world->fixture->client.steps = place == IN_STEP ? left : taken;
    loop_hold(b->world->fixture->context->loop);
    if (place == IN_TUNNEL)
        world_open_tunnel(b->world);
    else
        exchange_start(ex);
    if (place == AT_ORIGIN)
        ex->origin_ops = NULL; /* it has let go */
    if (place != IN_STEP)
        hold(ex);
}

static void expect_gone_on(const bed_t *b, place_t place)
{
    assert_int_equal(b->resumed, 1);
    assert_int_equal(b->begun, 1);
    assert_int_equal(place == IN_TUNNEL ? b->world->cuts : b->world->heads, 1);
    pass_time(b, 5000); /* no deadline is left */
    assert_int_equal(b->begun, 1);
}

static void a_held_end_goes_on_with_its_source_or_in_time(void **state)
{
    (void)state;
    for (place_t place = 0; place < PLACES; place++)
        for (int in_time = 0; in_time < 2; in_time++) {
            bed_t b;
            start_held(&b, place);
            pass_time(&b, HOLD_MS - 1);
            assert_int_equal(b.begun + b.left, 0);
            assert_int_equal(b.world->heads, place == IN_TUNNEL ? 1 : 0);
            if (in_time != 0)
                pass_time(&b, 1);
            else
                await_complete(b.world->ex);
            expect_gone_on(&b, place);
            exchange_world_free(b.world);
            assert_int_equal(b.left, 0);
        }
}

static void every_end_leaves_a_held_one(void **state)
{
    (void)state;
    for (place_t place = 0; place < PLACES; place++)
        for (way_t way = 0; way < WAYS; way++) {
            bed_t b;
            start_held(&b, place);
            exchange_t *ex = b.world->ex;
            if (way == BY_ANSWER && place != IN_TUNNEL)
                exchange_refuse(ex, 400, "bad_chunk", "It is wrong.", NULL);
            else if (way == BY_ANSWER || way == BY_CUT)
                exchange_cut(ex);
            else if (way == BY_END)
                exchange_end(&b.world->ex, EXCHANGE_END_CLIENT_GONE);
            else
                await_leave(ex);
            assert_int_equal(b.left, 1);
            pass_time(&b, HOLD_MS);
            assert_int_equal(b.begun, 0);
            if (way == BY_END)
                b.world->ex = exchange_new(&b.world->fixture->client, &world_client_ops, b.world);
            exchange_world_free(b.world);
            assert_int_equal(b.left, 1);
        }
}

/* A box may end its direction only. */
static void a_client_goes_on_in_a_held_tunnel(void **state)
{
    (void)state;
    bed_t b;
    start_held(&b, IN_TUNNEL);
    exchange_t *ex = b.world->ex;
    b.world->origin_room = 5;
    assert_int_equal(exchange_request_room(ex), 5);
    exchange_request_body(ex, STR("hello"));
    exchange_request_end(ex);
    exchange_request_flush(ex);
    assert_int_equal(b.world->taken_n, 5);
    assert_int_equal(b.world->origin_ends, 1);
    assert_ptr_equal(await_source(ex), &holder);
    exchange_world_free(b.world);
    assert_int_equal(b.left, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_goes_on_when_the_source_says_so),
        cmocka_unit_test(it_completes_within_the_call_that_begins),
        cmocka_unit_test(a_deadline_outlasts_a_completion),
        cmocka_unit_test(it_is_answered_before_the_step_returns),
        cmocka_unit_test(every_end_leaves_it),
        cmocka_unit_test(a_held_end_goes_on_with_its_source_or_in_time),
        cmocka_unit_test(every_end_leaves_a_held_one),
        cmocka_unit_test(a_client_goes_on_in_a_held_tunnel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
