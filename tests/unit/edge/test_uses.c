/* What is told of boxes in use, and what becomes of exchanges whose box changes. Time is a parameter. */
#include "exchange_world.h"

#include <unistd.h>

#include "../routing/store_fixture.h"
#include "process.h"
#include "tunnel.h"
#include "uses_impl.h"

#define MESSAGES_MAX 16

typedef struct world {
    fixture_t store;
    worker_fixture_t *fixture;
    uses_t *uses;
    uint64_t now;
    channel_t *channel;
    bool polls;     /* exchanges ask not to wake */
    int controller; /* its end of the channel */
} world_t;

static void no_message(void *owner, ipc_message_t *message)
{
    (void)owner;
    (void)message;
}

static void no_end(void *owner)
{
    (void)owner;
}

static void connect_controller(world_t *w)
{
    static const channel_handlers_t handlers = {no_message, no_end};
    int fds[2];
    assert_true(ipc_pair(fds));
    w->channel = channel_new(w->fixture->worker.loop, fds[0], &handlers, w);
    w->controller = fds[1];
    uses_set_channel(w->uses, w->channel);
}

static void disconnect_controller(world_t *w)
{
    uses_set_channel(w->uses, NULL);
    channel_free(&w->channel);
    close(w->controller);
}

/* The store's record of the box, and a bump of the epoch. */
static store_box_t put_box(world_t *w, const char *id, box_state_t state, uint64_t generation)
{
    store_box_t box = {.state = state,
                       .generation = generation,
                       .address = IN6ADDR_LOOPBACK_INIT,
                       .provider = PROVIDER_PROCESS};
    snprintf(box.id, sizeof(box.id), "%s", id);
    assert_int_equal(store_put_box(w->store.store, &box), STORE_OK);
    shm_epoch_bump(w->fixture->worker.shm);
    return box;
}

static int setup(void **state)
{
    static const uint8_t seed[16];
    world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    fixture_make(&w->store);
    fixture_open(&w->store, FIXTURE_MAP_BYTES);
    w->fixture = worker_fixture_new();
    worker_t *worker = &w->fixture->worker;
    worker->conf->wake.idle_open = 30 * 60 * 1000;
    worker->conf->wake.timeout = 30000;
    worker->shm = shm_new(seed);
    assert_non_null(worker->shm);
    worker->origins = origin_pool_new(worker->loop, 8);
    worker->uses = w->uses = uses_new(worker, w->store.store);
    w->fixture->client.steps = world_steps;
    w->now = loop_now(worker->loop) + 100000;
    put_box(w, "box", BOX_RUNNING, 1);
    connect_controller(w);
    uses_turn(w->uses, w->now);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_t *w = *state;
    disconnect_controller(w);
    worker_t *worker = &w->fixture->worker;
    uses_free(&worker->uses);
    assert_null(worker->uses);
    uses_free(&worker->uses);
    origin_pool_free(&worker->origins);
    shm_free(&worker->shm);
    worker_fixture_free(w->fixture);
    fixture_remove(&w->store);
    free(w);
    return 0;
}

/* ---- exchanges ---- */

/* One that went to the box as the store has it, and waits for its answer. */
static exchange_world_t *begin(world_t *w, const char *id, bool websocket)
{
    exchange_world_t *x = calloc(1, sizeof(*x));
    assert_non_null(x);
    x->answer = STEP_DONE;
    x->room = x->origin_room = EXCHANGE_BODY_BYTES;
    x->origin_sent = true;
    x->out = malloc(WORLD_OUT);
    assert_non_null(x->out);
    x->fixture = w->fixture;
    exchange_t *ex = x->ex = exchange_new(&w->fixture->client, &world_client_ops, x);
    ex->request.version = HTTP_1_1;
    ex->request.method = STR("GET");
    ex->request.target = STR("/");
    ex->request.websocket = websocket;
    ex->preview.port = 3000;
    if (w->polls)
        fields_add(&ex->arena, &ex->request.fields, FIELD_OTHER, STR("x-box-no-wake"), STR("1"));
    snprintf(ex->preview.id, sizeof(ex->preview.id), "%s", id);
    assert_int_equal(store_get_box(w->store.store, str_from(id), &ex->box), STORE_OK);
    ex->box_epoch = atomic_load(shm_epoch(w->fixture->worker.shm));
    exchange_start(ex);
    use_begin(ex);
    return x;
}

