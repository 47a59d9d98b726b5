/* Requests that the edge makes for an exchange: the request to the origin (played by the test), its answer,
 * answers that are cut or too long, failing origins, and callers that leave at each moment. */
#include "worker_fixture.h"

#include "api.h"
#include "arena.h"
#include "subrequest.h"

/* The caller's exchange is the world's own, which waits. The test plays the origin of the edge's request. */
typedef struct caller {
    exchange_world_t *world;
    subrequest_t *request;

    /* The origin's side. */
    exchange_t *ex; /* the edge's exchange; NULL once the origin has let go */
    unsigned cancels, starts;
    bool answers_at_once; /* the step answers, without an origin */

    /* The result at the caller. */
    unsigned heard;
    int status;
    bool no_body;
    char body[SUBREQUEST_BODY_MAX + 1];
    size_t body_n;
    char type[64];
    bool asks_again; /* leaves when the result arrives */
} caller_t;

/* ---- the origin ---- */

static caller_t *caller_of(const exchange_t *ex)
{
    return ex->origin;
}

static size_t no_room(const exchange_t *ex)
{
    (void)ex;
    return 0;
}

static void no_body(exchange_t *ex, str_t data)
{
    (void)ex;
    (void)data;
    fail_msg("it has no body");
}

static void nothing(exchange_t *ex)
{
    (void)ex;
}

static void on_cancel(exchange_t *ex)
{
    caller_t *caller = caller_of(ex);
    caller->cancels++;
    caller->ex = NULL;
}

static const origin_ops_t origin_ops = {
    .room = no_room,
    .send_body = no_body,
    .send_end = nothing,
    .flush = nothing,
    .resume_response = nothing,
    .cancel = on_cancel,
};

/* The request whose step runs: a step gets only the exchange. */
static caller_t *stepping;

static step_result_t to_origin(exchange_t *ex)
{
    caller_t *caller = stepping;
    caller->starts++;
    if (caller->answers_at_once) {
        exchange_reply_error(ex, 503, "api_busy", "All servers are busy.", 1);
        return STEP_DONE;
    }
    caller->ex = ex;
    ex->origin = caller;
    ex->origin_ops = &origin_ops;
    exchange_to_origin(ex);
    return STEP_DONE;
}

static const exchange_step_t steps[] = {{"origin", to_origin}, {NULL, NULL}};

/* ---- the caller ---- */

static int setup(void **state)
{
    caller_t *c = calloc(1, sizeof(*c));
    assert_non_null(c);
    c->world = worker_world_new();
    c->world->answer = STEP_WAIT;
    c->world->ex->request.authority = STR("api.test");
    exchange_start(c->world->ex);
    stepping = c;
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    caller_t *c = *state;
    subrequest_cancel(&c->request);
    exchange_world_free(c->world);
    assert_null(c->ex); /* the origin was released */
    free(c);
    return 0;
}

static void start(caller_t *c);

static void on_done(exchange_t *parent, void *arg, int status, const fields_t *fields, str_t body)
{
    caller_t *c = stepping;
    assert_null(arg);
    assert_ptr_equal(parent, c->world->ex);
    assert_int_equal(parent->context->counters->exchanges_open, 1); /* the edge's own exchange has ended */
    c->request = NULL;
    c->heard++;
    c->status = status;
    c->no_body = body.p == NULL;
    assert_true(body.n < sizeof(c->body));
    if (body.n != 0)
        memcpy(c->body, body.p, body.n);
    c->body_n = body.n;
    str_t type = fields_value(fields, FIELD_CONTENT_TYPE);
    (void)snprintf(c->type, sizeof(c->type), "%.*s", STR_ARG(type));
    if (c->asks_again) {
        c->asks_again = false;
        start(c);
    }
}

static void start_with(caller_t *c, const char *method, const char *target, const fields_t *fields)
{
    unsigned before = c->heard;
    c->request =
        subrequest_start(c->world->ex, steps, str_from(method), str_from(target), fields, on_done, NULL);
    assert_int_equal(c->heard, before); /* never from within the call */
}

static void start(caller_t *c)
{
    static const fields_t none;
    start_with(c, "GET", "/v2/box/one", &none);
}

