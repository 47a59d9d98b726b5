/* The HTTP/1 client against a box that the test plays on loopback: second attempts, and bytes that arrived
 * before a connection broke. */
#include "exchange_world.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "arena.h"
#include "http1_client.h"
#include "origin_pool.h"
#include "request_head.h"
#include "target.h"

typedef struct box_world {
    exchange_world_t *world;
    int listener;
    uint16_t port;
    int pooled;  /* the box's end of the connection in the pool */
    int own_end; /* the edge's end of it */
} box_world_t;

static step_result_t step_to_box(exchange_t *ex)
{
    exchange_to_origin(ex);
    target_box(ex);
    http1_client_start(ex);
    return STEP_DONE;
}

static const exchange_step_t box_steps[] = {{"box", step_to_box}, {NULL, NULL}};

static void nothing(void *owner)
{
    (void)owner;
}

/* A connection to the box that lies in the pool. */
static void put_into_pool(box_world_t *box)
{
    static const conn_handlers_t handlers = {nothing, nothing, NULL};
    context_t *context = box->world->fixture->context;
    exchange_t *ex = box->world->ex;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(box->port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    box->pooled = accept(box->listener, NULL, NULL);
    assert_true(box->pooled >= 0);
    box->own_end = fd;
    conn_t *conn = conn_new(context->loop, fd, NULL, &handlers, NULL);
    origin_pool_put(context->origins, &conn, str_from(ex->box.id), ex->box.generation, ex->preview->port,
                    4000);
}

static box_world_t box_world_new(const char *method)
{
    box_world_t box = {.world = exchange_world_new()};
    exchange_t *ex = box.world->ex;
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    box.listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(box.listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(box.listener, 8), 0);
    assert_int_equal(getsockname(box.listener, (struct sockaddr *)&address, &len), 0);
    box.port = ntohs(address.sin_port);
    box.world->fixture->context->origins = origin_pool_new(box.world->fixture->context->loop, 8);
    box.world->fixture->client.steps = box_steps;
    ex->request.method = str_from(method);
    ex->request.authority = STR("box-1.preview.test");
    test_preview(ex)->port = box.port;
    (void)snprintf(ex->box.id, sizeof(ex->box.id), "box");
    ex->box.state = BOX_RUNNING;
    assert_int_equal(inet_pton(AF_INET6, "::ffff:127.0.0.1", &ex->box.address), 1);
    put_into_pool(&box);
    return box;
}

static void box_world_free(box_world_t *box)
{
    context_t *context = box->world->fixture->context;
    close(box->listener);
    if (box->pooled >= 0)
        close(box->pooled);
    exchange_end(&box->world->ex, EXCHANGE_END_COMPLETE);
    origin_pool_free(&context->origins);
    context_fixture_free(box->world->fixture);
    free(box->world->out);
    free(box->world);
}

static void send_body(box_world_t *box, str_t data)
{
    exchange_request_body(box->world->ex, data);
    exchange_request_flush(box->world->ex);
}

static void turns(box_world_t *box, int n)
{
    while (n-- > 0)
        loop_turn(box->world->fixture->context->loop, 1);
}

/* The bytes that arrive on `fd` up to `end`, as text. */
static void read_until(box_world_t *box, int fd, const char *end, char *out, size_t room)
{
    size_t n = 0;
    uint64_t until = loop_precise_us() + 30000000;
    out[0] = '\0';
    while (strstr(out, end) == NULL) {
        turns(box, 1);
        ssize_t got = recv(fd, out + n, room - 1 - n, MSG_DONTWAIT);
        n += got > 0 ? (size_t)got : 0;
        out[n] = '\0';
        assert_true(loop_precise_us() < until);
    }
}

/* The box resets the pooled connection. */
static void break_pooled(box_world_t *box)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(box->pooled, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(box->pooled);
    box->pooled = -1;
}

/* The bytes of the second connection, which the test closes. */
static void expect_second(box_world_t *box, const char *head, const char *length, const char *body)
{
    char text[8192];
    int second = -1;
    assert_int_equal(fcntl(box->listener, F_SETFL, O_NONBLOCK), 0);
    for (int i = 0; i < 1000 && second < 0; i++) {
        turns(box, 1);
        second = accept(box->listener, NULL, NULL);
    }
    assert_true(second >= 0);
    read_until(box, second, body, text, sizeof(text));
    assert_non_null(strstr(text, head));
    assert_non_null(strstr(text, length)); /* all of it has arrived by then */
    close(second);
}

/* A part of the request's body was written when the pooled connection broke. */
static box_world_t broken_upload(const char *method)
{
    char text[8192];
    box_world_t box = box_world_new(method);
    box.world->ex->request.has_body = true;
    exchange_start(box.world->ex);
    send_body(&box, STR("one"));
    read_until(&box, box.pooled, "\r\n3\r\none", text, sizeof(text));
    break_pooled(&box);
    return box;
}

/* Body bytes between the break and its detection belong to the second attempt too. */
static void test_the_whole_body_is_sent_again(void **state)
{
    (void)state;
    box_world_t box = broken_upload("PUT");
    exchange_t *ex = box.world->ex;
    send_body(&box, STR("two")); /* this write fails */
    send_body(&box, STR("three"));
    exchange_request_end(ex);
    exchange_request_flush(ex);
    expect_second(&box, "PUT / HTTP/1.1\r\n", "\r\nContent-Length: 11\r\n", "\r\n\r\nonetwothree");
    assert_true(ex->sent_again);
    box_world_free(&box);
}

/* A POST whose bytes left is never sent again. */
static void test_a_post_is_not_sent_again(void **state)
{
    (void)state;
    box_world_t box = broken_upload("POST");
    exchange_t *ex = box.world->ex;
    turns(&box, 20);
    assert_int_equal(ex->status, 502);
    assert_false(ex->sent_again);
    box_world_free(&box);
}

/* No byte of a POST left on the pooled connection: it is sent again with all of its body, including bytes
 * that arrive before the end of that connection is known. */
static void test_a_post_of_which_nothing_left_is_sent_again(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        box_world_t box = box_world_new("POST");
        exchange_t *ex = box.world->ex;
        ex->request.has_body = true;
        assert_int_equal(shutdown(box.own_end, SHUT_WR), 0); /* a peek finds it open, and it takes no byte */
        exchange_start(ex);
        send_body(&box, STR("one"));
        if (late)
            send_body(&box, STR("two"));
        exchange_request_end(ex);
        exchange_request_flush(ex);
        break_pooled(&box);
        expect_second(&box, "POST / HTTP/1.1\r\n",
                      late ? "\r\nContent-Length: 6\r\n" : "\r\nContent-Length: 3\r\n",
                      late ? "\r\n\r\nonetwo" : "\r\n\r\none");
        assert_true(ex->sent_again);
        assert_int_equal(ex->context->counters->origin_resends_total, 1);
        box_world_free(&box);
    }
}

