/* Byte streams, plain and over both versions of TLS: connected, and bytes both ways. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include <errno.h>

#include "conn_world.h"

static void test_bytes_both_ways(void **state)
{
    world_t *world = conn_world_new(kind_of(state));
    conn_world_connect(world);
    conn_want_read(world->a.conn, true);
    conn_want_read(world->b.conn, true);
    say(&world->b, "GET /");
    TURN_UNTIL(world, world->a.in_len == 5);
    expect_in(&world->a, "GET /");
    say(&world->a, "200 OK");
    say(&world->a, " and more");
    TURN_UNTIL(world, world->b.in_len == 15);
    expect_in(&world->b, "200 OK and more");
    /* Nothing else arrives: no turn finds work. */
    unsigned before = world->a.readables + world->b.readables;
    for (int i = 0; i < 5; i++)
        loop_turn(world->loop, 0);
    assert_true(world->a.readables + world->b.readables <= before + 1);
    conn_world_free(world);
}

/* Bytes that were not read make the next turn readable, whether the kernel or OpenSSL holds them. */
static void test_readable_is_level_triggered(void **state)
{
    world_t *world = conn_world_new(kind_of(state));
    conn_world_connect(world);
    world->a.read_cap = 3;
    conn_want_read(world->a.conn, true);
    say(&world->b, "0123456789");
    TURN_UNTIL(world, world->a.in_len == 10);
    expect_in(&world->a, "0123456789");
    assert_true(world->a.readables >= 4);
    conn_world_free(world);
}

/* The same with a stop of reading in between: no bytes come unwanted, and none are lost. */
static void test_reading_stops_and_goes_on(void **state)
{
    world_t *world = conn_world_new(kind_of(state));
    conn_world_connect(world);
    world->a.read_cap = 3;
    conn_want_read(world->a.conn, true);
    say(&world->b, "0123456789");
    TURN_UNTIL(world, world->a.in_len == 3);
    conn_want_read(world->a.conn, false);
    unsigned before = world->a.readables;
    for (int i = 0; i < 5; i++)
        loop_turn(world->loop, 10);
    assert_int_equal(world->a.readables, before);
    assert_int_equal(world->a.in_len, 3);
    assert_false(conn_wants_read(world->a.conn));
    conn_want_read(world->a.conn, true);
    TURN_UNTIL(world, world->a.in_len == 10);
    expect_in(&world->a, "0123456789");
    conn_world_free(world);
}

static void transfer(world_t *world, size_t len, size_t write_cap, size_t read_cap, int sndbuf)
{
    conn_world_connect(world);
    char *there = malloc(len), *back = malloc(len);
    fill(there, len, 1);
    fill(back, len, 2);
    end_t *ends[2] = {&world->a, &world->b};
    for (int i = 0; i < 2; i++) {
        if (sndbuf > 0) {
            assert_int_equal(
                setsockopt(conn_fd(ends[i]->conn), SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf)), 0);
        }
        in_reserve(ends[i], len + 1);
        ends[i]->out = i == 0 ? there : back;
        ends[i]->out_len = len;
        ends[i]->write_cap = write_cap;
        ends[i]->read_cap = read_cap;
        conn_want_read(ends[i]->conn, true);
        conn_want_write(ends[i]->conn, true);
    }
    TURN_UNTIL(world, world->a.in_len >= len && world->b.in_len >= len);
    assert_int_equal(world->a.in_len, len);
    assert_int_equal(world->b.in_len, len);
    assert_memory_equal(world->b.in, there, len);
    assert_memory_equal(world->a.in, back, len);
    TURN_UNTIL(world, conn_flushed(world->a.conn) && conn_flushed(world->b.conn));
    free(there);
    free(back);
}

static void test_large_transfer(void **state)
{
    world_t *world = conn_world_new(kind_of(state));
    transfer(world, 8 << 20, SIZE_MAX, SIZE_MAX, 0);
    conn_world_free(world);
}

static void test_large_transfer_through_small_buffers(void **state)
{
    world_t *world = conn_world_new(kind_of(state));
    transfer(world, 2 << 20, 50001, 7001, 4096);
    assert_true(world->a.writables > 10); /* the kernel did refuse */
    conn_world_free(world);
}

