/* Requests whose box refused the connection, with the test in the controller's place. */
#include "worker_fixture.h"

#include "box_ports_message.h"
#include "process.h"
#include "refused.h"

typedef struct world {
    exchange_world_t *x[3];
    context_fixture_t *fixture;
    channel_t *channel;
    int controller;
} world_t;

static step_result_t step_refused(exchange_t *ex)
{
    exchange_to_origin(ex);
    exchange_origin_failed(ex, ORIGIN_NOT_LISTENING);
    return STEP_DONE;
}

static const exchange_step_t steps[] = {{"refused", step_refused}, {NULL, NULL}};

static void no_message(void *owner, ipc_message_t *message)
{
    (void)owner;
    (void)message;
}

static void no_end(void *owner)
{
    (void)owner;
}

static exchange_t *prepare(exchange_world_t *x, uint64_t generation)
{
    exchange_t *ex = x->ex;
    snprintf(test_preview(ex)->id, sizeof(test_preview(ex)->id), "box");
    test_preview(ex)->port = 3000;
    ex->target.is_box = true;
    ex->box = (store_box_t){.generation = generation, .provider = PROVIDER_DOCKER, .pid = 7};
    ex->request.authority = STR("box-3000.preview.test");
    return ex;
}

static exchange_world_t *another(world_t *w)
{
    exchange_world_t *x = calloc(1, sizeof(*x));
    assert_non_null(x);
    x->fixture = w->fixture;
    x->room = EXCHANGE_BODY_BYTES;
    x->out = malloc(WORLD_OUT);
    assert_non_null(x->out);
    x->ex = exchange_new(&w->fixture->client, &world_client_ops, x);
    x->ex->request.version = HTTP_1_1;
    x->ex->request.method = STR("GET");
    x->ex->request.target = STR("/");
    return x;
}

static int setup(void **state)
{
    static const channel_handlers_t handlers = {.message = no_message, .closed = no_end};
    int fds[2];
    world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->x[0] = worker_world_new();
    w->fixture = w->x[0]->fixture;
    w->fixture->client.steps = steps;
    worker_t *worker = worker_of(w->fixture->context);
    exchange_end(&w->x[0]->ex, EXCHANGE_END_COMPLETE);
    for (int i = 0; i < 3; i++) {
        if (i == 0)
            w->x[0]->ex = exchange_new(&w->fixture->client, &world_client_ops, w->x[0]);
        else
            w->x[i] = another(w);
        w->x[i]->ex->request.version = HTTP_1_1;
        w->x[i]->ex->request.method = STR("GET");
        w->x[i]->ex->request.target = STR("/");
        prepare(w->x[i], 5);
    }
    worker->refused = refused_new(worker);
    assert_true(ipc_pair(fds));
    w->channel = channel_new(worker->context.loop, fds[0], &handlers, w);
    w->controller = fds[1];
    refused_set_channel(worker->refused, w->channel);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_t *w = *state;
    worker_t *worker = worker_of(w->fixture->context);
    for (int i = 2; i > 0; i--) {
        if (w->x[i]->ex != NULL)
            exchange_end(&w->x[i]->ex, EXCHANGE_END_COMPLETE);
        free(w->x[i]->out);
        free(w->x[i]);
    }
    refused_set_channel(worker->refused, NULL);
    if (w->x[0]->ex != NULL)
        exchange_end(&w->x[0]->ex, EXCHANGE_END_COMPLETE);
    refused_free(&worker->refused);
    assert_null(worker->refused);
    channel_free(&w->channel);
    close(w->controller);
    w->x[0]->ex = exchange_new(&w->fixture->client, &world_client_ops, w->x[0]);
    exchange_world_free(w->x[0]);
    free(w);
    return 0;
}

/* The number of questions to the controller about the box in that generation. */
static unsigned asked(world_t *w, uint64_t generation)
{
    ipc_message_t message;
    unsigned n = 0;
    while (ipc_receive(w->controller, &message) == IPC_OK) {
        assert_int_equal(message.type, PROCESS_BOX_PORTS_REQUEST);
        assert_int_equal(message.value, generation);
        assert_true(str_eq(str_make(message.bytes, message.len), STR("box-3000")));
        n++;
    }
    return n;
}

static void tell(world_t *w, uint64_t generation, const box_ports_answer_t *listening)
{
    ipc_message_t message = {.type = PROCESS_BOX_PORTS, .value = generation};
    message.len = box_ports_write(STR("box-3000"), listening, message.bytes);
    refused_message(worker_of(w->fixture->context)->refused, &message);
}

static const box_ports_answer_t loopback = {
    .known = true, .count = 2, .ports = {{3000, true}, {5173, false}}};