/* Above the bound its body is not kept, and the request fails. */
static void test_a_large_post_of_which_nothing_left(void **state)
{
    (void)state;
    static char body[32769];
    memset(body, 'x', sizeof(body));
    for (size_t extra = 0; extra < 2; extra++) {
        box_world_t box = box_world_new("POST");
        exchange_t *ex = box.world->ex;
        ex->request.has_body = true;
        assert_int_equal(shutdown(box.own_end, SHUT_WR), 0);
        exchange_start(ex);
        send_body(&box, str_make(body, 32768 + extra));
        break_pooled(&box);
        turns(&box, 20);
        assert_int_equal(ex->sent_again, extra == 0);
        assert_int_equal(ex->status, extra == 0 ? 0 : 502);
        box_world_free(&box);
    }
}

/* A body that is too large to be kept ends the chance of a second attempt, not the request. */
static void test_a_large_body_is_not_kept(void **state)
{
    (void)state;
    static char body[32769], text[65536];
    memset(body, 'x', sizeof(body));
    for (size_t extra = 0; extra < 2; extra++) {
        box_world_t box = box_world_new("PUT");
        exchange_t *ex = box.world->ex;
        ex->request.has_body = true;
        exchange_start(ex);
        send_body(&box, str_make(body, 32768 + extra));
        assert_int_equal(buffer_size(&ex->held), extra == 0 ? 32768 : 0);
        read_until(&box, box.pooled, "xxx", text, sizeof(text));
        break_pooled(&box);
        turns(&box, 20);
        assert_int_equal(ex->sent_again, extra == 0);
        assert_int_equal(ex->status, extra == 0 ? 0 : 502);
        box_world_free(&box);
    }
}