static void test_one_call_moves_a_turns_bytes_at_most(void **state)
{
    world_t *world = conn_world_new(kind_of(state));
    conn_world_connect(world);
    static char bytes[200000];
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    size_t written;
    assert_int_equal(conn_write(world->a.conn, &iov, 1, &written), CONN_OK);
    assert_in_range(written, 1, CONN_TURN_BYTES);
    in_reserve(&world->b, sizeof(bytes));
    conn_want_read(world->b.conn, true);
    size_t last = 0;
    uint64_t end_us = loop_precise_us() + 20000000;
    while (world->b.in_len < written && loop_precise_us() < end_us) {
        loop_turn(world->loop, 100);
        assert_true(world->b.in_len - last <= CONN_TURN_BYTES);
        last = world->b.in_len;
    }
    assert_int_equal(world->b.in_len, written);
    conn_world_free(world);
}

/* Sixteen slices, some empty, one long: in order, and accepted whole. */
static void test_slices(void **state)
{
    world_t *world = conn_world_new(kind_of(state));
    conn_world_connect(world);
    static char bytes[60000];
    fill(bytes, sizeof(bytes), 3);
    struct iovec iov[16];
    size_t at = 0;
    for (size_t i = 0; i < 16; i++) {
        size_t n = i == 5 ? 40000 : i % 3 == 0 ? 0 : 100 * i;
        if (i == 15)
            n = 5000;
        iov[i] = (struct iovec){.iov_base = bytes + at, .iov_len = n};
        at += n;
    }
    size_t written;
    assert_int_equal(conn_write(world->a.conn, iov, 16, &written), CONN_OK);
    assert_int_equal(written, at);
    in_reserve(&world->b, at + 1);
    conn_want_read(world->b.conn, true);
    TURN_UNTIL(world, world->b.in_len >= at);
    assert_int_equal(world->b.in_len, at);
    assert_memory_equal(world->b.in, bytes, at);
    conn_world_free(world);
}

static void test_quiet(void **state)
{
    world_t *world = conn_world_new(kind_of(state));
    conn_world_connect(world);
    conn_want_read(world->a.conn, true);
    say(&world->b, "x"); /* bytes that came with the handshake are read, such as tickets */
    TURN_UNTIL(world, world->a.in_len == 1);
    assert_true(conn_is_silent(world->a.conn));
    conn_want_read(world->a.conn, false);
    say(&world->b, "yz");
    TURN_UNTIL(world, conn_unread(world->a.conn) > 0);
    assert_false(conn_is_silent(world->a.conn));
    /* One byte of two was read: OpenSSL may hold the other. */
    world->a.read_cap = 1;
    conn_want_read(world->a.conn, true);
    TURN_UNTIL(world, world->a.in_len == 2);
    assert_false(conn_is_silent(world->a.conn));
    assert_true(conn_unread(world->a.conn) >= 1);
    TURN_UNTIL(world, world->a.in_len == 3);
    assert_int_equal(conn_unread(world->a.conn), 0);
    TURN_UNTIL(world, conn_is_silent(world->a.conn));
    conn_free(&world->b.conn);
    TURN_UNTIL(world, !conn_is_silent(world->a.conn));
    conn_world_free(world);
}

static void test_connect(void **state)
{
    (void)state;
    world_t *world = conn_world_new(PLAIN);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&sa, &len), 0);
    /* Nobody listens yet. */
    world->b.conn = conn_connect(world->loop, (struct sockaddr *)&sa, len, &conn_world_handlers, &world->b);
    if (world->b.conn != NULL) {
        world->b.quiet = true;
        conn_want_write(world->b.conn, true);
        TURN_UNTIL(world, world->b.writables > 0);
        assert_int_equal(conn_connect_error(world->b.conn), ECONNREFUSED);
        conn_free(&world->b.conn);
    } else {
        assert_int_equal(errno, ECONNREFUSED);
    }
    assert_int_equal(listen(listener, 1), 0);
    world->b.writables = 0;
    world->b.conn = conn_connect(world->loop, (struct sockaddr *)&sa, len, &conn_world_handlers, &world->b);
    assert_non_null(world->b.conn);
    int on = 0;
    socklen_t on_len = sizeof(on);
    getsockopt(conn_fd(world->b.conn), IPPROTO_TCP, TCP_NODELAY, &on, &on_len);
    assert_true(on);
    world->b.quiet = true;
    conn_want_write(world->b.conn, true);
    TURN_UNTIL(world, world->b.writables > 0);
    assert_int_equal(conn_connect_error(world->b.conn), 0);
    close(listener);
    conn_world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_bytes_both_ways),
        EACH(test_readable_is_level_triggered),
        EACH(test_reading_stops_and_goes_on),
        EACH(test_large_transfer),
        EACH(test_large_transfer_through_small_buffers),
        EACH(test_one_call_moves_a_turns_bytes_at_most),
        EACH(test_slices),
        EACH(test_quiet),
        cmocka_unit_test(test_connect),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
