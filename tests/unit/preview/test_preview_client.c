/* A worker's questions about previews, with the test in the controller's place: answers that are correct,
 * malformed, late or missing, and a controller that leaves. */
#include "worker_fixture.h"

#include "ipc.h"
#include "list.h"
#include "preview_client.h"
#include "process.h"

#define ANSWER_MS 10000
#define UNSENT_MS 3000

typedef struct asking asking_t;

typedef struct world {
    context_fixture_t *fixture;
    channel_t *channel;
    int controller; /* its end of the channel */
    preview_client_t *calls;
} world_t;

/* A caller, and its answer. */
struct asking {
    preview_request_t asker;
    world_t *world;
    unsigned heard, in_vain;
    preview_answer_t answer;
    asking_t *leaves;    /* leaves when this one gets its answer */
    unsigned asks_again; /* number of calls */
};

static void no_message(void *owner, ipc_message_t *message)
{
    (void)owner;
    (void)message;
}

static void no_end(void *owner)
{
    (void)owner;
}

static int setup(void **state)
{
    static const channel_handlers_t handlers = {.message = no_message, .closed = no_end};
    int fds[2];
    world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->fixture = worker_fixture_new();
    assert_true(ipc_pair(fds));
    w->channel = channel_new(w->fixture->context->loop, fds[0], &handlers, w);
    w->controller = fds[1];
    w->calls = preview_client_new(worker_of(w->fixture->context));
    preview_client_set_channel(w->calls, w->channel);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_t *w = *state;
    preview_client_set_channel(w->calls, NULL);
    preview_client_free(&w->calls);
    assert_null(w->calls);
    preview_client_free(&w->calls);
    channel_free(&w->channel);
    close(w->controller);
    context_fixture_free(w->fixture);
    free(w);
    return 0;
}

static void ask(world_t *w, asking_t *asking);

static void on_answer(preview_request_t *asker, const preview_answer_t *answer)
{
    asking_t *asking = CONTAINER_OF(asking_t, asker, asker);
    assert_int_equal(asker->number, 0); /* it may ask again */
    asking->heard++;
    if (answer != NULL)
        asking->answer = *answer;
    else
        asking->in_vain++;
    if (asking->leaves != NULL)
        preview_client_leave(&asking->leaves->asker);
    if (asking->asks_again != 0) {
        asking->asks_again--;
        ask(asking->world, asking);
    }
}

static preview_call_t deletion(void)
{
    return (preview_call_t){.op = PREVIEW_DELETE, .port = 3000, .id = "box"};
}

static void ask(world_t *w, asking_t *asking)
{
    preview_call_t call = deletion();
    unsigned before = asking->heard;
    asking->world = w;
    preview_client_request(w->calls, &asking->asker, &call, on_answer);
    assert_int_equal(asking->heard, before); /* never from within it */
    assert_int_not_equal(asking->asker.number, 0);
}

/* The controller's next question: its number, 0 for none. */
static uint64_t asked(world_t *w, preview_call_t *call)
{
    ipc_message_t message;
    if (ipc_receive(w->controller, &message) != IPC_OK)
        return 0;
    assert_int_equal(message.type, PROCESS_PREVIEW);
    assert_true(preview_call_read(str_make(message.bytes, message.len), call));
    return message.value;
}

static void tell_bytes(world_t *w, uint64_t number, const void *bytes, size_t n)
{
    ipc_message_t message = {.type = PROCESS_PREVIEW_DONE, .value = number, .len = n};
    memcpy(message.bytes, bytes, n);
    preview_client_message(w->calls, &message);
    for (size_t i = 0; i < sizeof(message.bytes); i++)
        assert_int_equal(message.bytes[i], 0); /* it may have contained a secret */
}

static void tell(world_t *w, uint64_t number, const preview_answer_t *answer)
{
    tell_bytes(w, number, answer, sizeof(*answer));
}

static void go_by(world_t *w, uint64_t ms)
{
    loop_skip(w->fixture->context->loop, ms);
    loop_turn(w->fixture->context->loop, 0);
}

/* ---- answers ---- */