/* The box sends this on the pooled connection, and `*come` counts the bytes that the client gets. */
static void await_answer(box_world_t *box, const char *answer, const unsigned *come)
{
    assert_int_equal(send(box->pooled, answer, strlen(answer), 0), strlen(answer));
    for (int i = 0; i < 1000 && *come == 0; i++)
        turns(box, 1);
    assert_int_equal(*come, 1);
}

/* Answers the exchange's request on the pooled connection, ends it, and begins another. */
static void answer_and_renew(box_world_t *box, const char *answer)
{
    char text[8192];
    exchange_world_t *world = box->world;
    exchange_start(world->ex);
    read_until(box, box->pooled, "\r\n\r\n", text, sizeof(text));
    await_answer(box, answer, &world->ends);
    exchange_t *next = exchange_new(&world->fixture->client, &world_client_ops, world);
    next->request = (request_t){.version = HTTP_1_1, .method = STR("GET"), .target = STR("/")};
    next->request.content_length = LENGTH_UNKNOWN;
    *test_preview(next) = *world->ex->preview;
    next->box = world->ex->box;
    next->box.generation++; /* the old connection lies in the pool, with its timer */
    exchange_end(&world->ex, EXCHANGE_END_COMPLETE);
    world->ex = next;
    world->heads = world->ends = 0;
}

/* However many lifetimes boxes announce, the loop gets few different durations: it has 64. */
static void test_keep_alive_of_many_kinds(void **state)
{
    (void)state;
    enum { KINDS = 120 };
    char answer[128];
    int pooled[KINDS];
    box_world_t box = box_world_new("GET");
    context_t *context = box.world->fixture->context;
    loop_hold(context->loop); /* none becomes too old during the loop */
    context->conf->timeouts.pool_idle = 600000;
    origin_pool_free(&context->origins);
    close(box.pooled);
    context->origins = origin_pool_new(context->loop, KINDS + 8);
    for (unsigned i = 0; i < KINDS; i++) {
        put_into_pool(&box);
        pooled[i] = box.pooled;
        snprintf(answer, sizeof(answer),
                 "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=%u\r\nContent-Length: 2\r\n\r\nok", i + 1);
        answer_and_renew(&box, answer);
        assert_int_equal(origin_pool_idle(context->origins), i); /* 1 s less the margin is no time at all */
    }
    for (unsigned i = 0; i < KINDS; i++)
        close(pooled[i]);
    box.pooled = -1;
    box_world_free(&box);
}

/* An answer may begin up to `timeouts.first_byte` after the request, and not later. */
static void test_a_long_silence(void **state)
{
    (void)state;
    char text[8192];
    for (unsigned late = 0; late < 2; late++) {
        box_world_t box = box_world_new("POST");
        exchange_world_t *world = box.world;
        loop_t *loop = world->fixture->context->loop;
        loop_hold(loop);
        exchange_start(world->ex);
        read_until(&box, box.pooled, "\r\n\r\n", text, sizeof(text));
        loop_skip(loop, world->fixture->context->conf->timeouts.first_byte - 1);
        turns(&box, 2);
        assert_int_equal(world->ex->status, 0);
        if (late) {
            loop_skip(loop, 1);
            turns(&box, 2);
            assert_int_equal(world->ex->status, 504);
            assert_string_equal(world->ex->local_code, "origin_timeout");
        } else {
            /* Once it has begun, it may pause for any time. */
            await_answer(&box, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\non", &world->heads);
            loop_skip(loop, 30u * 86400 * 1000);
            turns(&box, 2);
            assert_int_equal(world->cuts + world->ends, 0);
            await_answer(&box, "ly", &world->ends);
            assert_int_equal(world->out_n, 4);
        }
        box_world_free(&box);
    }
}

/* A box whose accept queue is full: the kernel drops the edge's SYN. */
static void test_a_box_that_accepts_nothing(void **state)
{
    (void)state;
    for (unsigned late = 0; late < 2; late++) {
        box_world_t box = box_world_new("GET");
        exchange_world_t *world = box.world;
        loop_t *loop = world->fixture->context->loop;
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(box.port)};
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int filler = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(listen(box.listener, 0), 0);
        assert_int_equal(connect(filler, (struct sockaddr *)&address, sizeof(address)), 0);
        loop_hold(loop);
        world->ex->box.generation++; /* another box than that of the pooled connection */
        exchange_start(world->ex);
        loop_skip(loop, world->fixture->context->conf->timeouts.connect - 1);
        turns(&box, 2);
        assert_int_equal(world->ex->status, 0);
        if (late) {
            loop_skip(loop, 1);
            turns(&box, 2);
            assert_int_equal(world->ex->status, 504);
            assert_string_equal(world->ex->local_code, "connect_timeout");
        }
        close(filler);
        box_world_free(&box);
    }
}

