/* Connections that the edge has ended before the peer took their bytes: how each of them closes. */
#include "context_fixture.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "farewell.h"
#include "list.h"
#include "tcp_pair.h"

typedef struct world {
    context_fixture_t *fixture;
    context_t *context;
    int peer;
    client_t *farewell; /* the worker's; NULL: none */
} world_t;

static void nothing(void *owner)
{
    (void)owner;
}

/* Two ends of a TCP connection; nobody reads, and the first end's queue is full. */
static void connect_full(int fds[2])
{
    static const char bytes[65536];
    tcp_pair(fds);
    while (send(fds[0], bytes, sizeof(bytes), 0) > 0)
        continue;
    assert_int_equal(errno, EAGAIN);
}

/* A codec's client with that connection ends. */
static int set_up(void **state)
{
    static const conn_handlers_t handlers = {nothing, nothing, NULL};
    static client_t client;
    world_t *w = calloc(1, sizeof(*w));
    int fds[2];
    w->fixture = context_fixture_new();
    w->context = w->fixture->context;
    loop_hold(w->context->loop);
    loop_skip(w->context->loop, EXCHANGE_STALL_MS);
    w->context->farewells = farewells_new(w->context);
    connect_full(fds);
    w->peer = fds[1];
    client_t accepted = w->fixture->client;
    accepted.local = false;
    accepted.conn = conn_new(w->context->loop, fds[0], NULL, &handlers, NULL);
    client_init(&client, &accepted);
    client_fini(&client);
    assert_null(client.conn);
    assert_int_equal(farewells_count(w->context->farewells), 1);
    assert_int_equal(w->context->client_count, 1);
    w->farewell = CONTAINER_OF(client_t, link, w->context->clients.next);
    assert_true(w->context->memory.held > 0);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    world_t *w = *state;
    if (w->peer >= 0)
        close(w->peer);
    farewells_free(&w->context->farewells);
    assert_int_equal(w->context->client_count, 0);
    context_fixture_free(w->fixture);
    free(w);
    return 0;
}

/* Everything that the peer can read now. Returns the error of the last read; 0: the end of the stream. */
static int read_all(const world_t *w)
{
    static char bytes[65536];
    ssize_t n;
    while ((n = recv(w->peer, bytes, sizeof(bytes), 0)) > 0)
        continue;
    return n == 0 ? 0 : errno;
}

static void expect_gone(const world_t *w, unsigned resets)
{
    assert_int_equal(farewells_count(w->context->farewells), 0);
    assert_int_equal(w->fixture->counters.farewell_resets_total, resets);
    assert_int_equal(w->context->memory.held, 0);
    if (w->peer >= 0 && resets != 0)
        assert_int_equal(read_all(w), ECONNRESET);
}

static void pass(const world_t *w, uint64_t ms)
{
    loop_skip(w->context->loop, ms);
    loop_turn(w->context->loop, 0);
}

/* Reads up to the end of the stream, which comes after all bytes. */
static void read_to_the_end(const world_t *w)
{
    uint64_t until = loop_precise_us() + 30000000;
    int result;
    while ((result = read_all(w)) == EAGAIN)
        assert_true(loop_precise_us() < until);
    assert_int_equal(result, 0);
}

static void a_peer_that_reads_everything(void **state)
{
    world_t *w = *state;
    read_to_the_end(w);
    /* The kernel may take a while to acknowledge the end, but less than the peer may pause. */
    for (int i = 0; i < 50 && farewells_count(w->context->farewells) != 0; i++) {
        pass(w, FAREWELL_LOOK_MS);
        loop_turn(w->context->loop, 1);
    }
    expect_gone(w, 0);
}

static void a_peer_that_reads_nothing(void **state)
{
    world_t *w = *state;
    uint32_t patience = w->context->conf->timeouts.write_idle;
    pass(w, patience - 1);
    assert_int_equal(farewells_count(w->context->farewells), 1);
    pass(w, FAREWELL_LOOK_MS);
    expect_gone(w, 1);
}

static void a_peer_that_resets(void **state)
{
    world_t *w = *state;
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    assert_int_equal(setsockopt(w->peer, SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
    close(w->peer);
    w->peer = -1;
    for (int i = 0; i < 1000 && farewells_count(w->context->farewells) != 0; i++)
        loop_turn(w->context->loop, 1);
    expect_gone(w, 0);
}

/* Memory is short: the connection closes once it has been without progress for relief's limit. */
static void relief_takes_it_without_progress(void **state)
{
    world_t *w = *state;
    const client_codec_t *codec = w->farewell->codec;
    uint64_t now = loop_now(w->context->loop), since;
    assert_int_equal(codec->stalled(w->farewell, now - 1), 0);
    codec->relieve(w->farewell, now - 1, 0);
    assert_false(codec->idle_since(w->farewell, &since));
    loop_skip(w->context->loop, EXCHANGE_STALL_MS);
    assert_true(codec->idle_since(w->farewell, &since));
    assert_int_equal(since, now);
    assert_true(codec->stalled(w->farewell, now) > CONN_LITTLE_BYTES);
    codec->relieve(w->farewell, now, 1); /* boxes over their share first: this is no exchange */
    assert_int_equal(farewells_count(w->context->farewells), 1);
    codec->relieve(w->farewell, now, 0);
    assert_int_equal(w->fixture->counters.memory_closes_total, 1);
    expect_gone(w, 1);
}

/* Relief keeps the connections of trusted proxies, which carry several clients. */
static void relief_keeps_that_of_a_proxy(void **state)
{
    world_t *w = *state;
    uint64_t now = loop_now(w->context->loop);
    assert_int_equal(inet_pton(AF_INET6, "::ffff:10.0.0.5", &w->farewell->address), 1);
    w->farewell->codec->relieve(w->farewell, now, 0);
    assert_int_equal(farewells_count(w->context->farewells), 1);
    assert_int_equal(w->fixture->counters.memory_closes_total, 0);
}

static void an_idle_one_is_closed_for_others(void **state)
{
    world_t *w = *state;
    w->farewell->codec->close_idle(w->farewell);
    expect_gone(w, 1);
}

/* The kernel still sends the bytes of a worker that exits. */
static void a_drain_leaves_the_rest_to_the_kernel(void **state)
{
    world_t *w = *state;
    w->farewell->codec->drain(w->farewell);
    expect_gone(w, 0);
    read_to_the_end(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_peer_that_reads_everything, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_peer_that_reads_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_peer_that_resets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(relief_takes_it_without_progress, set_up, tear_down),
        cmocka_unit_test_setup_teardown(relief_keeps_that_of_a_proxy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_idle_one_is_closed_for_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_drain_leaves_the_rest_to_the_kernel, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