static void end(exchange_world_t **x)
{
    assert_int_equal((*x)->staged_count, 0);
    exchange_end(&(*x)->ex, EXCHANGE_END_COMPLETE);
    free((*x)->out);
    free(*x);
    *x = NULL;
}

static void respond(exchange_world_t *x, str_t content_type)
{
    exchange_t *ex = x->ex;
    ex->response = (response_t){.status = 200, .content_length = LENGTH_UNKNOWN};
    fields_add(&ex->arena, &ex->response.fields, FIELD_CONTENT_TYPE, STR("content-type"), content_type);
    exchange_response_head(ex);
    exchange_response_flush(ex);
}

static void accept_websocket(exchange_world_t *x)
{
    x->ex->response = (response_t){.status = 101, .content_length = LENGTH_UNKNOWN, .tunnel = true};
    exchange_response_head(x->ex);
    assert_int_equal(x->ex->state, EXCHANGE_TUNNEL);
}

static void from_box(exchange_world_t *x, str_t data)
{
    exchange_response_body(x->ex, data);
    exchange_response_flush(x->ex);
    x->room = EXCHANGE_BODY_BYTES;
}

static void from_client(exchange_world_t *x, str_t data)
{
    exchange_request_body(x->ex, data);
    exchange_request_flush(x->ex);
    x->origin_room = EXCHANGE_BODY_BYTES;
}

/* ---- what the controller hears ---- */

static void turn(world_t *w, uint64_t ms)
{
    w->now += ms;
    uses_turn(w->uses, w->now);
}

/* The next message; 0: there is none. */
static uint32_t hear(world_t *w, char *bytes)
{
    static ipc_message_t message;
    ipc_result_t result = ipc_receive(w->controller, &message);
    if (result == IPC_AGAIN)
        return 0;
    assert_int_equal(result, IPC_OK);
    memcpy(bytes, message.bytes, message.len);
    bytes[message.len] = '\0';
    return message.type;
}

static void expect_message(world_t *w, uint32_t type, const char *bytes)
{
    char got[IPC_BYTES_MAX + 1];
    assert_int_equal(hear(w, got), type);
    assert_string_equal(got, bytes);
}

static void expect_silence(world_t *w)
{
    char got[IPC_BYTES_MAX + 1];
    assert_int_equal(hear(w, got), 0);
}

/* Whether the box is reported as active within the next second. */
static bool is_active(world_t *w)
{
    char got[IPC_BYTES_MAX + 1];
    turn(w, 1000);
    bool active = hear(w, got) == PROCESS_ACTIVE;
    expect_silence(w);
    return active;
}

/* ---- what is told ---- */

static void test_static_boxes_have_no_uses(void **state)
{
    world_t *w = *state;
    store_box_t box = put_box(w, "still", BOX_RUNNING, 1);
    box.provider = PROVIDER_STATIC;
    assert_int_equal(store_put_box(w->store.store, &box), STORE_OK);
    exchange_world_t *x = begin(w, "still", false);
    assert_int_equal(uses_boxes(w->uses), 0);
    assert_true(use_is_current(x->ex));
    assert_true(use_still_there(x->ex));
    respond(x, STR("text/event-stream"));
    from_box(x, STR("data: 1\n\n"));
    turn(w, 1000);
    end(&x);
    turn(w, 1000);
    expect_silence(w);
}

static void test_told_at_once_then_each_second(void **state)
{
    world_t *w = *state;
    exchange_world_t *x = begin(w, "box", false);
    expect_silence(w);
    turn(w, 1);
    expect_message(w, PROCESS_ACTIVE, "box\n");
    exchange_world_t *y = begin(w, "box", false);
    turn(w, 1); /* it was told less than a second ago */
    expect_silence(w);
    assert_true(is_active(w));
    assert_true(is_active(w));
    end(&y);
    end(&x);
    expect_silence(w);
    assert_true(is_active(w)); /* in the second before */
    assert_false(is_active(w));
}