static void asked_once_and_remembered(void **state)
{
    world_t *w = *state;
    exchange_start(w->x[0]->ex);
    exchange_start(w->x[1]->ex);
    assert_int_equal(asked(w, 5), 1);
    assert_int_equal(w->x[0]->ex->state, EXCHANGE_ORIGIN);
    tell(w, 5, &loopback);
    for (int i = 0; i < 2; i++) {
        exchange_t *ex = w->x[i]->ex;
        assert_int_equal(ex->status, 502);
        assert_string_equal(ex->local_code, "port_on_loopback");
    }
    exchange_start(w->x[2]->ex);
    assert_string_equal(w->x[2]->ex->local_code, "port_on_loopback"); /* immediately */
    assert_int_equal(asked(w, 5), 0);
    tell(w, 5, &loopback); /* nobody asked */
}

static void forgotten_in_time(void **state)
{
    world_t *w = *state;
    static const box_ports_answer_t nothing = {.known = true};
    exchange_start(w->x[0]->ex);
    tell(w, 5, &nothing);
    assert_string_equal(w->x[0]->ex->local_code, "port_not_listening");
    loop_skip(w->fixture->context->loop, REFUSED_FRESH_MS);
    exchange_start(w->x[1]->ex);
    assert_int_equal(asked(w, 5), 2);
    tell(w, 5, &loopback);
    assert_string_equal(w->x[1]->ex->local_code, "port_on_loopback");
    /* Another generation is another box. */
    prepare(w->x[2], 6);
    exchange_start(w->x[2]->ex);
    assert_int_equal(asked(w, 6), 1);
    tell(w, 5, &loopback); /* late */
    assert_int_equal(w->x[2]->ex->state, EXCHANGE_ORIGIN);
    exchange_end(&w->x[2]->ex, EXCHANGE_END_CLIENT_GONE);
    tell(w, 6, &loopback);
}

static void a_controller_that_does_not_answer(void **state)
{
    world_t *w = *state;
    exchange_start(w->x[0]->ex);
    loop_skip(w->fixture->context->loop, REFUSED_WAIT_MS);
    loop_turn(w->fixture->context->loop, 0);
    assert_string_equal(w->x[0]->ex->local_code, "port_not_listening");
    assert_null(w->x[0]->ex->detail);
    loop_skip(w->fixture->context->loop, REFUSED_FRESH_MS);
    refused_set_channel(worker_of(w->fixture->context)->refused, NULL);
    exchange_start(w->x[1]->ex);
    assert_string_equal(w->x[1]->ex->local_code, "port_not_listening");
}

/* The request to the controller has no separate timer: it counts for as long as an exchange would wait. */
static void the_clients_leave_before_the_answer(void **state)
{
    world_t *w = *state;
    loop_t *loop = w->fixture->context->loop;
    loop_hold(loop);
    exchange_start(w->x[0]->ex);
    loop_skip(loop, REFUSED_WAIT_MS - 1);
    loop_turn(loop, 0);
    exchange_start(w->x[1]->ex);
    exchange_end(&w->x[0]->ex, EXCHANGE_END_CLIENT_GONE);
    loop_skip(loop, REFUSED_WAIT_MS - 1);
    loop_turn(loop, 0);
    assert_true(refused_waits(w->x[1]->ex)); /* the deadline is its own */
    assert_int_equal(asked(w, 5), 1);
    exchange_end(&w->x[1]->ex, EXCHANGE_END_CLIENT_GONE);
    exchange_start(w->x[2]->ex);
    assert_int_equal(asked(w, 5), 1); /* the first request is too old to wait for */
    tell(w, 5, &loopback);
    assert_string_equal(w->x[2]->ex->local_code, "port_on_loopback");
}

/* The answer of the controller, or its silence, is the same for all: the first deadline ends all waits. */
static void the_first_deadline_is_that_of_all(void **state)
{
    world_t *w = *state;
    loop_t *loop = w->fixture->context->loop;
    loop_hold(loop);
    exchange_start(w->x[0]->ex);
    loop_skip(loop, REFUSED_WAIT_MS / 2);
    loop_turn(loop, 0);
    exchange_start(w->x[1]->ex);
    loop_skip(loop, REFUSED_WAIT_MS / 2);
    loop_turn(loop, 0);
    for (int i = 0; i < 2; i++)
        assert_string_equal(w->x[i]->ex->local_code, "port_not_listening");
    exchange_start(w->x[2]->ex);
    assert_string_equal(w->x[2]->ex->local_code, "port_not_listening"); /* immediately */
    assert_int_equal(asked(w, 5), 1);
}