static void turn(caller_t *c)
{
    loop_turn(c->world->fixture->context->loop, 0);
}

/* The origin's head. Its slices live until this returns, as with every origin. */
static void head(caller_t *c, int status)
{
    char *name = strdup("content-type"), *value = strdup("application/json");
    c->ex->response = (response_t){.status = status, .content_length = LENGTH_UNKNOWN};
    fields_add(&c->ex->arena, &c->ex->response.fields, FIELD_CONTENT_TYPE, str_from(name), str_from(value));
    exchange_response_head(c->ex);
    free(name);
    free(value);
}

static void body(caller_t *c, size_t n, char byte)
{
    while (n != 0) {
        size_t piece = exchange_response_body_room(c->ex);
        assert_int_not_equal(piece, 0);
        if (piece > n)
            piece = n;
        char *bytes = malloc(piece);
        memset(bytes, byte, piece);
        exchange_response_body(c->ex, str_make(bytes, piece));
        exchange_response_flush(c->ex);
        free(bytes);
        n -= piece;
    }
}

/* The response is complete, and the origin lets go. */
static void end(caller_t *c)
{
    exchange_t *ex = c->ex;
    c->ex = NULL;
    ex->origin_ops = NULL;
    exchange_response_end(ex);
    exchange_response_flush(ex);
}

static void origin_fails(caller_t *c)
{
    exchange_t *ex = c->ex;
    c->ex = NULL;
    ex->origin_ops = NULL;
    exchange_origin_failed(ex, ORIGIN_CLOSED);
}

static void expect_heard(const caller_t *c, int status, size_t body_n)
{
    assert_int_equal(c->heard, 1);
    assert_int_equal(c->status, status);
    assert_int_equal(c->body_n, body_n);
    assert_null(c->request);
}

/* ---- the request ---- */

static void what_goes_to_the_origin(void **state)
{
    caller_t *c = *state;
    char method[] = "POST", target[] = "/v2/box/one/resume", name[] = "x-box-api-key", value[] = "secret";
    fields_t fields = {0};
    fields_add(&c->world->ex->arena, &fields, FIELD_X_BOX_API_KEY, str_from(name), str_from(value));
    start_with(c, method, target, &fields);
    memset(method, 'x', 4); /* every part was copied */
    memset(target, 'x', 4);
    memset(name, 'x', 4);
    memset(value, 'x', 4);
    const request_t *request = &c->ex->request;
    assert_true(str_eq(request->method, STR("POST")));
    assert_true(str_eq(request->target, STR("/v2/box/one/resume")));
    assert_true(str_eq(request->authority, STR("api.test")));
    assert_int_equal(request->fields.count, 1);
    assert_true(str_eq(request->fields.at[0].name, STR("x-box-api-key")));
    assert_true(str_eq(fields_value(&request->fields, FIELD_X_BOX_API_KEY), STR("secret")));
    assert_int_equal(request->version, HTTP_1_1);
    assert_false(request->has_body);
    assert_true(c->ex->request_complete);
    assert_true(c->ex->internal); /* no access line */
    assert_string_equal(c->ex->request_id, c->world->ex->request_id);
    assert_null(c->ex->api);
}

/* The request counts against no limit: the caller's exchange already paid for both. */
static void it_shows_its_callers_key(void **state)
{
    static const uint8_t seed[16];
    caller_t *c = *state;
    worker_t *worker = worker_of(c->world->fixture->context);
    worker->context.shm = shm_new(seed);
    assert_non_null(worker->context.shm);
    conf_plan_t plan = {.name = "plan"};
    api_t *api = arena_alloc(&c->world->ex->arena, sizeof(*api));
    *api = (api_t){.conf = conf_acquire(worker->context.conf),
                   .upstream_index = 2,
                   .key_state = API_KEY_KNOWN,
                   .key = {.sha256 = {1, 2, 3}},
                   .plan = &plan,
                   .outcome = BALANCE_LEFT};
    c->world->ex->api = api;
    start(c);
    const api_t *own = c->ex->api;
    assert_ptr_not_equal(own, api);
    assert_ptr_equal(own->conf, api->conf);
    assert_int_equal(own->upstream_index, 2);
    assert_int_equal(own->key_state, API_KEY_KNOWN);
    assert_memory_equal(&own->key, &api->key, sizeof(own->key));
    assert_null(own->plan);
    head(c, 200);
    end(c);
    turn(c);
    expect_heard(c, 200, 0);
    api->plan = NULL;
    exchange_end(&c->world->ex, EXCHANGE_END_COMPLETE);
    shm_free(&worker->context.shm);
    c->world->ex = exchange_new(&c->world->fixture->client, &world_client_ops, c->world);
}

