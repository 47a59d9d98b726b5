/*
 * Exchanges by events: the steps, waits and hooks of the edge between a client codec and an origin codec that
 * the input plays. Several exchanges share a worker, so that the end of one resumes others.
 *
 * The input is a list of events (events[] below): requests, body bytes, ends and resets of clients, actions
 * of the origin, time, answers of the controller, changes of the store, a drain, a reload, short memory.
 * After each of them the invariants hold (check): at most one answer, an exchange in its steps has a wait,
 * and an answered one has none. At the end no memory, no count and no wait is left.
 */
#include "fuzz_world.h"

#include "budget.h"
#include "tunnel.h"

#define EVENTS_MAX 200
#define INPUT_MAX  4096

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

typedef struct input {
    const uint8_t *at;
    size_t left;
} input_t;

static uint8_t next(input_t *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

/* ---- events: requests ---- */

static void field(exchange_t *ex, const char *name, const char *value)
{
    str_t n = str_from(name);
    fields_add(&ex->arena, &ex->request.fields, field_lookup(n), n, str_from(value));
}

static void fill_request(exchange_t *ex, uint8_t kind, uint8_t more)
{
    static const http_version_t versions[] = {HTTP_1_1, HTTP_2, HTTP_1_1, HTTP_1_0};
    static const char *const hosts[] = {"box-3000.preview.test", "box-3000.preview.test",
                                        "other-80.preview.test", "example.com"};
    request_t *request = &ex->request;
    request->version = versions[kind & 3];
    request->websocket = (kind & 0xc) == 0xc && request->version != HTTP_1_0;
    request->has_body = !request->websocket && (kind & 4) != 0;
    request->method = request->has_body ? STR("POST") : (kind & 8) != 0 ? STR("HEAD") : STR("GET");
    if (request->websocket)
        request->method = STR("GET");
    request->expect_continue = request->has_body && (kind & 0x10) != 0;
    request->authority = str_from(hosts[more & 3]);
    request->target = (more & 4) != 0 ? STR("/.well-known/boxedge/wake") : STR("/");
    if ((more & 8) != 0)
        field(ex, "sec-fetch-mode", "navigate");
    if ((more & 0x10) != 0)
        field(ex, "x-box-no-wake", "1");
    if ((more & 0x20) != 0)
        field(ex, "origin", "https://x.example");
    if ((more & 0x40) != 0)
        field(ex, "content-type", "application/grpc");
}

static void on_request(input_t *in, unsigned what)
{
    uint8_t kind = next(in), more = next(in), waits = next(in);
    fuzz_call_t *call = &fuzz_world.calls[what % FUZZ_CALLS];
    if (call->ex != NULL)
        return;
    *call = (fuzz_call_t){.waits = waits, .room = (waits & 0x80) != 0 ? 0 : EXCHANGE_BODY_BYTES};
    fuzz_world.nature = waits >> 5 & 3;
    fuzz_world.fixture->client.address.s6_addr[15] = (uint8_t)(1 + what / FUZZ_CALLS);
    call->ex = exchange_new(&fuzz_world.fixture->client, &fuzz_client_ops, call);
    fill_request(call->ex, kind, more);
    if ((kind & 0xe0) == 0xe0)
        exchange_refuse(call->ex, 431, "head_too_large", "The head is too large.", NULL);
    else
        exchange_start(call->ex);
}

static fuzz_call_t *started(unsigned what)
{
    fuzz_call_t *call = &fuzz_world.calls[what % FUZZ_CALLS];
    return call->ex != NULL ? call : NULL;
}

static void on_body(input_t *in, unsigned what)
{
    fuzz_call_t *call = started(what);
    size_t n = (size_t)next(in) << (what / FUZZ_CALLS * 8);
    if (call == NULL || call->ex->request_complete)
        return;
    size_t most = exchange_request_room(call->ex);
    char *piece = malloc(EXCHANGE_BODY_BYTES);
    n = n < most ? n : most;
    memset(piece, '\x81', EXCHANGE_BODY_BYTES);
    if (n != 0)
        exchange_request_body(call->ex, str_make(piece, n));
    exchange_request_flush(call->ex);
    free(piece);
}

static void on_request_end(input_t *in, unsigned what)
{
    fuzz_call_t *call = started(what);
    (void)in;
    if (call == NULL || call->ex->request_complete ||
        (call->ex->request.websocket && call->ex->state < EXCHANGE_TUNNEL))
        return;
    exchange_request_end(call->ex);
    exchange_request_flush(call->ex);
}

static void on_leave(input_t *in, unsigned what)
{
    fuzz_call_t *call = started(what);
    (void)in;
    if (call != NULL)
        fuzz_end_call(call, call->ends != 0   ? EXCHANGE_END_COMPLETE
                            : call->cuts != 0 ? EXCHANGE_END_CUT
                                              : EXCHANGE_END_CLIENT_GONE);
}

static void on_refusal(input_t *in, unsigned what)
{
    fuzz_call_t *call = started(what);
    uint8_t how = next(in);
    if (call == NULL)
        return;
    if ((how & 3) == 0 && call->ex->request_complete)
        exchange_client_half_closed(call->ex);
    else if ((how & 3) == 1)
        exchange_refuse(call->ex, 400, "bad_chunk", "The request's chunked body is not valid.", NULL);
    else if ((how & 3) == 2 && call->ex->state < EXCHANGE_RESPONSE)
        exchange_refuse(call->ex, 408, "request_timeout", "The body did not come in time.", NULL);
    else if ((how & 3) == 3 && call->ex->state == EXCHANGE_ORIGIN)
        budget_shed(call->ex);
}

static void on_room(input_t *in, unsigned what)
{
    fuzz_call_t *call = started(what);
    size_t n = (size_t)next(in) << 8;
    if (call == NULL)
        return;
    call->room = n;
    exchange_response_room(call->ex);
}

/* ---- events: the origin, and the steps' waits ---- */

static void origin_takes(exchange_t *ex, uint8_t n)
{
    buffer_clear(&ex->held, &ex->account);
    fuzz_origin_of(ex)->room = (size_t)n << 8;
    exchange_request_room_grew(ex);
}

static void on_origin(input_t *in, unsigned what)
{
    static const fields_t none;
    uint8_t which = next(in), argument = next(in);
    if (fuzz_world.taken_count == 0)
        return;
    exchange_t *ex = fuzz_world.taken[which % fuzz_world.taken_count];
    bool begun = ex->state == EXCHANGE_RESPONSE || ex->state == EXCHANGE_TUNNEL;
    if (ex->state == EXCHANGE_STEPS)
        fuzz_comes(ex);
    else if (what == 0)
        fuzz_origin_fails(ex, (origin_failure_t)(argument % ORIGIN_FAILURES));
    else if (what == 1)
        origin_takes(ex, argument);
    else if (ex->state == EXCHANGE_ORIGIN && what < 12)
        fuzz_origin_head(ex, argument);
    else if (ex->state == EXCHANGE_ORIGIN)
        exchange_response_informational(ex, 102 + argument % 90, &none);
    else if (begun && !fuzz_origin_of(ex)->ended && what < 6)
        fuzz_origin_ends(ex);
    else if (begun && !fuzz_origin_of(ex)->ended)
        fuzz_origin_sends(ex, (size_t)argument << (what % 8));
}

static void on_line(input_t *in, unsigned what)
{
    (void)in;
    fuzz_world.line_open = (what & 1) != 0;
    if ((what & 2) != 0)
        upstream_queue_freed(fuzz_world.worker->upstream_queue, 0);
    else
        upstream_queue_message(fuzz_world.worker->upstream_queue, 0);
}

static void on_time(input_t *in, unsigned what)
{
    (void)in;
    loop_skip(fuzz_world.worker->context.loop, what == 0 ? 0 : (uint64_t)8 << what);
    fuzz_turn();
}

/* ---- events: the controller and the store ---- */

static void on_wake(input_t *in, unsigned what)
{
    wake_client_t *wakes = fuzz_world.worker->wake_client;
    wake_answer_t answer = {.label = "box-3000", .resume_ms = what, .sentence = "It has no room."};
    char bytes[WAKE_ANSWER_BYTES];
    ipc_message_t message = {.type = PROCESS_WOKEN, .value = WAKE_OK + what % 7};
    (void)in;
    if (what < 7) {
        message.len = wake_answer_write(&answer, bytes);
        memcpy(message.bytes, bytes, message.len);
        wake_client_message(wakes, &message);
    } else if (what < 10) {
        message.type = PROCESS_WAKE_STAGE;
        message.value = wake_stage_pack((wake_stage_t)(what - 6), 1000);
        message.len = 8;
        memcpy(message.bytes, answer.label, 8);
        wake_client_message(wakes, &message);
    } else if (what < 12) {
        wake_client_set_channel(wakes, what == 10 ? NULL : fuzz_world.channel);
    } else if (what == 12) {
        activity_boxes_changed(fuzz_world.worker->activity);
    } else if (what == 13) {
        wake_client_give_up(wakes);
    }
}

static void on_store(input_t *in, unsigned what)
{
    uint8_t more = next(in);
    if (what < 6)
        fuzz_put_box((box_state_t)(1 + what % 3), more % 6);
    else if (what < 8)
        fuzz_put_preview(what == 7);
    else if (what == 8)
        (void)!store_delete_preview(fuzz_world.store.store, STR("box"), 3000);
    else if (what < 12)
        fuzz_set_block(BLOCK_BOX, "box", what % 2 != 0);
    else if (what < 14)
        fuzz_set_block(BLOCK_CIDR, "192.0.2.2/32", what % 2 != 0);
    else
        tunnels_close_outdated(&fuzz_world.worker->context);
    fuzz_world.changed = true;
    shm_epoch_bump(fuzz_world.worker->context.shm);
    if ((more & 0x40) != 0)
        fuzz_turn();
}

/* ---- events: the worker ---- */

static void on_worker(input_t *in, unsigned what)
{
    (void)in;
    conf_t *conf = fuzz_world.worker->context.conf;
    if (what == 0) {
        fuzz_world.worker->context.draining = true;
        for (size_t i = 0; i < FUZZ_CALLS; i++)
            if (fuzz_world.calls[i].ex != NULL)
                exchange_drain(fuzz_world.calls[i].ex);
    } else if (what == 1) {
        fuzz_world.worker->context.conf = fuzz_world.confs[conf == fuzz_world.confs[0]]; /* a reload */
    } else if (what < 8) {
        conf->limits.memory_bytes = (uint64_t)4096 << (2 * what - 4);
    } else if (what < 11) {
        conf->limits.origin_connections_per_box = what - 7;
    } else if (what < 14) {
        conf->limits.origin_queue = what - 11;
    } else {
        conf->wake.page_after = what == 14 ? 0 : 2000;
    }
}

static void (*const events[16])(input_t *in, unsigned what) = {
    on_request, on_body, on_request_end, on_leave,  on_refusal, on_room, on_origin, on_line,
    on_time,    on_wake, on_store,       on_worker, on_request, on_body, on_origin, on_origin,
};

/* Origins fail, clients read all and send no body, and time passes: every request is answered. */
static void expect_answers(void)
{
    fuzz_world.line_open = true;
    for (int round = 0; round < FUZZ_ROUNDS; round++) {
        while (fuzz_world.taken_count != 0) {
            exchange_t *ex = fuzz_world.taken[0];
            if (ex->state == EXCHANGE_STEPS)
                fuzz_comes(ex);
            else
                fuzz_origin_fails(ex, ORIGIN_CLOSED);
        }
        for (size_t i = 0; i < FUZZ_CALLS; i++) {
            exchange_t *ex = fuzz_world.calls[i].ex;
            fuzz_world.calls[i].room = EXCHANGE_BODY_BYTES;
            if (ex == NULL || ex->state == EXCHANGE_DONE)
                continue;
            exchange_response_room(ex);
            if (await_source(ex) != NULL && strcmp(await_source(ex)->name, "body") == 0)
                exchange_refuse(ex, 408, "request_timeout", "The body did not come in time.", NULL);
        }
        loop_skip(fuzz_world.worker->context.loop, FUZZ_ROUND_MS);
        fuzz_turn();
        fuzz_check();
    }
    for (size_t i = 0; i < FUZZ_CALLS; i++)
        assert(fuzz_world.calls[i].ex == NULL || fuzz_world.calls[i].ex->state == EXCHANGE_DONE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > INPUT_MAX)
        return 0;
    if (fuzz_world.fixture == NULL)
        fuzz_world_new();
    fuzz_begin();
    input_t in = {.at = data + 1, .left = size - 1};
    for (int i = 0; i < EVENTS_MAX && in.left != 0; i++) {
        uint8_t event = next(&in);
        events[event & 15](&in, event >> 4);
        fuzz_check();
    }
    if ((data[0] & 1) != 0)
        expect_answers();
    fuzz_end();
    return 0;
}
