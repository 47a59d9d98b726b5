/* The rest of a request that was answered before its end: its bounds, and how the HTTP/1 server reads it. */
#include "context_fixture.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "linger.h"
#include "list.h"
#include "step.h"

static char big[60000];
static const char *code; /* of the answer */
static unsigned overs, resumes;

typedef struct world {
    context_fixture_t *f;
    loop_t *loop;
    linger_t linger;
    int fd; /* the client's end */
} world_t;

static void on_over(linger_t *linger)
{
    (void)linger;
    overs++;
}

static void on_resume(linger_t *linger)
{
    (void)linger;
    resumes++;
}

static const linger_handlers_t handlers = {.over = on_over, .resume = on_resume};

static int set_up(void **state)
{
    static world_t world;
    world = (world_t){.f = context_fixture_new(), .fd = -1};
    world.loop = world.f->context->loop;
    world.f->context->linger_rates = linger_rates_new();
    loop_hold(world.loop);
    overs = resumes = 0;
    code = NULL;
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    world_t *world = *state;
    linger_end(&world->linger);
    if (world->fd >= 0)
        close(world->fd);
    list_t *clients = &world->f->context->clients;
    while (!list_is_empty(clients)) {
        client_t *client = CONTAINER_OF(client_t, link, clients->next);
        client->codec->destroy(client);
    }
    linger_rates_free(&world->f->context->linger_rates);
    context_fixture_free(world->f);
    return 0;
}

static void let_pass(world_t *world, uint32_t ms)
{
    loop_skip(world->loop, ms);
    loop_turn(world->loop, 0);
}

static void begin(world_t *world, linger_t *linger)
{
    remote_t remote = remote_of_connection(&world->f->client);
    linger_begin(linger, &world->f->client, &remote, &handlers);
}

/* ---- bounds ---- */

static void test_idle_starts_anew_with_each_byte(void **state)
{
    world_t *world = *state;
    begin(world, &world->linger);
    for (unsigned i = 0; i < 3; i++) {
        let_pass(world, LINGER_IDLE_MS - 1);
        assert_int_equal(linger_take(&world->linger, 1), LINGER_READ_ON);
    }
    assert_int_equal(overs, 0);
    let_pass(world, LINGER_IDLE_MS);
    assert_int_equal(overs, 1);
    let_pass(world, LINGER_WHOLE_MS);
    assert_int_equal(overs, 1);
}

static void test_whole(void **state)
{
    world_t *world = *state;
    begin(world, &world->linger);
    for (unsigned ms = 0; ms < LINGER_WHOLE_MS; ms += LINGER_IDLE_MS / 5) {
        assert_int_equal(overs, 0);
        assert_int_equal(linger_take(&world->linger, 1), LINGER_READ_ON);
        let_pass(world, LINGER_IDLE_MS / 5);
    }
    assert_int_equal(overs, 1);
}

static void test_bytes(void **state)
{
    world_t *world = *state;
    linger_rates_free(&world->f->context->linger_rates);
    begin(world, &world->linger);
    assert_int_equal(linger_take(&world->linger, LINGER_BYTES - 1), LINGER_READ_ON);
    assert_int_equal(linger_take(&world->linger, 1), LINGER_READ_ON);
    assert_int_equal(linger_take(&world->linger, 1), LINGER_OVER);
    let_pass(world, LINGER_WHOLE_MS);
    assert_int_equal(overs, 0); /* the caller knows */
}

/* A burst, then 32 MiB a second, for all requests of an address together; a client that waits for it is not
 * idle. */
static void test_rate(void **state)
{
    world_t *world = *state;
    linger_t second = {.bytes = 0};
    begin(world, &world->linger);
    begin(world, &second);
    assert_int_equal(linger_take(&world->linger, LINGER_BURST_BYTES), LINGER_READ_ON);
    assert_int_equal(linger_take(&second, LINGER_UNIT_BYTES), LINGER_PAUSED);
    linger_end(&second);
    let_pass(world, LINGER_PAUSE_MS);
    size_t more = LINGER_PAUSE_MS / LINGER_UNIT_MS * LINGER_UNIT_BYTES;
    assert_int_equal(linger_take(&world->linger, more), LINGER_READ_ON);
    /* 6 s over: longer than the idle limit. */
    assert_int_equal(linger_take(&world->linger, 6000 / LINGER_UNIT_MS * (size_t)LINGER_UNIT_BYTES),
                     LINGER_PAUSED);
    for (unsigned ms = 0; ms < 6000 - LINGER_PAUSE_MS; ms += LINGER_PAUSE_MS)
        let_pass(world, LINGER_PAUSE_MS);
    assert_int_equal(resumes, 0);
    assert_int_equal(overs, 0);
    let_pass(world, LINGER_PAUSE_MS);
    assert_int_equal(resumes, 1);
}