/* A poller that asks not to wake does not keep a box awake either; what takes long is not cut short. */
static void test_requests_that_wake_nothing_count_while_they_are_long(void **state)
{
    world_t *w = *state;
    w->polls = true;
    exchange_world_t *x = begin(w, "box", false);
    end(&x);
    assert_false(is_active(w));
    x = begin(w, "box", false);
    assert_false(is_active(w)); /* it may have begun just now */
    assert_true(is_active(w));
    end(&x);
    assert_false(is_active(w));
    x = begin(w, "box", true);
    accept_websocket(x);
    turn(w, w->fixture->worker.conf->wake.idle_open);
    put_box(w, "box", BOX_PAUSED, 2);
    turn(w, 1000);
    from_client(x, STR("\x81\x81xxxxx"));
    turn(w, 1000);
    expect_silence(w);
    end(&x);
}

/* One that came and went between two reports. */
static void test_short_uses_are_told(void **state)
{
    world_t *w = *state;
    assert_int_equal(uses_boxes(w->uses), 0);
    exchange_world_t *x = begin(w, "box", false);
    turn(w, 1000);
    expect_message(w, PROCESS_ACTIVE, "box\n");
    expect_silence(w);
    end(&x);
    x = begin(w, "box", false);
    end(&x);
    assert_true(is_active(w));
    assert_false(is_active(w));
    x = begin(w, "box", false);
    end(&x);
    turn(w, 1);
    expect_message(w, PROCESS_ACTIVE, "box\n");
}

static void test_forgotten_when_its_connections_are(void **state)
{
    world_t *w = *state;
    uint64_t rest = w->fixture->worker.conf->timeouts.pool_idle + 1000;
    exchange_world_t *x = begin(w, "box", false);
    turn(w, 1000);
    end(&x);
    turn(w, rest);
    assert_int_equal(uses_boxes(w->uses), 1);
    turn(w, 1000);
    assert_int_equal(uses_boxes(w->uses), 0);
}

static void test_event_streams_hold_for_a_while(void **state)
{
    world_t *w = *state;
    static char kib[1025];
    uint32_t idle_open = w->fixture->worker.conf->wake.idle_open;
    static const str_t types[] = {{"text/event-stream", 17}, {"Text/Event-Stream; charset=utf-8", 32}};
    for (size_t i = 0; i < 2; i++) {
        exchange_world_t *x = begin(w, "box", false);
        turn(w, 1000);
        expect_message(w, PROCESS_ACTIVE, "box\n");
        respond(x, types[i]);
        turn(w, idle_open - 1);
        expect_message(w, PROCESS_ACTIVE, "box\n");
        assert_false(is_active(w));
        from_box(x, str_make(kib, 1024));
        assert_false(is_active(w));
        from_box(x, str_make(kib, 1));
        assert_true(is_active(w));
        turn(w, idle_open);
        expect_silence(w);
        end(&x);
        assert_true(is_active(w));
        assert_false(is_active(w));
    }
}

/* A slow answer holds for as long as it takes. */
static void test_others_hold_for_ever(void **state)
{
    world_t *w = *state;
    static const str_t types[] = {{"text/event-streams", 18}, {"text/html", 9}};
    for (size_t i = 0; i < 2; i++) {
        exchange_world_t *x = begin(w, "box", false);
        turn(w, 1000);
        respond(x, types[i]);
        turn(w, 100000000);
        while (hear(w, (char[IPC_BYTES_MAX + 1]){0}) != 0)
            continue;
        assert_true(is_active(w));
        end(&x);
        assert_true(is_active(w));
    }
}