static void a_call_and_its_answer(void **state)
{
    world_t *w = *state;
    asking_t one = {.heard = 0};
    ask(w, &one);
    preview_call_t call;
    assert_int_equal(asked(w, &call), one.asker.number);
    assert_int_equal(call.op, PREVIEW_DELETE);
    assert_int_equal(call.port, 3000);
    assert_string_equal(call.id, "box");
    tell(w, one.asker.number, &(preview_answer_t){.status = 404, .code = "a", .sentence = "Why."});
    assert_int_equal(one.heard, 1);
    assert_int_equal(one.in_vain, 0);
    assert_int_equal(one.answer.status, 404);
    assert_string_equal(one.answer.code, "a");
    assert_string_equal(one.answer.sentence, "Why.");
    go_by(w, ANSWER_MS); /* its timer was stopped */
    assert_int_equal(one.heard, 1);
}

static void answers_go_to_whom_they_are_for(void **state)
{
    world_t *w = *state;
    asking_t all[3] = {{.heard = 0}};
    uint64_t numbers[3];
    for (size_t i = 0; i < 3; i++) {
        ask(w, &all[i]);
        numbers[i] = all[i].asker.number;
    }
    static const size_t order[] = {1, 2, 0};
    for (size_t i = 0; i < 3; i++) {
        tell(w, numbers[order[i]], &(preview_answer_t){.status = 200 + (int)order[i]});
        assert_int_equal(all[order[i]].answer.status, 200 + (int)order[i]);
        for (size_t j = 0; j < 3; j++)
            assert_int_equal(all[order[j]].heard, j <= i);
    }
    tell(w, numbers[0], &(preview_answer_t){.status = 200}); /* repeated */
    assert_int_equal(all[0].heard, 1);
}

/* The previous worker may have died while it waited for an answer, which reaches its successor. */
static void an_answer_for_another_worker_is_nobodys(void **state)
{
    world_t *w = *state;
    asking_t before = {.heard = 0}, after = {.heard = 0};
    ask(w, &before);
    uint64_t number = before.asker.number;
    preview_client_leave(&before.asker);
    preview_client_free(&w->calls);
    w->calls = preview_client_new(worker_of(w->fixture->context));
    preview_client_set_channel(w->calls, w->channel);
    ask(w, &after);
    tell(w, number, &(preview_answer_t){.status = 200, .secrets = {.token = "of another"}});
    assert_int_equal(after.heard, 0);
    preview_client_leave(&after.asker);
}

static void one_may_ask_again_when_it_hears(void **state)
{
    world_t *w = *state;
    asking_t one = {.asks_again = 1};
    ask(w, &one);
    uint64_t first = one.asker.number;
    tell(w, first, &(preview_answer_t){.status = 200});
    assert_int_equal(one.heard, 1);
    assert_int_not_equal(one.asker.number, first);
    tell(w, first, &(preview_answer_t){.status = 200});
    assert_int_equal(one.heard, 1);
    tell(w, one.asker.number, &(preview_answer_t){.status = 201});
    assert_int_equal(one.heard, 2);
    assert_int_equal(one.answer.status, 201);
}

/* ---- malformed answers ---- */

static void what_is_no_answer_ends_the_wait(void **state)
{
    world_t *w = *state;
    static const int statuses[] = {199, 600, 0, -1, INT32_MIN};
    char bytes[sizeof(preview_answer_t) + 1] = {0};
    static const size_t sizes[] = {0, 1, sizeof(preview_answer_t) - 1, sizeof(preview_answer_t) + 1};
    preview_answer_t good = {.status = 200};
    memcpy(bytes, &good, sizeof(good));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        asking_t one = {.heard = 0};
        ask(w, &one);
        tell_bytes(w, one.asker.number, bytes, sizes[i]);
        assert_int_equal(one.in_vain, 1);
    }
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        asking_t one = {.heard = 0};
        ask(w, &one);
        tell(w, one.asker.number, &(preview_answer_t){.status = statuses[i]});
        assert_int_equal(one.in_vain, 1);
    }
}

static void the_bounds_of_a_status(void **state)
{
    world_t *w = *state;
    for (int status = 200; status <= 599; status += 399) {
        asking_t one = {.heard = 0};
        ask(w, &one);
        tell(w, one.asker.number, &(preview_answer_t){.status = status});
        assert_int_equal(one.answer.status, status);
    }
}

