/* The list of a worker's requests, and the end of one. */
#include "worker_fixture.h"

#include <unistd.h>

#include "ipc.h"
#include "process.h"
#include "requests.h"

typedef struct asked {
    channel_t *channel;
    int peer;
    unsigned rows, messages;
    char state[TRAFFIC_WORD_MAX + 1]; /* of the last row */
    traffic_end_t end;
    ipc_message_t message;
} asked_t;

static void ignore(void *owner, ipc_message_t *message)
{
    (void)owner;
    (void)message;
}

static void ignore_end(void *owner)
{
    (void)owner;
}

static void take(asked_t *asked)
{
    str_t bytes = str_make(asked->message.bytes, asked->message.len);
    asked->messages++;
    str_t rest = str_from_offset(bytes, 1);
    if (bytes.p[0] == TRAFFIC_PART_END) {
        assert_true(traffic_end_read(rest, &asked->end));
        return;
    }
    while (rest.n != 0) {
        traffic_request_t row;
        assert_true(traffic_request_read(&rest, &row));
        (void)snprintf(asked->state, sizeof(asked->state), "%.*s", STR_ARG(row.state));
        asked->rows++;
    }
}

static void ask(context_t *context, const traffic_question_t *question, asked_t *asked)
{
    static const channel_handlers_t handlers = {.message = ignore, .closed = ignore_end};
    int fds[2];
    ipc_message_t message = {.type = PROCESS_TRAFFIC_ASK, .value = 7};
    *asked = (asked_t){.peer = -1};
    assert_true(ipc_pair(fds));
    asked->channel = channel_new(context->loop, fds[0], &handlers, NULL);
    message.len = traffic_question_write(question, message.bytes);
    requests_take(context, asked->channel, &message);
    for (;;) {
        loop_turn(context->loop, 0);
        if (ipc_receive(fds[1], &asked->message) != IPC_OK)
            break;
        assert_int_equal(asked->message.value, 7);
        take(asked);
    }
    channel_free(&asked->channel);
    loop_turn(context->loop, 0);
    close(fds[1]);
}

static void one_request(void **state)
{
    (void)state;
    exchange_world_t *world = worker_world_new();
    asked_t asked;
    traffic_question_t question = {.op = TRAFFIC_LIST, .limit = 10};
    ask(world->fixture->context, &question, &asked);
    assert_int_equal(asked.end.open, 0); /* its head is not whole */
    world->answer = STEP_DONE;
    exchange_start(world->ex);
    ask(world->fixture->context, &question, &asked);
    assert_int_equal(asked.rows, 1);
    assert_int_equal(asked.end.open, 1);
    assert_int_equal(asked.end.matched, 1);
    assert_string_equal(asked.state, "first_byte");
    (void)snprintf(question.state, sizeof(question.state), "wake");
    ask(world->fixture->context, &question, &asked);
    assert_int_equal(asked.rows, 0);
    assert_int_equal(asked.end.open, 1);
    assert_int_equal(asked.end.matched, 0);
    exchange_world_free(world);
}

static void ended_before_and_after_its_head(void **state)
{
    (void)state;
    for (int began = 0; began < 2; began++) {
        exchange_world_t *world = worker_world_new();
        asked_t asked;
        traffic_question_t question = {.op = TRAFFIC_KILL};
        world->answer = STEP_DONE;
        exchange_start(world->ex);
        if (began == 1)
            world_respond(world);
        (void)snprintf(question.request_id, sizeof(question.request_id), "no-such-id");
        ask(world->fixture->context, &question, &asked);
        assert_int_equal(asked.end.ended[TRAFFIC_ANSWERED] + asked.end.ended[TRAFFIC_RESET], 0);
        memcpy(question.request_id, world->ex->request_id, sizeof(world->ex->request_id));
        ask(world->fixture->context, &question, &asked);
        assert_int_equal(asked.messages, 1);
        assert_int_equal(asked.end.ended[began == 1 ? TRAFFIC_RESET : TRAFFIC_ANSWERED], 1);
        assert_string_equal(world->ex->local_code, "killed");
        assert_int_equal(world->ex->status, began == 1 ? 200 : 503);
        assert_int_equal(world->cuts, began);
        exchange_world_free(world);
    }
}

/* More rows than a message has room for. */
static void many(void **state)
{
    (void)state;
    enum { COUNT = 300 };
    exchange_world_t *world = worker_world_new();
    context_t *context = world->fixture->context;
    exchange_t *others[COUNT];
    exchange_world_t *owners = calloc(COUNT, sizeof(*owners));
    asked_t asked;
    traffic_question_t question = {.op = TRAFFIC_LIST, .limit = COUNT - 1};
    assert_non_null(owners);
    for (int i = 0; i < COUNT; i++) {
        owners[i].fixture = world->fixture;
        owners[i].answer = STEP_DONE;
        owners[i].room = owners[i].origin_room = EXCHANGE_BODY_BYTES;
        others[i] = exchange_new(&world->fixture->client, &world_client_ops, &owners[i]);
        others[i]->request.version = HTTP_1_1;
        others[i]->request.method = STR("GET");
        others[i]->request.target = STR("/");
        exchange_start(others[i]);
    }
    ask(context, &question, &asked);
    assert_int_equal(asked.rows, COUNT - 1);
    assert_true(asked.messages > 2);
    assert_int_equal(asked.end.matched, COUNT);
    for (int i = 0; i < COUNT; i++)
        exchange_end(&others[i], EXCHANGE_END_CLIENT_GONE);
    free(owners);
    exchange_world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_request),
        cmocka_unit_test(ended_before_and_after_its_head),
        cmocka_unit_test(many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