/* A masked frame of `n` bytes, at most 65535. */
static str_t frame(char *out, unsigned opcode, size_t n)
{
    size_t at = 0;
    out[at++] = (char)(0x80 | opcode);
    if (n < 126) {
        out[at++] = (char)(0x80 | n);
    } else {
        out[at++] = (char)0xfe;
        out[at++] = (char)(n >> 8);
        out[at++] = (char)(n & 0xff);
    }
    memset(out + at, 'x', 4 + n);
    return str_make(out, at + 4 + n);
}

static void test_content_of_tunnels_counts_and_control_frames_do_not(void **state)
{
    world_t *w = *state;
    char bytes[2048];
    exchange_world_t *x = begin(w, "box", true);
    turn(w, 1000);
    expect_message(w, PROCESS_ACTIVE, "box\n");
    accept_websocket(x);
    turn(w, w->fixture->worker.conf->wake.idle_open);
    expect_silence(w);
    for (int i = 0; i < 40; i++) {
        from_client(x, frame(bytes, 9, 100));
        from_box(x, frame(bytes, 10, 100));
    }
    assert_false(is_active(w));
    from_client(x, frame(bytes, 1, 1000));
    from_box(x, frame(bytes, 2, 24));
    assert_false(is_active(w)); /* 1 KiB, and no more */
    from_box(x, frame(bytes, 2, 1));
    assert_true(is_active(w));
    end(&x);
}

/* More than one message holds: none is left out, and none too long. */
static void test_many_boxes_in_several_messages(void **state)
{
    enum { COUNT = 300 };
    world_t *w = *state;
    static exchange_world_t *x[COUNT];
    static bool seen[COUNT];
    char id[BOX_ID_MAX + 1], got[IPC_BYTES_MAX + 1];
    for (int i = 0; i < COUNT; i++) {
        snprintf(id, sizeof(id), "a-very-long-name-of-a-box-to-fill-messages-%014d", i);
        assert_int_equal(strlen(id), BOX_ID_MAX);
        put_box(w, id, BOX_RUNNING, 1);
        x[i] = begin(w, id, false);
    }
    for (int round = 0; round < 2; round++) {
        memset(seen, 0, sizeof(seen));
        turn(w, 1000);
        int count = 0, messages = 0;
        while (hear(w, got) == PROCESS_ACTIVE) {
            messages++;
            for (char *at = got, *line_end; (line_end = strchr(at, '\n')) != NULL; at = line_end + 1) {
                *line_end = '\0';
                assert_int_equal(strlen(at), BOX_ID_MAX);
                int i = (int)strtol(at + BOX_ID_MAX - 14, NULL, 10);
                assert_false(seen[i]);
                seen[i] = true;
                count++;
            }
        }
        assert_int_equal(count, COUNT);
        assert_int_equal(messages, (COUNT * (BOX_ID_MAX + 1) + IPC_BYTES_MAX - 1) / IPC_BYTES_MAX);
    }
    for (int i = 0; i < COUNT; i++)
        end(&x[i]);
}

static void test_told_to_the_next_controller(void **state)
{
    world_t *w = *state;
    exchange_world_t *x = begin(w, "box", false);
    turn(w, 1000);
    expect_message(w, PROCESS_ACTIVE, "box\n");
    end(&x);
    disconnect_controller(w);
    turn(w, 1000); /* nobody hears */
    connect_controller(w);
    assert_true(is_active(w));
    assert_false(is_active(w));
}

static void test_boxes_at_rest_are_bounded(void **state)
{
    world_t *w = *state;
    for (int i = 0; i < USES_RESTING_MAX + 10; i++) {
        exchange_world_t x = {.fixture = w->fixture, .room = EXCHANGE_BODY_BYTES};
        x.ex = exchange_new(&w->fixture->client, &world_client_ops, &x);
        x.ex->request.target = STR("/");
        x.ex->box = (store_box_t){.state = BOX_RUNNING, .provider = PROVIDER_HTTP};
        snprintf(x.ex->box.id, sizeof(x.ex->box.id), "b%d", i);
        use_begin(x.ex);
        exchange_end(&x.ex, EXCHANGE_END_CLIENT_GONE);
        if (i % 1000 == 0) { /* so that the channel holds what is told */
            turn(w, 1);
            while (hear(w, (char[IPC_BYTES_MAX + 1]){0}) != 0)
                continue;
        }
    }
    assert_int_equal(uses_boxes(w->uses), USES_RESTING_MAX);
}