/* ---- the answer ---- */

static void an_answer(void **state)
{
    caller_t *c = *state;
    start(c);
    exchange_response_informational(c->ex, 103, &(fields_t){0}); /* ignored by the caller */
    head(c, 200);
    body(c, 3, 'a');
    body(c, 2000, 'b');
    assert_int_equal(c->heard, 0);
    end(c);
    assert_int_equal(c->heard, 0); /* at the end of the turn */
    turn(c);
    expect_heard(c, 200, 2003);
    assert_memory_equal(c->body, "aaab", 4);
    assert_int_equal(c->body[2002], 'b');
    assert_string_equal(c->type, "application/json");
    assert_int_equal(c->cancels, 0);
    turn(c);
    assert_int_equal(c->heard, 1);
    assert_int_equal(c->world->heads, 0); /* the caller's client has received nothing */
}

static void an_answer_without_a_body(void **state)
{
    caller_t *c = *state;
    start(c);
    head(c, 404);
    end(c);
    turn(c);
    expect_heard(c, 404, 0);
    assert_true(c->no_body);
}

static void a_step_that_answers_at_once(void **state)
{
    caller_t *c = *state;
    c->answers_at_once = true;
    start(c);
    turn(c);
    assert_int_equal(c->heard, 1);
    assert_int_equal(c->status, 503);
    assert_string_equal(c->type, "application/json");
    assert_non_null(memmem(c->body, c->body_n, "api_busy", 8));
}

static void the_next_one_begins_where_the_last_is_heard(void **state)
{
    caller_t *c = *state;
    c->asks_again = true;
    start(c);
    head(c, 200);
    end(c);
    turn(c);
    assert_int_equal(c->heard, 1);
    assert_int_equal(c->starts, 2);
    head(c, 204);
    end(c);
    turn(c);
    assert_int_equal(c->heard, 2);
    assert_int_equal(c->status, 204);
}

/* ---- the bound of a body ---- */

static void the_longest_body(void **state)
{
    caller_t *c = *state;
    start(c);
    head(c, 200);
    body(c, SUBREQUEST_BODY_MAX - 1, 'a');
    body(c, 1, 'b');
    end(c);
    turn(c);
    expect_heard(c, 200, SUBREQUEST_BODY_MAX);
    assert_int_equal(c->body[SUBREQUEST_BODY_MAX - 2], 'a');
    assert_int_equal(c->body[SUBREQUEST_BODY_MAX - 1], 'b');
}

static void a_body_that_is_too_long(void **state)
{
    caller_t *c = *state;
    start(c);
    head(c, 200);
    body(c, SUBREQUEST_BODY_MAX, 'a');
    body(c, 1, 'b');
    assert_int_equal(exchange_response_body_room(c->ex), 0); /* no further byte is accepted */
    turn(c);
    expect_heard(c, 0, SUBREQUEST_BODY_MAX);
    assert_int_equal(c->cancels, 1);
}

/* Status and fields are enough here: 429 with Retry-After. */
static void a_refusal_whose_body_is_too_long(void **state)
{
    caller_t *c = *state;
    start(c);
    head(c, 429);
    body(c, SUBREQUEST_BODY_MAX, 'a');
    body(c, 1, 'b');
    turn(c);
    expect_heard(c, 429, 0);
    assert_int_equal(c->cancels, 1);
}