/* The advice for containers would be wrong for a process, which is reached on loopback. */
static void a_process_is_reached_on_loopback(void **state)
{
    world_t *w = *state;
    w->x[0]->ex->box.provider = PROVIDER_PROCESS;
    exchange_start(w->x[0]->ex);
    tell(w, 5, &loopback);
    assert_string_equal(w->x[0]->ex->local_code, "port_not_listening");
    w->x[1]->ex->box.pid = 0; /* nothing can be known */
    w->x[1]->ex->box.provider = PROVIDER_HTTP;
    exchange_start(w->x[1]->ex);
    assert_string_equal(w->x[1]->ex->local_code, "port_not_listening");
    assert_int_equal(asked(w, 5), 1);
}

/* For readers who may see it: `failure_details` is the default. */
static void the_line_is_shown(void **state)
{
    world_t *w = *state;
    static const box_ports_answer_t with_port = {
        .known = true, .count = 1, .ports = {{5173, false}}, .line = "boom"};
    static const box_ports_answer_t alone = {.line = "boom"};
    exchange_start(w->x[0]->ex);
    tell(w, 5, &with_port);
    assert_string_equal(w->x[0]->ex->detail,
                        "Listening in the box: port 5173. The last line of its log: boom.");
    loop_skip(w->fixture->context->loop, REFUSED_FRESH_MS);
    exchange_start(w->x[1]->ex);
    tell(w, 5, &alone);
    assert_string_equal(w->x[1]->ex->detail, "The last line of its log: boom.");
    loop_skip(w->fixture->context->loop, REFUSED_FRESH_MS);
    exchange_start(w->x[2]->ex);
    box_ports_answer_t most = {.known = true, .count = BOX_PORTS_ANSWER_MAX};
    for (size_t i = 0; i < BOX_PORTS_ANSWER_MAX; i++)
        most.ports[i] = (box_port_t){(uint16_t)(65000 + i), true};
    memset(most.line, 'x', BOX_PORTS_LINE_MAX);
    tell(w, 5, &most);
    assert_non_null(strstr(w->x[2]->ex->detail, most.line));
}

static step_result_t step_closed(exchange_t *ex)
{
    exchange_to_origin(ex);
    exchange_origin_failed(ex, ORIGIN_CLOSED);
    return STEP_DONE;
}

/* The log of a process or a container gives the reason; the ports do not. */
static void an_app_that_closed(void **state)
{
    static const exchange_step_t closed[] = {{"closed", step_closed}, {NULL, NULL}};
    world_t *w = *state;
    static const box_ports_answer_t listening = {
        .known = true, .count = 1, .ports = {{3000, true}}, .line = "boom"};
    w->fixture->client.steps = closed;
    w->x[0]->ex->box.provider = PROVIDER_HTTP; /* of which the edge has no log */
    exchange_start(w->x[0]->ex);
    assert_string_equal(w->x[0]->ex->local_code, "origin_closed");
    assert_int_equal(asked(w, 5), 0);
    assert_false(refused_waits(w->x[0]->ex));
    w->x[2]->ex->box.provider = PROVIDER_PROCESS;
    exchange_start(w->x[1]->ex);
    assert_int_equal(w->x[1]->ex->state, EXCHANGE_ORIGIN);
    assert_true(refused_waits(w->x[1]->ex));
    assert_int_equal(asked(w, 5), 1);
    tell(w, 5, &listening);
    assert_string_equal(w->x[1]->ex->local_code, "origin_closed");
    assert_string_equal(w->x[1]->ex->detail, "The last line of its log: boom.");
    w->fixture->context->conf->failure_details = CONF_DETAILS_NOBODY;
    exchange_start(w->x[2]->ex);
    assert_string_equal(w->x[2]->ex->local_code, "origin_closed");
    assert_null(w->x[2]->ex->detail);
}

/* The box has no process, so nothing listens; its log still exists. */
static void of_a_box_without_a_process(void **state)
{
    world_t *w = *state;
    w->x[0]->ex->box.pid = w->x[1]->ex->box.pid = 0;
    w->x[0]->ex->box.provider = PROVIDER_HTTP;
    exchange_start(w->x[0]->ex);
    assert_string_equal(w->x[0]->ex->local_code, "port_not_listening");
    assert_int_equal(asked(w, 5), 0);
    exchange_start(w->x[1]->ex);
    assert_int_equal(asked(w, 5), 1);
    tell(w, 5, &(box_ports_answer_t){.line = "boom"});
    assert_string_equal(w->x[1]->ex->detail, "The last line of its log: boom.");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(asked_once_and_remembered),
        TEST(forgotten_in_time),
        TEST(a_controller_that_does_not_answer),
        TEST(the_clients_leave_before_the_answer),
        TEST(the_first_deadline_is_that_of_all),
        TEST(a_process_is_reached_on_loopback),
        TEST(the_line_is_shown),
        TEST(an_app_that_closed),
        TEST(of_a_box_without_a_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