/* ---- silence ---- */

static void test_silence_is_told_once(void **state)
{
    world_t *w = *state;
    exchange_world_t *x = begin(w, "box", false);
    turn(w, 1000);
    expect_message(w, PROCESS_ACTIVE, "box\n");
    for (int i = 0; i < 4; i++)
        assert_true(is_active(w));
    turn(w, 1000);
    expect_message(w, PROCESS_LOOK, "box");
    expect_message(w, PROCESS_ACTIVE, "box\n");
    for (int i = 0; i < 20; i++)
        assert_true(is_active(w));
    end(&x);
}

static void test_no_silence_while_the_request_goes_on_or_after_the_head(void **state)
{
    world_t *w = *state;
    exchange_world_t *x = begin(w, "box", false), *y = begin(w, "box", true);
    respond(y, STR("text/plain"));
    turn(w, 1000);
    expect_message(w, PROCESS_ACTIVE, "box\n");
    x->ex->request_complete = false;
    for (int i = 0; i < 10; i++) {
        from_client(x, STR("more"));
        assert_true(is_active(w));
    }
    for (int i = 0; i < 4; i++)
        assert_true(is_active(w));
    turn(w, 1000);
    expect_message(w, PROCESS_LOOK, "box");
    end(&x);
    end(&y);
}

/* Many silent ones of a box are one question, and no more than one in 5 s. */
static void test_silence_of_many(void **state)
{
    world_t *w = *state;
    exchange_world_t *x[3];
    for (int i = 0; i < 2; i++)
        x[i] = begin(w, "box", false);
    turn(w, 1000);
    x[2] = begin(w, "box", false);
    turn(w, 1000);
    expect_message(w, PROCESS_ACTIVE, "box\n");
    expect_message(w, PROCESS_ACTIVE, "box\n");
    for (int i = 0; i < 3; i++)
        assert_true(is_active(w));
    turn(w, 1000); /* the first two */
    expect_message(w, PROCESS_LOOK, "box");
    expect_message(w, PROCESS_ACTIVE, "box\n");
    for (int i = 0; i < 4; i++) /* the third is due with the first of these */
        assert_true(is_active(w));
    turn(w, 1000);
    expect_message(w, PROCESS_LOOK, "box");
    expect_message(w, PROCESS_ACTIVE, "box\n");
    for (int i = 0; i < 10; i++)
        assert_true(is_active(w));
    for (int i = 0; i < 3; i++)
        end(&x[i]);
}

static void test_boxes_out_of_reach_are_looked_at(void **state)
{
    world_t *w = *state;
    exchange_world_t *x = begin(w, "box", false), *y = begin(w, "box", false);
    use_unreachable(x->ex);
    expect_message(w, PROCESS_LOOK, "box");
    use_unreachable(y->ex);
    expect_silence(w);
    end(&x);
    assert_true(is_active(w));
    turn(w, 4000);
    expect_message(w, PROCESS_ACTIVE, "box\n");
    use_unreachable(y->ex);
    expect_message(w, PROCESS_LOOK, "box");
    end(&y);
}

/* ---- boxes that change ---- */

static void expect_code(exchange_world_t *x, int status, const char *code)
{
    assert_int_equal(x->ex->status, status);
    assert_non_null(x->ex->local_code);
    assert_string_equal(x->ex->local_code, code);
    assert_int_equal(x->cancels, 1);
}

static void expect_untouched(exchange_world_t *x)
{
    assert_null(x->ex->local_code);
    assert_int_equal(x->cancels + x->cuts + x->ends, 0);
}