/* ---- large heads ---- */

#define LARGE 31000

static void give_large_head(exchange_t *ex)
{
    arena_t *pool = request_head_pool(ex, LARGE);
    char *value = arena_alloc(pool, LARGE);
    memset(value, 'v', LARGE);
    value[LARGE - 1] = 'z';
    fields_add(pool, &ex->request.fields, FIELD_OTHER, STR("x-a"), str_make(value, LARGE));
    exchange_count(ex);
    ex->client->local = false;
}

/* A head that can be sent again stays whole until the response begins, and is sent whole both times. */
static void test_a_large_head_is_sent_again(void **state)
{
    (void)state;
    static char text[2 * LARGE];
    box_world_t box = box_world_new("GET");
    exchange_world_t *world = box.world;
    give_large_head(world->ex);
    exchange_start(world->ex);
    read_until(&box, box.pooled, "vz\r\n", text, sizeof(text));
    assert_true(world->ex->account.held > LARGE);
    break_pooled(&box);
    assert_int_equal(fcntl(box.listener, F_SETFL, O_NONBLOCK), 0);
    int second = -1;
    while (second < 0) {
        turns(&box, 1);
        second = accept(box.listener, NULL, NULL);
    }
    read_until(&box, second, "vz\r\n", text, sizeof(text));
    assert_true(strlen(text) > LARGE);
    turns(&box, 1);
    assert_true(world->ex->account.held < LARGE); /* no third attempt */
    assert_int_equal(send(second, "HTTP/1.1 204 No\r\n\r\n", 20, 0), 20);
    while (world->ends == 0)
        turns(&box, 1);
    assert_int_equal(world->ex->status, 204);
    close(second);
    box_world_free(&box);
}

/* No part of a POST is sent again once a byte has left. */
static void test_a_large_head_of_a_post_is_freed(void **state)
{
    (void)state;
    static char text[2 * LARGE];
    box_world_t box = box_world_new("POST");
    give_large_head(box.world->ex);
    exchange_start(box.world->ex);
    assert_true(box.world->ex->account.held < LARGE);
    read_until(&box, box.pooled, "vz\r\n", text, sizeof(text));
    assert_true(strlen(text) > LARGE);
    break_pooled(&box);
    while (box.world->ends == 0)
        turns(&box, 1);
    assert_int_equal(box.world->ex->status, 502);
    box_world_free(&box);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_whole_body_is_sent_again),
        cmocka_unit_test(test_a_post_is_not_sent_again),
        cmocka_unit_test(test_a_post_of_which_nothing_left_is_sent_again),
        cmocka_unit_test(test_a_large_post_of_which_nothing_left),
        cmocka_unit_test(test_a_large_body_is_not_kept),
        cmocka_unit_test(test_keep_alive_of_many_kinds),
        cmocka_unit_test(test_a_long_silence),
        cmocka_unit_test(test_a_box_that_accepts_nothing),
        cmocka_unit_test(test_a_large_head_is_sent_again),
        cmocka_unit_test(test_a_large_head_of_a_post_is_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