/* The last byte exceeds the bound, and the origin ends in the same call. */
static void a_body_that_is_too_long_and_ends(void **state)
{
    caller_t *c = *state;
    start(c);
    head(c, 200);
    body(c, SUBREQUEST_BODY_MAX, 'a');
    body(c, 1, 'b');
    end(c);
    turn(c);
    expect_heard(c, 0, SUBREQUEST_BODY_MAX);
    assert_int_equal(c->cancels, 0);
}

/* ---- origins that fail ---- */

static void an_origin_that_fails_before_its_head(void **state)
{
    caller_t *c = *state;
    start(c);
    origin_fails(c);
    turn(c);
    assert_int_equal(c->heard, 1);
    assert_int_equal(c->status, 502);
    assert_int_not_equal(c->body_n, 0);
}

static void an_origin_that_fails_after_its_head(void **state)
{
    caller_t *c = *state;
    start(c);
    head(c, 200);
    origin_fails(c);
    turn(c);
    expect_heard(c, 0, 0);
}

static void an_origin_that_fails_within_its_body(void **state)
{
    caller_t *c = *state;
    start(c);
    head(c, 200);
    body(c, 10, 'a');
    origin_fails(c);
    turn(c);
    expect_heard(c, 0, 10);
}

/* ---- callers that leave ---- */

static void cancel(caller_t *c)
{
    subrequest_cancel(&c->request);
    assert_null(c->request);
    assert_int_equal(c->world->fixture->counters.exchanges_open, 1);
    turn(c);
    turn(c);
    assert_int_equal(c->heard, 0);
    subrequest_cancel(&c->request); /* none any more */
}

static void a_caller_that_leaves_before_the_head(void **state)
{
    caller_t *c = *state;
    start(c);
    cancel(c);
    assert_int_equal(c->cancels, 1);
}

static void a_caller_that_leaves_within_the_body(void **state)
{
    caller_t *c = *state;
    start(c);
    head(c, 200);
    body(c, 10, 'a');
    cancel(c);
    assert_int_equal(c->cancels, 1);
}

static void a_caller_that_leaves_when_all_has_come(void **state)
{
    caller_t *c = *state;
    start(c);
    head(c, 200);
    end(c);
    cancel(c);
    assert_int_equal(c->cancels, 0);
}

static void a_caller_that_leaves_a_body_that_is_too_long(void **state)
{
    caller_t *c = *state;
    start(c);
    head(c, 200);
    body(c, SUBREQUEST_BODY_MAX + 1, 'a');
    cancel(c);
    assert_int_equal(c->cancels, 1);
}

static void a_caller_that_leaves_a_failed_origin(void **state)
{
    caller_t *c = *state;
    start(c);
    head(c, 200);
    origin_fails(c);
    cancel(c);
}

static void a_caller_that_leaves_an_answer_of_the_edges(void **state)
{
    caller_t *c = *state;
    c->answers_at_once = true;
    start(c);
    cancel(c);
}

/* A caller may cancel a request from within the result's handler. */
static void a_caller_that_leaves_after_the_end(void **state)
{
    caller_t *c = *state;
    start(c);
    subrequest_t *request = c->request;
    head(c, 200);
    end(c);
    turn(c);
    expect_heard(c, 200, 0);
    subrequest_cancel(&request);
    assert_null(request);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_goes_to_the_origin),
        TEST(it_shows_its_callers_key),
        TEST(an_answer),
        TEST(an_answer_without_a_body),
        TEST(a_step_that_answers_at_once),
        TEST(the_next_one_begins_where_the_last_is_heard),
        TEST(the_longest_body),
        TEST(a_body_that_is_too_long),
        TEST(a_body_that_is_too_long_and_ends),
        TEST(a_refusal_whose_body_is_too_long),
        TEST(an_origin_that_fails_before_its_head),
        TEST(an_origin_that_fails_after_its_head),
        TEST(an_origin_that_fails_within_its_body),
        TEST(a_caller_that_leaves_before_the_head),
        TEST(a_caller_that_leaves_within_the_body),
        TEST(a_caller_that_leaves_when_all_has_come),
        TEST(a_caller_that_leaves_a_body_that_is_too_long),
        TEST(a_caller_that_leaves_a_failed_origin),
        TEST(a_caller_that_leaves_an_answer_of_the_edges),
        TEST(a_caller_that_leaves_after_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