static void texts_without_an_end_are_ended(void **state)
{
    world_t *w = *state;
    asking_t one = {.heard = 0};
    preview_answer_t answer;
    memset(&answer, 'x', sizeof(answer));
    answer.status = 200;
    ask(w, &one);
    tell(w, one.asker.number, &answer);
    assert_int_equal(one.heard - one.in_vain, 1);
    assert_int_equal(strlen(one.answer.code), sizeof(answer.code) - 1);
    assert_int_equal(strlen(one.answer.sentence), sizeof(answer.sentence) - 1);
    assert_int_equal(strlen(one.answer.secrets.token), SECRET_TEXT_LEN);
    assert_int_equal(strlen(one.answer.secrets.password), SECRET_TEXT_LEN);
}

static void numbers_that_nobody_has(void **state)
{
    world_t *w = *state;
    asking_t one = {.heard = 0}, idle = {.heard = 0};
    preview_client_leave(&idle.asker); /* it never waited */
    ask(w, &one);
    uint64_t number = one.asker.number;
    const uint64_t wrong[] = {0, number + 1, number - 1, UINT64_MAX};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (wrong[i] != number)
            tell(w, wrong[i], &(preview_answer_t){.status = 200});
    assert_int_equal(one.heard + idle.heard, 0);
    preview_client_leave(&one.asker);
}

/* ---- a caller that leaves ---- */

static void nobody_hears_who_has_left(void **state)
{
    world_t *w = *state;
    asking_t one = {.heard = 0};
    ask(w, &one);
    uint64_t number = one.asker.number;
    preview_client_leave(&one.asker);
    preview_client_leave(&one.asker);
    tell(w, number, &(preview_answer_t){.status = 200});
    go_by(w, ANSWER_MS);
    assert_int_equal(one.heard, 0);
}

/* ---- no answer ---- */

static void an_answer_has_its_time(void **state)
{
    world_t *w = *state;
    asking_t one = {.heard = 0};
    loop_turn(w->fixture->context->loop, 0);
    ask(w, &one);
    uint64_t number = one.asker.number;
    go_by(w, ANSWER_MS / 2); /* the real clock advances too */
    assert_int_equal(one.heard, 0);
    go_by(w, ANSWER_MS / 2);
    assert_int_equal(one.in_vain, 1);
    tell(w, number, &(preview_answer_t){.status = 200}); /* too late */
    assert_int_equal(one.heard, 1);
}

static void a_controller_that_is_down(void **state)
{
    world_t *w = *state;
    asking_t one = {.asks_again = 1};
    loop_turn(w->fixture->context->loop, 0);
    preview_client_set_channel(w->calls, NULL);
    ask(w, &one);
    go_by(w, UNSENT_MS / 2);
    assert_int_equal(one.heard, 0);
    go_by(w, UNSENT_MS / 2);
    assert_int_equal(one.in_vain, 1); /* and asks again, which takes as long */
    go_by(w, UNSENT_MS);
    assert_int_equal(one.in_vain, 2);
    preview_call_t call;
    assert_int_equal(asked(w, &call), 0);
}

static void the_next_controller_gets_it(void **state)
{
    world_t *w = *state;
    asking_t one = {.heard = 0}, left = {.heard = 0};
    preview_call_t call;
    preview_client_set_channel(w->calls, NULL);
    ask(w, &one);
    ask(w, &left);
    preview_client_leave(&left.asker);
    go_by(w, UNSENT_MS / 2);
    preview_client_set_channel(w->calls, w->channel);
    assert_int_equal(asked(w, &call), one.asker.number);
    assert_string_equal(call.id, "box");
    assert_int_equal(asked(w, &call), 0);
    go_by(w, UNSENT_MS);
    assert_int_equal(one.heard, 0); /* it has the full time */
    tell(w, one.asker.number, &(preview_answer_t){.status = 200});
    assert_int_equal(one.heard - one.in_vain, 1);
}

/* All waiting callers are notified, except one that leaves when another one is notified. */
static void a_controller_that_goes(void **state)
{
    world_t *w = *state;
    asking_t all[4] = {{.heard = 0}};
    for (size_t i = 0; i < 4; i++)
        ask(w, &all[i]);
    all[1].leaves = &all[2];
    preview_client_set_channel(w->calls, NULL);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(all[i].heard, 0); /* not from within it */
    go_by(w, 0);
    assert_int_equal(all[0].in_vain, 1);
    assert_int_equal(all[1].in_vain, 1);
    assert_int_equal(all[2].heard, 0);
    assert_int_equal(all[3].in_vain, 1);
    go_by(w, ANSWER_MS);
    assert_int_equal(all[2].heard, 0);
}