static void test_waiting_ones_are_answered_when_it_is_paused(void **state)
{
    world_t *w = *state;
    exchange_world_t *waits = begin(w, "box", false), *streams = begin(w, "box", false);
    exchange_world_t *tunnel = begin(w, "box", true);
    respond(streams, STR("text/plain"));
    accept_websocket(tunnel);
    turn(w, 250);
    expect_untouched(waits);
    put_box(w, "box", BOX_PAUSED, 2);
    assert_true(use_is_current(waits->ex)); /* nobody looked yet */
    turn(w, 249);
    expect_untouched(waits);
    turn(w, 1);
    expect_code(waits, 502, "box_paused");
    assert_int_equal(waits->ends, 1);
    expect_untouched(streams);
    expect_untouched(tunnel);
    assert_false(use_is_current(streams->ex)); /* its connection goes to no pool */
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
    exchange_world_t *x = begin(w, "box", false);
    turn(w, 250);
    put_box(w, "box", BOX_RUNNING, 2); /* it slept and runs again, unseen */
    uses_boxes_changed(w->uses);
    turn(w, 0);
    expect_code(x, 502, "box_paused");
    end(&x);
    x = begin(w, "box", false);
    uses_boxes_changed(w->uses); /* of another box */
    turn(w, 0);
    expect_untouched(x);
    assert_true(use_is_current(x->ex));
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
    return conn_new(worker->loop, fds[0], NULL, &handlers, NULL);
}

/* Also where no exchange is open just then. */
static void test_pooled_connections_go_with_their_generation(void **state)
{
    world_t *w = *state;
    worker_t *worker = &w->fixture->worker;
    exchange_world_t *x = begin(w, "box", false);
    int peer;
    conn_t *conn = idle_conn(worker, &peer);
    turn(w, 1000);
    origin_pool_put(worker->origins, &conn, STR("box"), 1, 3000, 4000);
    end(&x);
    turn(w, 3000);
    assert_int_equal(origin_pool_idle(worker->origins), 1);
    put_box(w, "box", BOX_PAUSED, 2);
    turn(w, 250);
    assert_int_equal(origin_pool_idle(worker->origins), 0);
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
        exchange_world_t *waits = begin(w, "box", false), *streams = begin(w, "box", false);
        exchange_world_t *tunnel = begin(w, "box", true);
        respond(streams, STR("text/plain"));
        accept_websocket(tunnel);
        if (cases[i].recorded)
            put_box(w, "box", BOX_GONE, 10 * i + 2);
        else
            assert_int_equal(store_delete_box(w->store.store, STR("box")), STORE_OK);
        shm_epoch_bump(w->fixture->worker.shm);
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
    exchange_world_t *streams = begin(w, "box", false), *tunnel = begin(w, "box", true);
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

static void test_looks_are_spread_where_boxes_are_many(void **state)
{
    enum { COUNT = 640 };
    world_t *w = *state;
    static exchange_world_t *x[COUNT];
    char id[16];
    for (int i = 0; i < COUNT; i++) {
        snprintf(id, sizeof(id), "b%d", i);
        put_box(w, id, BOX_RUNNING, 1);
        x[i] = begin(w, id, false);
    }
    turn(w, 250);
    put_box(w, "b0", BOX_PAUSED, 2);
    uses_boxes_changed(w->uses);
    turn(w, COUNT / 64 - 1);
    expect_untouched(x[0]);
    turn(w, 1);
    expect_code(x[0], 502, "box_paused");
    for (int i = 0; i < COUNT; i++)
        end(&x[i]);
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
    exchange_world_t *x = begin(w, "box", false);
    x->ex->origin_ops = &ops;
    assert_true(use_still_there(x->ex));
    put_box(w, "other", BOX_PAUSED, 9); /* the epoch moves, and nothing of this box */
    assert_true(use_still_there(x->ex));
    assert_int_equal(began_again, 0);
    put_box(w, "box", BOX_RUNNING, 2);
    assert_false(use_still_there(x->ex));
    assert_int_equal(began_again, 1);
    assert_int_equal(began_at.generation, 2);
    expect_untouched(x);
    x->ex->sent_again = true; /* once */
    assert_false(use_still_there(x->ex));
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
        x[i] = begin(w, "box", false);
        x[i]->ex->origin_ops = &ops;
    }
    store_box_t box = put_box(w, "box", BOX_RUNNING, 40);
    box.ports[0] = 3001; /* and no other */
    box.port_count = 1;
    assert_int_equal(store_put_box(w->store.store, &box), STORE_OK);
    assert_false(use_still_there(x[0]->ex));
    expect_code(x[0], 502, "box_paused");
    put_box(w, "box", BOX_PAUSED, 41);
    assert_false(use_still_there(x[1]->ex));
    expect_code(x[1], 502, "box_paused");
    assert_int_equal(store_delete_box(w->store.store, STR("box")), STORE_OK);
    assert_false(use_still_there(x[2]->ex));
    expect_code(x[2], 502, "box_gone");
    assert_int_equal(began_again, 0);
    for (size_t i = 0; i < 3; i++)
        end(&x[i]);
}