/* A proxy has no rate, but each client that it names has one. */
static void test_trusted_proxies_have_no_rate(void **state)
{
    world_t *world = *state;
    linger_t second = {.bytes = 0};
    remote_t remote = remote_of_connection(&world->f->client);
    remote.trusted = true;
    linger_begin(&world->linger, &world->f->client, &remote, &handlers);
    assert_int_equal(linger_take(&world->linger, LINGER_BYTES), LINGER_READ_ON);
    remote.named = true;
    linger_begin(&second, &world->f->client, &remote, &handlers);
    assert_int_equal(linger_take(&second, LINGER_BURST_BYTES), LINGER_READ_ON);
    assert_int_equal(linger_take(&second, LINGER_UNIT_BYTES), LINGER_PAUSED);
    linger_end(&second);
}

/* ---- HTTP/1 ---- */

static step_result_t answers(exchange_t *ex)
{
    if (code != NULL) {
        exchange_refuse(ex, 503, code, "No.", NULL);
        return STEP_DONE;
    }
    exchange_reply(ex, 401, STR("text/plain"), NULL, STR("no"));
    return STEP_DONE;
}

static const exchange_step_t steps[] = {{"answer", answers}, {NULL, NULL}};

static void never(void *owner)
{
    (void)owner;
    fail();
}

/* A POST with a body of which the client has sent no byte yet, and its answer. */
static void post(world_t *world)
{
    static const char head[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n";
    static const conn_handlers_t none = {.readable = never, .writable = never};
    int fds[2];
    char answer[4096];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    client_t accepted = world->f->client;
    accepted.steps = steps;
    accepted.conn = conn_new(world->loop, fds[0], NULL, &none, NULL);
    http1_server_new(&accepted);
    world->fd = fds[1];
    assert_int_equal(send(world->fd, head, sizeof(head) - 1, MSG_NOSIGNAL), sizeof(head) - 1);
    for (unsigned i = 0; i < 4; i++)
        loop_turn(world->loop, 0);
    ssize_t n = recv(world->fd, answer, sizeof(answer), 0);
    assert_true(n > 12 && memcmp(answer, "HTTP/1.1 ", 9) == 0);
    assert_int_equal(recv(world->fd, answer, sizeof(answer), 0), 0); /* its direction has ended */
    assert_int_equal(world->f->counters.exchanges_open, 0);
}

static bool is_open(const world_t *world)
{
    return !list_is_empty((list_t *)&world->f->context->clients);
}

/* Sends until no more bytes are accepted, turning the loop. Returns the number of bytes. */
static size_t upload(world_t *world, size_t n)
{
    size_t sent = 0;
    unsigned blocked = 0;
    while (sent < n && blocked < 10) {
        size_t now = n - sent < sizeof(big) ? n - sent : sizeof(big);
        ssize_t went = send(world->fd, big, now, MSG_NOSIGNAL);
        if (went < 0 && errno != EAGAIN)
            return sent;
        blocked = went < 0 ? blocked + 1 : 0;
        sent += went > 0 ? (size_t)went : 0;
        loop_turn(world->loop, 0);
    }
    return sent;
}

static void test_http1_takes_the_rest(void **state)
{
    world_t *world = *state;
    post(world);
    assert_int_equal(upload(world, 20000000), 20000000);
    assert_true(is_open(world));
    assert_int_equal(world->f->context->memory.held, 0);
    assert_int_equal(shutdown(world->fd, SHUT_WR), 0);
    for (unsigned i = 0; i < 10; i++)
        loop_turn(world->loop, 0);
    assert_false(is_open(world));
    assert_int_equal(world->f->counters.discarded_bytes_total, 20000000);
}

static void test_http1_idle(void **state)
{
    world_t *world = *state;
    post(world);
    assert_int_equal(upload(world, 1000), 1000);
    let_pass(world, LINGER_IDLE_MS - 1);
    assert_true(is_open(world));
    let_pass(world, 1);
    assert_false(is_open(world));
}

static void test_http1_rate(void **state)
{
    world_t *world = *state;
    post(world);
    size_t sent = upload(world, LINGER_BURST_BYTES + 32000000);
    assert_in_range(sent, LINGER_BURST_BYTES, LINGER_BURST_BYTES + 4000000);
    assert_true(is_open(world));
    let_pass(world, LINGER_PAUSE_MS);
    assert_true(upload(world, 1000000) > 0);
}

static void test_http1_never(void **state)
{
    static const char *const codes[] = {"overloaded", "locked", "request_timeout", "too_many_waiting",
                                        "too_many_wakes"};
    world_t *world = *state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        code = codes[i];
        post(world);
        assert_false(is_open(world));
        close(world->fd);
        world->fd = -1;
    }
}

int main(void)
{
#define T(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {T(test_idle_starts_anew_with_each_byte),
                                       T(test_whole),
                                       T(test_bytes),
                                       T(test_rate),
                                       T(test_trusted_proxies_have_no_rate),
                                       T(test_http1_takes_the_rest),
                                       T(test_http1_idle),
                                       T(test_http1_rate),
                                       T(test_http1_never)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
