#include "activity_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void no_message(void *owner, ipc_message_t *message)
{
    (void)owner;
    (void)message;
}

static void no_end(void *owner)
{
    (void)owner;
}

void connect_controller(world_t *w)
{
    static const channel_handlers_t handlers = {.message = no_message, .closed = no_end};
    int fds[2];
    assert_true(ipc_pair(fds));
    w->channel = channel_new(w->fixture->context->loop, fds[0], &handlers, w);
    w->controller = fds[1];
    activity_set_channel(w->activity, w->channel);
}

void disconnect_controller(world_t *w)
{
    activity_set_channel(w->activity, NULL);
    channel_free(&w->channel);
    close(w->controller);
}

store_box_t put_box(world_t *w, const char *id, box_state_t state, uint64_t generation)
{
    store_box_t box = {.state = state,
                       .generation = generation,
                       .address = IN6ADDR_LOOPBACK_INIT,
                       .provider = PROVIDER_PROCESS};
    snprintf(box.id, sizeof(box.id), "%s", id);
    assert_int_equal(store_put_box(w->store.store, &box), STORE_OK);
    shm_epoch_bump(w->fixture->context->shm);
    return box;
}

int activity_world_setup(void **state)
{
    static const uint8_t seed[16];
    world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    fixture_make(&w->store);
    fixture_open(&w->store, FIXTURE_MAP_BYTES);
    w->fixture = worker_fixture_new();
    worker_t *worker = worker_of(w->fixture->context);
    worker->context.conf->wake.idle_open = 30 * 60 * 1000;
    worker->context.conf->wake.timeout = 30000;
    worker->context.shm = shm_new(seed);
    assert_non_null(worker->context.shm);
    worker->context.origins = origin_pool_new(worker->context.loop, 8);
    worker->activity = w->activity = activity_new(worker, w->store.store);
    w->fixture->client.steps = world_steps;
    w->now = loop_now(worker->context.loop) + 100000;
    put_box(w, "box", BOX_RUNNING, 1);
    connect_controller(w);
    activity_turn(w->activity, w->now);
    *state = w;
    return 0;
}

int activity_world_teardown(void **state)
{
    world_t *w = *state;
    disconnect_controller(w);
    worker_t *worker = worker_of(w->fixture->context);
    activity_free(&worker->activity);
    assert_null(worker->activity);
    activity_free(&worker->activity);
    origin_pool_free(&worker->context.origins);
    shm_free(&worker->context.shm);
    context_fixture_free(w->fixture);
    fixture_remove(&w->store);
    free(w);
    return 0;
}

/* ---- exchanges ---- */

exchange_world_t *activity_world_begin(world_t *w, const char *id, bool websocket)
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
    test_preview(ex)->port = 3000;
    if (w->method != NULL) {
        ex->request.method = str_from(w->method);
        fields_add(&ex->arena, &ex->request.fields, FIELD_ORIGIN, STR("origin"), STR("https://x.example"));
        fields_add(&ex->arena, &ex->request.fields, FIELD_ACCESS_CONTROL_REQUEST_METHOD,
                   STR("access-control-request-method"), STR("GET"));
    }
    if (w->polls)
        fields_add(&ex->arena, &ex->request.fields, FIELD_OTHER, STR("x-box-no-wake"), STR("1"));
    snprintf(test_preview(ex)->id, sizeof(test_preview(ex)->id), "%s", id);
    assert_int_equal(store_get_box(w->store.store, str_from(id), &ex->box), STORE_OK);
    ex->box_epoch = atomic_load(shm_epoch(w->fixture->context->shm));
    exchange_start(ex);
    activity_begin(ex);
    return x;
}

void end(exchange_world_t **x)
{
    assert_int_equal((*x)->staged_count, 0);
    exchange_end(&(*x)->ex, EXCHANGE_END_COMPLETE);
    free((*x)->out);
    free(*x);
    *x = NULL;
}

void respond(exchange_world_t *x, str_t content_type)
{
    exchange_t *ex = x->ex;
    ex->response = (response_t){.status = 200, .content_length = LENGTH_UNKNOWN};
    fields_add(&ex->arena, &ex->response.fields, FIELD_CONTENT_TYPE, STR("content-type"), content_type);
    exchange_response_head(ex);
    exchange_response_flush(ex);
}

void accept_websocket(exchange_world_t *x)
{
    x->ex->response = (response_t){.status = 101, .content_length = LENGTH_UNKNOWN, .tunnel = true};
    exchange_response_head(x->ex);
    assert_int_equal(x->ex->state, EXCHANGE_TUNNEL);
}

void from_box(exchange_world_t *x, str_t data)
{
    exchange_response_body(x->ex, data);
    exchange_response_flush(x->ex);
    x->room = EXCHANGE_BODY_BYTES;
}

void from_client(exchange_world_t *x, str_t data)
{
    exchange_request_body(x->ex, data);
    exchange_request_flush(x->ex);
    x->origin_room = EXCHANGE_BODY_BYTES;
}

/* ---- messages to the controller ---- */

void turn(world_t *w, uint64_t ms)
{
    w->now += ms;
    activity_turn(w->activity, w->now);
}

uint32_t hear(world_t *w, char *bytes)
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

void expect_message(world_t *w, uint32_t type, const char *bytes)
{
    char got[IPC_BYTES_MAX + 1];
    assert_int_equal(hear(w, got), type);
    assert_string_equal(got, bytes);
}

void expect_silence(world_t *w)
{
    char got[IPC_BYTES_MAX + 1];
    assert_int_equal(hear(w, got), 0);
}

bool is_active(world_t *w)
{
    char got[IPC_BYTES_MAX + 1];
    turn(w, 1000);
    bool active = hear(w, got) == PROCESS_ACTIVE;
    expect_silence(w);
    return active;
}

str_t frame(char *out, unsigned opcode, size_t n)
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

void expect_code(exchange_world_t *x, int status, const char *code)
{
    assert_int_equal(x->ex->status, status);
    assert_non_null(x->ex->local_code);
    assert_string_equal(x->ex->local_code, code);
    assert_int_equal(x->cancels, 1);
}

void expect_untouched(exchange_world_t *x)
{
    assert_null(x->ex->local_code);
    assert_int_equal(x->cancels + x->cuts + x->ends, 0);
}