/* ---- bytes for a box that sleeps ---- */

static exchange_world_t *sleeping_tunnel(world_t *w)
{
    exchange_world_t *x = begin(w, "box", true);
    accept_websocket(x);
    turn(w, 1000);
    expect_message(w, PROCESS_ACTIVE, "box\n");
    turn(w, w->fixture->worker.conf->wake.idle_open);
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
    from_client(x, frame(bytes, 9, 10)); /* a ping, and what a closed tab says */
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

static void test_an_empty_message_wakes_and_carries_nothing(void **state)
{
    world_t *w = *state;
    char bytes[16];
    exchange_world_t *x = sleeping_tunnel(w);
    str_t empty = frame(bytes, 1, 0);
    from_client(x, str_make(empty.p, 1)); /* not yet known whose header it is */
    expect_silence(w);
    from_client(x, str_from_offset(empty, 1));
    expect_message(w, PROCESS_WAKE, "box-3000");
    end(&x);
}

/* What is lost is said again, while the bytes are fresh. */
static void test_a_wake_is_asked_for_until_it_has_come(void **state)
{
    world_t *w = *state;
    char bytes[64];
    uint32_t timeout = w->fixture->worker.conf->wake.timeout;
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

/* They may lie in the socket of a box that was frozen before it read them. */
static void test_bytes_just_before_the_pause_wake(void **state)
{
    world_t *w = *state;
    char bytes[64];
    exchange_world_t *x = begin(w, "box", true);
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

static void test_a_body_that_goes_on_wakes(void **state)
{
    world_t *w = *state;
    exchange_world_t *x = begin(w, "box", false);
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_static_boxes_have_no_uses),
        TEST(test_told_at_once_then_each_second),
        TEST(test_requests_that_wake_nothing_count_while_they_are_long),
        TEST(test_short_uses_are_told),
        TEST(test_forgotten_when_its_connections_are),
        TEST(test_event_streams_hold_for_a_while),
        TEST(test_others_hold_for_ever),
        TEST(test_content_of_tunnels_counts_and_control_frames_do_not),
        TEST(test_many_boxes_in_several_messages),
        TEST(test_told_to_the_next_controller),
        TEST(test_boxes_at_rest_are_bounded),
        TEST(test_silence_is_told_once),
        TEST(test_no_silence_while_the_request_goes_on_or_after_the_head),
        TEST(test_silence_of_many),
        TEST(test_boxes_out_of_reach_are_looked_at),
        TEST(test_waiting_ones_are_answered_when_it_is_paused),
        TEST(test_looked_at_in_the_turn_of_the_message),
        TEST(test_pooled_connections_go_with_their_generation),
        TEST(test_all_ends_when_it_is_gone),
        TEST(test_connections_to_a_left_address_end),
        TEST(test_looks_are_spread_where_boxes_are_many),
        TEST(test_connects_again_where_the_box_is_now),
        TEST(test_does_not_connect_where_it_may_not),
        TEST(test_a_clients_bytes_wake),
        TEST(test_an_empty_message_wakes_and_carries_nothing),
        TEST(test_a_wake_is_asked_for_until_it_has_come),
        TEST(test_bytes_just_before_the_pause_wake),
        TEST(test_a_body_that_goes_on_wakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
