/* Figures of a worker's requests by name. */
#include "worker_fixture.h"

#include <unistd.h>

#include "ipc.h"
#include "traffic.h"

#define SECOND 1000000ull

typedef struct world {
    context_fixture_t *fixture;
    traffic_t *traffic;
    channel_t *channel;
    int peer;
    uint64_t now_us;
    exchange_world_t client; /* codec of all exchanges */
} world_t;

static void ignore(void *owner, ipc_message_t *message)
{
    (void)owner;
    (void)message;
}

static void ignore_end(void *owner)
{
    (void)owner;
}

static int setup(void **state)
{
    static const channel_handlers_t handlers = {.message = ignore, .closed = ignore_end};
    int fds[2];
    world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->fixture = worker_fixture_new();
    w->fixture->client.steps = world_steps;
    w->traffic = worker_of(w->fixture->context)->traffic = traffic_new(w->fixture->context);
    w->client = (exchange_world_t){.fixture = w->fixture,
                                   .answer = STEP_DONE,
                                   .room = EXCHANGE_BODY_BYTES,
                                   .origin_room = EXCHANGE_BODY_BYTES};
    assert_true(ipc_pair(fds));
    w->channel = channel_new(w->fixture->context->loop, fds[0], &handlers, NULL);
    w->peer = fds[1];
    w->now_us = 1000 * SECOND;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_t *w = *state;
    traffic_free(&w->traffic);
    traffic_free(&w->traffic);
    worker_of(w->fixture->context)->traffic = NULL;
    channel_free(&w->channel);
    loop_turn(w->fixture->context->loop, 0);
    close(w->peer);
    context_fixture_free(w->fixture);
    free(w);
    return 0;
}

/* An open exchange with the preview `id`, port 80. */
static exchange_t *begin(world_t *w, const char *id)
{
    exchange_t *ex = exchange_new(&w->fixture->client, &world_client_ops, &w->client);
    ex->request.version = HTTP_1_1;
    ex->request.method = STR("GET");
    ex->request.target = STR("/");
    exchange_start(ex);
    ex->routed = true;
    store_preview_t *preview = test_preview(ex);
    (void)snprintf(preview->id, sizeof(preview->id), "%s", id);
    preview->port = 80;
    return ex;
}

static void end(exchange_t *ex, int status)
{
    ((exchange_world_t *)ex->codec)->cancels = 0; /* it is every exchange's */
    ex->status = status;
    exchange_end(&ex, EXCHANGE_END_COMPLETE);
}

static void requests(world_t *w, const char *id, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        end(begin(w, id), 200);
}

static void tick(world_t *w, unsigned seconds)
{
    for (unsigned i = 0; i < seconds; i++)
        traffic_tick(w->traffic, w->now_us += SECOND);
}

/* The row of `name`, and the number of rows without that of all. */
static traffic_row_t ask(world_t *w, traffic_by_t by, const char *name, unsigned *count)
{
    traffic_row_t found = {.name = STR("?")}, row;
    static ipc_message_t message;
    *count = 0;
    traffic_answer(w->traffic, by, w->now_us, w->channel, 1);
    loop_turn(w->fixture->context->loop, 0);
    while (ipc_receive(w->peer, &message) == IPC_OK) {
        str_t bytes = str_make(message.bytes + 1, message.len - 1);
        assert_int_equal(message.bytes[0], TRAFFIC_PART_ROWS);
        while (bytes.n != 0) {
            assert_true(traffic_row_read(&bytes, &row));
            *count += row.name.n != 0;
            if (str_eq(row.name, str_from(name)))
                found = row; /* the name is not to be read */
        }
    }
    return found;
}

