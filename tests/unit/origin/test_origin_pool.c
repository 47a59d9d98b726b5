/* The pool of idle origin connections, over socket pairs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "origin_pool.h"

static loop_t *loop;

static void ignore(void *owner)
{
    (void)owner;
}

static const conn_handlers_t handlers = {ignore, ignore, NULL};

static int setup(void **state)
{
    (void)state;
    loop = loop_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    loop_free(&loop);
    return 0;
}

/* A connection to an origin whose other end is *peer. */
static conn_t *origin(int *peer)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
    *peer = fds[1];
    return conn_new(loop, fds[0], NULL, &handlers, NULL);
}

static bool is_closed(int peer)
{
    char byte;
    return recv(peer, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void turn_until_idle(const origin_pool_t *pool, size_t count)
{
    uint64_t end_us = loop_precise_us() + 30000000;
    while (origin_pool_idle(pool) != count && loop_precise_us() < end_us)
        loop_turn(loop, 100);
    assert_int_equal(origin_pool_idle(pool), count);
}

#define PUT(pool, conn, box, generation, port)                                                               \
    origin_pool_put(pool, &(conn), STR(box), generation, port, 4000)

static void test_the_key_is_box_generation_and_port(void **state)
{
    (void)state;
    origin_pool_t *pool = origin_pool_new(loop, 8);
    int peer;
    conn_t *conn = origin(&peer);
    conn_t *same = conn;
    PUT(pool, conn, "swift-fox-1", 7, 3000);
    assert_null(conn);
    assert_int_equal(origin_pool_idle(pool), 1);
    assert_null(origin_pool_take(pool, STR("swift-fox-2"), 7, 3000, 0, true));
    assert_null(origin_pool_take(pool, STR("swift-fox"), 7, 3000, 0, true));
    assert_null(origin_pool_take(pool, STR("swift-fox-1"), 8, 3000, 0, true));
    assert_null(origin_pool_take(pool, STR("swift-fox-1"), 7, 3001, 0, true));
    conn = origin_pool_take(pool, STR("swift-fox-1"), 7, 3000, 0, true);
    assert_ptr_equal(conn, same);
    assert_int_equal(origin_pool_idle(pool), 0);
    assert_null(origin_pool_take(pool, STR("swift-fox-1"), 7, 3000, 0, true));
    conn_free(&conn);
    close(peer);
    origin_pool_free(&pool);
}

static void test_the_one_used_last_is_taken_first(void **state)
{
    (void)state;
    origin_pool_t *pool = origin_pool_new(loop, 8);
    int peers[3];
    conn_t *order[3];
    for (int i = 0; i < 3; i++) {
        conn_t *conn = order[i] = origin(&peers[i]);
        PUT(pool, conn, "a", 1, 80);
    }
    for (int i = 2; i >= 0; i--) {
        conn_t *conn = origin_pool_take(pool, STR("a"), 1, 80, 0, true);
        assert_ptr_equal(conn, order[i]);
        conn_free(&conn);
        close(peers[i]);
    }
    origin_pool_free(&pool);
}

static void test_full_the_oldest_is_closed(void **state)
{
    (void)state;
    origin_pool_t *pool = origin_pool_new(loop, 3);
    int peers[4];
    for (int i = 0; i < 4; i++) {
        conn_t *conn = origin(&peers[i]);
        origin_pool_put(pool, &conn, i == 0 ? STR("first") : STR("later"), 1, 80, 4000);
        assert_int_equal(origin_pool_idle(pool), i < 3 ? i + 1 : 3);
    }
    assert_true(is_closed(peers[0]));
    for (int i = 1; i < 4; i++)
        assert_false(is_closed(peers[i]));
    assert_null(origin_pool_take(pool, STR("first"), 1, 80, 0, true));
    origin_pool_free(&pool);
    for (int i = 0; i < 4; i++) {
        assert_true(is_closed(peers[i]));
        close(peers[i]);
    }
}

static void test_they_count(void **state)
{
    (void)state;
    account_root_t root;
    account_root_init(&root, NULL);
    origin_pool_t *pool = origin_pool_new(loop, 2);
    origin_pool_set_account(pool, &root.account);
    int peers[3];
    for (int i = 0; i < 3; i++) {
        conn_t *conn = origin(&peers[i]);
        PUT(pool, conn, "box", 1, 80);
        assert_int_equal(root.held, (i < 2 ? i + 1 : 2) * ORIGIN_POOL_CONN_BYTES);
    }
    conn_t *conn = origin_pool_take(pool, STR("box"), 1, 80, 0, true);
    assert_non_null(conn);
    assert_int_equal(root.held, ORIGIN_POOL_CONN_BYTES);
    conn_free(&conn);
    origin_pool_free(&pool);
    assert_int_equal(root.held, 0);
    for (int i = 0; i < 3; i++)
        close(peers[i]);
}

static void test_closed_by_the_origin(void **state)
{
    (void)state;
    origin_pool_t *pool = origin_pool_new(loop, 8);
    int peers[3];
    for (int i = 0; i < 3; i++) {
        conn_t *conn = origin(&peers[i]);
        PUT(pool, conn, "a", 1, 80);
    }
    close(peers[1]);
    turn_until_idle(pool, 2);
    conn_t *conn = origin_pool_take(pool, STR("a"), 1, 80, 0, true);
    assert_non_null(conn);
    assert_false(is_closed(peers[2]));
    conn_free(&conn);
    assert_true(is_closed(peers[2]));
    origin_pool_free(&pool);
    close(peers[0]);
    close(peers[2]);
}

static void test_an_origin_that_speaks_unasked_is_closed(void **state)
{
    (void)state;
    origin_pool_t *pool = origin_pool_new(loop, 8);
    int peer;
    conn_t *conn = origin(&peer);
    PUT(pool, conn, "a", 1, 80);
    assert_int_equal(write(peer, "HTTP/1.1 408", 12), 12);
    turn_until_idle(pool, 0);
    close(peer);
    origin_pool_free(&pool);
}

static void test_closed_after_its_time(void **state)
{
    (void)state;
    origin_pool_t *pool = origin_pool_new(loop, 8);
    int peers[2];
    conn_t *conn = origin(&peers[0]);
    origin_pool_put(pool, &conn, STR("a"), 1, 80, 20);
    conn = origin(&peers[1]);
    origin_pool_put(pool, &conn, STR("a"), 1, 80, 60000);
    turn_until_idle(pool, 1);
    assert_true(is_closed(peers[0]));
    assert_false(is_closed(peers[1]));
    origin_pool_free(&pool);
    close(peers[0]);
    close(peers[1]);
}

/* For requests that must not be sent twice: a recent and quiet connection, or none. */
static void test_max_idle(void **state)
{
    (void)state;
    origin_pool_t *pool = origin_pool_new(loop, 8);
    int peer;
    conn_t *conn = origin(&peer);
    PUT(pool, conn, "a", 1, 80);
    uint64_t put = loop_now(loop);
    conn = origin_pool_take(pool, STR("a"), 1, 80, 1000, true);
    assert_non_null(conn);
    PUT(pool, conn, "a", 1, 80);
    while (loop_now(loop) < put + 30)
        loop_turn(loop, 10);
    assert_null(origin_pool_take(pool, STR("a"), 1, 80, 20, true));
    assert_int_equal(origin_pool_idle(pool), 1); /* good for others still */
    conn = origin_pool_take(pool, STR("a"), 1, 80, 0, true);
    assert_non_null(conn);
    conn_free(&conn);
    close(peer);
    origin_pool_free(&pool);
}

/* A FIN, or bytes, have arrived but no turn has seen them: the pool skips this connection and gives out the
 * next one. */
static void test_quiet_ones_only(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        origin_pool_t *pool = origin_pool_new(loop, 8);
        int peers[2];
        conn_t *first = origin(&peers[0]);
        conn_t *conn = first;
        PUT(pool, conn, "a", 1, 80);
        conn = origin(&peers[1]);
        PUT(pool, conn, "a", 1, 80);
        if (i % 2 == 0)
            assert_int_equal(write(peers[1], "HTTP/1.1 200", 12), 12);
        else
            assert_int_equal(shutdown(peers[1], SHUT_WR), 0);
        conn = origin_pool_take(pool, STR("a"), 1, 80, i < 2 ? 1000 : 0, true);
        assert_ptr_equal(conn, first);
        assert_int_equal(origin_pool_idle(pool), 0);
        conn_free(&conn);
        close(peers[0]);
        close(peers[1]);
        origin_pool_free(&pool);
    }
}

/* A retired connection is never given out, ends with its origin, with its box or in time, and displaces no
 * other. */
static void test_retired(void **state)
{
    (void)state;
    origin_pool_t *pool = origin_pool_new(loop, 2);
    int peers[5];
    conn_t *conn = origin(&peers[0]);
    origin_pool_retire(pool, &conn, STR("a"), 1);
    assert_null(conn);
    assert_null(origin_pool_take(pool, STR("a"), 1, 80, 0, true));
    assert_false(is_closed(peers[0]));
    conn = origin(&peers[1]);
    PUT(pool, conn, "b", 1, 80);
    conn = origin(&peers[2]);
    origin_pool_retire(pool, &conn, STR("a"), 1); /* full */
    assert_true(is_closed(peers[2]));
    assert_false(is_closed(peers[1]));
    assert_int_equal(shutdown(peers[0], SHUT_WR), 0);
    turn_until_idle(pool, 1);
    assert_true(is_closed(peers[0]));
    conn = origin(&peers[3]);
    origin_pool_retire(pool, &conn, STR("a"), 1);
    origin_pool_drop(pool, STR("a"), 2);
    assert_true(is_closed(peers[3]));
    conn = origin(&peers[4]);
    loop_hold(loop);
    origin_pool_retire(pool, &conn, STR("a"), 1);
    loop_skip(loop, ORIGIN_POOL_RETIRE_MS);
    turn_until_idle(pool, 1);
    assert_false(is_closed(peers[1]));
    origin_pool_free(&pool);
    for (int i = 0; i < 5; i++)
        close(peers[i]);
}

/* Many keys in few chains: each finds its own. */
static void test_many_keys(void **state)
{
    (void)state;
    enum { COUNT = 200 };
    origin_pool_t *pool = origin_pool_new(loop, COUNT);
    static int peers[COUNT];
    static conn_t *conns[COUNT];
    for (uint16_t i = 0; i < COUNT; i++) {
        conn_t *conn = conns[i] = origin(&peers[i]);
        origin_pool_put(pool, &conn, STR("a"), i % 10, (uint16_t)(i / 10 + 1), 4000);
    }
    for (uint16_t i = 0; i < COUNT; i += 3) {
        conn_t *conn = origin_pool_take(pool, STR("a"), i % 10, (uint16_t)(i / 10 + 1), 0, true);
        assert_ptr_equal(conn, conns[i]);
        conn_free(&conn);
        assert_null(origin_pool_take(pool, STR("a"), i % 10, (uint16_t)(i / 10 + 1), 0, true));
    }
    origin_pool_free(&pool);
    for (size_t i = 0; i < COUNT; i++)
        close(peers[i]);
}

static void test_shed_by_age_and_number(void **state)
{
    (void)state;
    enum { COUNT = 4 };
    origin_pool_t *pool = origin_pool_new(loop, COUNT);
    int peers[COUNT];
    uint64_t before = loop_now(loop);
    for (int i = 0; i < COUNT; i++) {
        conn_t *conn = origin(&peers[i]);
        PUT(pool, conn, "a", 1, 80);
    }
    assert_int_equal(origin_pool_shed(pool, before - 1, COUNT), 0); /* all are younger */
    assert_int_equal(origin_pool_shed(pool, loop_now(loop), 1), 1);
    assert_true(is_closed(peers[0]));
    assert_false(is_closed(peers[1]));
    assert_int_equal(origin_pool_shed(pool, loop_now(loop), COUNT), COUNT - 1);
    assert_int_equal(origin_pool_idle(pool), 0);
    origin_pool_free(&pool);
    for (int i = 0; i < COUNT; i++)
        close(peers[i]);
}

static void test_dropped_but_for_one_generation(void **state)
{
    (void)state;
    enum { COUNT = 5 };
    static const struct {
        const char *box;
        uint64_t generation;
        uint16_t port;
        bool stays;
    } kept[COUNT] = {{"a", 1, 80, false},
                     {"a", 2, 80, true},
                     {"aa", 1, 80, true},
                     {"a", 1, 81, false},
                     {"a", 3, 80, false}};
    origin_pool_t *pool = origin_pool_new(loop, 8);
    int peers[COUNT];
    for (int i = 0; i < COUNT; i++) {
        conn_t *conn = origin(&peers[i]);
        origin_pool_put(pool, &conn, str_from(kept[i].box), kept[i].generation, kept[i].port, 4000);
    }
    origin_pool_drop(pool, STR("b"), 2);
    assert_int_equal(origin_pool_idle(pool), COUNT);
    origin_pool_drop(pool, STR("a"), 2);
    assert_int_equal(origin_pool_idle(pool), 2);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(is_closed(peers[i]), !kept[i].stays);
    origin_pool_drop(pool, STR("a"), 4);
    assert_int_equal(origin_pool_idle(pool), 1);
    origin_pool_free(&pool);
    origin_pool_t *empty = origin_pool_new(loop, 8);
    origin_pool_drop(empty, STR("a"), 1);
    origin_pool_free(&empty);
    for (int i = 0; i < COUNT; i++)
        close(peers[i]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_the_key_is_box_generation_and_port),
        TEST(test_the_one_used_last_is_taken_first),
        TEST(test_full_the_oldest_is_closed),
        TEST(test_they_count),
        TEST(test_closed_by_the_origin),
        TEST(test_an_origin_that_speaks_unasked_is_closed),
        TEST(test_closed_after_its_time),
        TEST(test_max_idle),
        TEST(test_quiet_ones_only),
        TEST(test_retired),
        TEST(test_many_keys),
        TEST(test_shed_by_age_and_number),
        TEST(test_dropped_but_for_one_generation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