/* A controller that does not read: at the bound of its queue, a call waits for the next one. */
static void a_controller_that_does_not_read(void **state)
{
    world_t *w = *state;
    asking_t last_sent = {.heard = 0}, one = {.heard = 0};
    size_t count = 0;
    loop_turn(w->fixture->context->loop, 0);
    ask(w, &last_sent);
    while (channel_send(w->channel, PROCESS_PREVIEW, 0, STR(""), NULL, 0))
        assert_true(++count < 4 * CHANNEL_QUEUE_MAX);
    ask(w, &one);
    go_by(w, UNSENT_MS);
    assert_int_equal(one.in_vain, 1);
    assert_int_equal(last_sent.heard, 0);
    preview_client_leave(&last_sent.asker);
}

/* ---- ends of deletions ---- */

static deletion_call_t end_of(const char *id)
{
    deletion_call_t call = {
        .op = DELETION_END, .outcome = DELETION_DONE, .call = 7, .count = 1, .pid = 1, .requested_at_ms = 1};
    (void)snprintf(call.ids[0], sizeof(call.ids[0]), "%s", id);
    return call;
}

/* The number of the message about it; 0: none. */
static uint64_t told(world_t *w, const char *id)
{
    ipc_message_t message;
    deletion_call_t call;
    if (ipc_receive(w->controller, &message) != IPC_OK)
        return 0;
    assert_int_equal(message.type, PROCESS_DELETION);
    assert_true(deletion_call_read(str_make(message.bytes, message.len), &call));
    assert_string_equal(call.ids[0], id);
    return message.value;
}

static void an_end_is_told_until_it_is_taken(void **state)
{
    world_t *w = *state;
    deletion_call_t call = end_of("box");
    preview_client_notify_deletion(w->calls, &call);
    uint64_t number = told(w, "box");
    assert_int_not_equal(number, 0);
    tell(w, number, &(preview_answer_t){.status = 503}); /* not accepted */
    go_by(w, 0);
    assert_int_equal(told(w, "box"), 0);
    go_by(w, 1000);
    number = told(w, "box");
    assert_int_not_equal(number, 0);
    go_by(w, 10000); /* no answer: it was lost */
    go_by(w, 1000);
    number = told(w, "box");
    assert_int_not_equal(number, 0);
    preview_client_set_channel(w->calls, NULL); /* the controller dies */
    go_by(w, 1000);
    preview_client_set_channel(w->calls, w->channel);
    go_by(w, 1000);
    number = told(w, "box");
    assert_int_not_equal(number, 0);
    tell(w, number, &(preview_answer_t){.status = 200});
    go_by(w, 20000);
    assert_int_equal(told(w, "box"), 0);
}

static void ends_that_nobody_takes_are_bounded(void **state)
{
    world_t *w = *state;
    preview_client_set_channel(w->calls, NULL);
    deletion_call_t call = end_of("box"), last = end_of("last");
    for (size_t i = 0; i < PREVIEW_REPORTS_MAX; i++)
        preview_client_notify_deletion(w->calls, &call);
    preview_client_notify_deletion(w->calls, &last); /* logged */
    go_by(w, 0);
    preview_client_set_channel(w->calls, w->channel);
    go_by(w, 1000);
    for (size_t i = 0; i < PREVIEW_REPORTS_MAX; i++) {
        uint64_t number = 0;
        for (int tries = 0; number == 0 && tries < 2; tries++) {
            number = told(w, "box");
            if (number == 0) /* more than the socket takes: the rest follows */
                go_by(w, 5);
        }
        assert_int_not_equal(number, 0);
    }
    assert_int_equal(told(w, ""), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_call_and_its_answer),
        TEST(answers_go_to_whom_they_are_for),
        TEST(an_answer_for_another_worker_is_nobodys),
        TEST(one_may_ask_again_when_it_hears),
        TEST(what_is_no_answer_ends_the_wait),
        TEST(the_bounds_of_a_status),
        TEST(texts_without_an_end_are_ended),
        TEST(numbers_that_nobody_has),
        TEST(nobody_hears_who_has_left),
        TEST(an_answer_has_its_time),
        TEST(a_controller_that_is_down),
        TEST(the_next_controller_gets_it),
        TEST(the_next_controller_gets_it),
        TEST(a_controller_that_goes),
        TEST(a_controller_that_does_not_read),
        TEST(an_end_is_told_until_it_is_taken),
        TEST(ends_that_nobody_takes_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