static void counts_while_watched(void **state)
{
    world_t *w = *state;
    unsigned count;
    requests(w, "a", 3);
    assert_false(traffic_counts(w->traffic));
    traffic_row_t row = ask(w, TRAFFIC_BY_BOX, "", &count);
    assert_int_equal(row.window_us, 0);
    assert_int_equal(count, 0);
    requests(w, "a", 3);
    requests(w, "b", 1);
    end(begin(w, "b"), 502);
    tick(w, 1);
    row = ask(w, TRAFFIC_BY_BOX, "a", &count);
    assert_int_equal(count, 2);
    assert_int_equal(row.window_us, SECOND);
    assert_int_equal(row.figures.requests, 3);
    assert_int_equal(traffic_timed(&row.figures), 3);
    assert_false(row.approximate);
    row = ask(w, TRAFFIC_BY_BOX, "b", &count);
    assert_int_equal(row.figures.requests, 2);
    assert_int_equal(row.figures.errors, 1);
    row = ask(w, TRAFFIC_BY_BOX, "", &count);
    assert_int_equal(row.figures.requests, 5);
    row = ask(w, TRAFFIC_BY_PREVIEW, "a-80", &count); /* counts from now on */
    assert_int_equal(count, 0);
    tick(w, TRAFFIC_WINDOW_S - 1);
    assert_int_equal(ask(w, TRAFFIC_BY_BOX, "a", &count).figures.requests, 3);
    tick(w, 1);
    assert_int_equal(ask(w, TRAFFIC_BY_BOX, "a", &count).figures.requests, 0);
    tick(w, TRAFFIC_WATCH_MS / 1000 - 1);
    assert_true(traffic_counts(w->traffic));
    tick(w, 1);
    assert_false(traffic_counts(w->traffic));
}

/* Bytes of before the first question, or of a name before it got its entry, belong to no second. */
static void open_exchanges(void **state)
{
    world_t *w = *state;
    unsigned count;
    exchange_t *ex = begin(w, "a");
    ex->response_bytes = 1000000;
    ask(w, TRAFFIC_BY_BOX, "a", &count);
    ex->response_bytes += 5;
    tick(w, 1);
    traffic_row_t row = ask(w, TRAFFIC_BY_BOX, "a", &count);
    assert_int_equal(row.figures.response_bytes, 5);
    assert_int_equal(row.figures.requests, 0);
    assert_int_equal(row.open, 1);
    ex->response_bytes += 7;
    end(ex, 200);
    tick(w, 1);
    row = ask(w, TRAFFIC_BY_BOX, "a", &count);
    assert_int_equal(row.figures.response_bytes, 12);
    assert_int_equal(row.figures.requests, 1);
    assert_int_equal(row.open, 0);
    assert_int_equal(ask(w, TRAFFIC_BY_BOX, "", &count).figures.response_bytes, 12);
}

/* At the bound: a name that takes an entry of another one is marked, and nothing is counted twice. */
static void more_names_than_entries(void **state)
{
    world_t *w = *state;
    unsigned count;
    char id[16];
    ask(w, TRAFFIC_BY_BOX, "", &count);
    for (unsigned i = 0; i < TRAFFIC_NAMES_MAX; i++) {
        (void)snprintf(id, sizeof(id), "box-%u", i);
        requests(w, id, 2);
    }
    tick(w, 1);
    traffic_row_t row = ask(w, TRAFFIC_BY_BOX, "box-7", &count);
    assert_int_equal(count, TRAFFIC_NAMES_MAX);
    assert_int_equal(row.figures.requests, 2);
    assert_true(row.full && !row.approximate);
    exchange_t *open = begin(w, "late");
    open->request_bytes = 1000;
    tick(w, 1);
    requests(w, "late", 3);
    tick(w, 1);
    row = ask(w, TRAFFIC_BY_BOX, "late", &count);
    assert_int_equal(count, TRAFFIC_NAMES_MAX);
    assert_int_equal(row.figures.requests, 3);
    assert_int_equal(row.figures.request_bytes, 0);
    assert_true(row.approximate);
    open->request_bytes += 9;
    end(open, 200);
    tick(w, 1);
    row = ask(w, TRAFFIC_BY_BOX, "late", &count);
    assert_int_equal(row.figures.request_bytes, 9);
    assert_int_equal(row.figures.requests, 4);
    tick(w, TRAFFIC_WINDOW_S + 1);
    assert_false(ask(w, TRAFFIC_BY_BOX, "late", &count).approximate);
    assert_int_equal(ask(w, TRAFFIC_BY_BOX, "", &count).figures.requests, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(counts_while_watched, setup, teardown),
        cmocka_unit_test_setup_teardown(open_exchanges, setup, teardown),
        cmocka_unit_test_setup_teardown(more_names_than_entries, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
