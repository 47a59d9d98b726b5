/* An HTTP/2 origin that writes any bytes and ends: for any bytes, every request ends (an answer or a cut), no
 * memory is held any more, and no connection is left. The first byte selects the requests: 1: HEAD, 2: with a
 * body, 4: the client reads nothing before the connection has ended, 8: two requests. */
#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "context_fixture.h"
#include "http2_client.h"
#include "step.h"
#include "target.h"

/* Turns of at most a millisecond in which everything must end. */
#define TURNS 5000

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

typedef struct world {
    context_fixture_t *fixture;
    context_t *context;
    int listener;
    uint16_t port;
} world_t;

typedef struct call {
    exchange_t *ex;
    size_t room;
    uint64_t length, got;
    unsigned heads, ends, cuts;
} call_t;

/* ---- the client ---- */

static void send_informational(exchange_t *ex, int status, const fields_t *fields)
{
    (void)fields;
    assert(status >= 100 && status < 200 && ((call_t *)ex->codec)->heads == 0);
}

static void send_head(exchange_t *ex)
{
    call_t *call = ex->codec;
    assert(call->heads++ == 0 && ex->response.status >= 200 && ex->response.status <= 999);
    call->length = ex->response.bodyless ? 0 : ex->response.content_length;
}

static size_t room(const exchange_t *ex)
{
    return ((call_t *)ex->codec)->room;
}

static void send_body(exchange_t *ex, str_t data)
{
    call_t *call = ex->codec;
    assert(call->heads == 1 && call->ends == 0 && call->cuts == 0 && data.n <= call->room);
    call->got += data.n;
    assert(call->got <= call->length);
}

static void send_end(exchange_t *ex)
{
    call_t *call = ex->codec;
    assert(call->heads == 1 && call->cuts == 0 && call->ends++ == 0);
    assert(call->length == LENGTH_UNKNOWN || call->got == call->length);
}

static void nothing(exchange_t *ex)
{
    (void)ex;
}

static void cut(exchange_t *ex)
{
    call_t *call = ex->codec;
    assert(call->heads == 1 && call->ends == 0 && call->cuts++ == 0);
}

static const client_ops_t ops = {
    .send_informational = send_informational,
    .send_head = send_head,
    .room = room,
    .send_body = send_body,
    .send_end = send_end,
    .flush = nothing,
    .cut = cut,
    .resume_request = nothing,
};

static step_result_t step(exchange_t *ex)
{
    exchange_to_origin(ex);
    target_box(ex);
    ex->target.h2 = true;
    target_start(ex);
    return STEP_DONE;
}

static const exchange_step_t steps[] = {{"origin", step}, {NULL, NULL}};

/* ---- the world ---- */

static world_t *world_new(void)
{
    world_t *world = calloc(1, sizeof(*world));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    assert(world != NULL);
    setenv("CMOCKA_TEST_ABORT", "1", 1); /* the fixture's assertions */
    world->fixture = context_fixture_new();
    world->context = world->fixture->context;
    world->context->http2_origins = http2_origins_new(world->context);
    world->fixture->client.steps = steps;
    world->fixture->client.local = false;
    world->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    bool listens = bind(world->listener, (struct sockaddr *)&address, len) == 0 &&
                   listen(world->listener, 64) == 0 &&
                   getsockname(world->listener, (struct sockaddr *)&address, &len) == 0;
    assert(listens);
    world->port = ntohs(address.sin_port);
    return world;
}

static void call_start(world_t *world, call_t *call, uint8_t kind)
{
    exchange_t *ex = exchange_new(&world->fixture->client, &ops, call);
    *call = (call_t){.ex = ex, .room = (kind & 4) != 0 ? 0 : EXCHANGE_BODY_BYTES};
    ex->request.version = HTTP_2;
    ex->request.method = (kind & 1) != 0 ? STR("HEAD") : STR("POST");
    ex->request.target = STR("/");
    ex->request.authority = STR("box-1.preview.test");
    ex->request.has_body = (kind & 2) != 0;
    test_preview(ex)->port = world->port;
    memcpy(ex->box.id, "box", 4);
    ex->box.state = BOX_RUNNING;
    int made = inet_pton(AF_INET6, "::ffff:127.0.0.1", &ex->box.address);
    assert(made == 1);
    exchange_start(ex);
    if (ex->request.has_body) {
        exchange_request_body(ex, STR("some of a body"));
        exchange_request_flush(ex);
    }
}

static bool is_over(const call_t *call)
{
    return call->ends + call->cuts != 0;
}

/* The origin writes once, on the first connection; those of second attempts end immediately. */
static void speak(world_t *world, const uint8_t *input, size_t size, bool *spoke)
{
    int fd = accept4(world->listener, NULL, NULL, SOCK_NONBLOCK);
    if (fd < 0)
        return;
    if (!*spoke)
        for (size_t sent = 0; sent != size;) {
            ssize_t n = send(fd, input + sent, size - sent, MSG_NOSIGNAL);
            if (n <= 0)
                break; /* more than the kernel takes in one call */
            sent += (size_t)n;
        }
    *spoke = true;
    /* Closed with unread bytes it would be reset, and its bytes would be lost. */
    shutdown(fd, SHUT_WR);
    char bytes[4096];
    for (int i = 0; i < TURNS && recv(fd, bytes, sizeof(bytes), 0) != 0; i++)
        loop_turn(world->context->loop, 1);
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    static world_t *world;
    call_t calls[2];
    if (size == 0 || size > 65536)
        return 0;
    if (world == NULL)
        world = world_new();
    size_t count = (input[0] & 8) != 0 ? 2 : 1, over = 0;
    bool spoke = false;
    for (size_t i = 0; i < count; i++)
        call_start(world, &calls[i], input[0]);
    for (int turn = 0; turn < TURNS && (over != count || !spoke); turn++) {
        loop_turn(world->context->loop, 1);
        speak(world, input + 1, size - 1, &spoke);
        over = 0;
        for (size_t i = 0; i < count; i++) {
            calls[i].room = spoke ? EXCHANGE_BODY_BYTES : calls[i].room;
            if (spoke && !is_over(&calls[i]))
                exchange_response_room(calls[i].ex);
            over += is_over(&calls[i]);
        }
    }
    assert(over == count);
    for (size_t i = 0; i < count; i++)
        exchange_end(&calls[i].ex, EXCHANGE_END_COMPLETE);
    for (int turn = 0; turn < TURNS && http2_origins_count(world->context->http2_origins) != 0; turn++)
        loop_turn(world->context->loop, 1);
    assert(http2_origins_count(world->context->http2_origins) == 0);
    assert(world->context->memory.held == 0 && world->fixture->counters.exchanges_open == 0);
    return 0;
}
