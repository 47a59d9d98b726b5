/* Byte streams, plain and over both versions of TLS: how they end, by FIN, by reset, unread, and freed by a
 * handler. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "conn_world.h"

static void test_end_in_order_and_half_close(void **state)
{
    world_t *world = conn_world_new(kind_of(state));
    conn_world_connect(world);
    conn_want_read(world->a.conn, true);
    conn_want_read(world->b.conn, true);
    say(&world->b, "last words");
    conn_shutdown_write(world->b.conn);
    conn_shutdown_write(world->b.conn); /* idempotent */
    TURN_UNTIL(world, world->a.last == CONN_EOF);
    expect_in(&world->a, "last words");
    struct iovec late = {.iov_base = "x", .iov_len = 1};
    size_t written;
    assert_int_equal(conn_write(world->b.conn, &late, 1, &written), CONN_FAILED);
    /* A reported end is not reported again and again. */
    unsigned before = world->a.readables;
    for (int i = 0; i < 5; i++)
        loop_turn(world->loop, 0);
    assert_int_equal(world->a.readables, before);
    /* The end persists, and a new owner is notified once. */
    size_t got;
    char byte;
    assert_int_equal(conn_read(world->a.conn, &byte, 1, &got), CONN_EOF);
    conn_set_owner(world->a.conn, &conn_world_handlers, &world->a);
    conn_want_read(world->a.conn, true);
    TURN_UNTIL(world, world->a.readables == before + 1);
    assert_int_equal(world->a.last, CONN_EOF);
    /* The other direction lives. */
    say(&world->a, "answer");
    TURN_UNTIL(world, world->b.in_len == 6);
    expect_in(&world->b, "answer");
    conn_shutdown_write(world->a.conn);
    TURN_UNTIL(world, world->b.last == CONN_EOF);
    conn_world_free(world);
}

/* Bytes that conn_write accepted leave before the end, however slow the peer. */
static void test_shutdown_flushes_first(void **state)
{
    world_t *world = conn_world_new(kind_of(state));
    conn_world_connect(world);
    int small = 4096;
    setsockopt(conn_fd(world->a.conn), SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    static char bytes[CONN_TURN_BYTES];
    fill(bytes, sizeof(bytes), 4);
    size_t total = 0, written;
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    while (total + sizeof(bytes) < (64u << 20) && conn_write(world->a.conn, &iov, 1, &written) == CONN_OK)
        total += written; /* fills the kernel's buffers */
    assert_int_equal(conn_write(world->a.conn, &iov, 1, &written), CONN_AGAIN);
    conn_shutdown_write(world->a.conn);
    in_reserve(&world->b, total + 1);
    conn_want_read(world->b.conn, true);
    TURN_UNTIL(world, world->b.last == CONN_EOF);
    assert_int_equal(world->b.in_len, total);
    conn_world_free(world);
}

/* FIN alone: the end of a plain stream, the truncation of a TLS stream. */
static void test_fin_alone(void **state)
{
    world_t *world = conn_world_new(kind_of(state));
    conn_world_connect(world);
    world->a.keep_reading = true;
    conn_want_read(world->a.conn, true);
    say(&world->b, "cut off");
    shutdown(conn_fd(world->b.conn), SHUT_WR);
    conn_result_t end = world->kind == PLAIN ? CONN_EOF : CONN_TRUNCATED;
    TURN_UNTIL(world, world->a.last == end);
    expect_in(&world->a, "cut off");
    char byte;
    size_t got;
    assert_int_equal(conn_read(world->a.conn, &byte, 1, &got), end);
    conn_world_free(world);
}

static void test_reset(void **state)
{
    world_t *world = conn_world_new(kind_of(state));
    conn_world_connect(world);
    conn_want_read(world->a.conn, true);
    conn_abort(&world->b.conn);
    assert_null(world->b.conn);
    TURN_UNTIL(world, world->a.last == CONN_FAILED);
    struct iovec iov = {.iov_base = "x", .iov_len = 1};
    size_t written;
    assert_int_equal(conn_write(world->a.conn, &iov, 1, &written), CONN_FAILED);
    conn_world_free(world);
}

static void test_write_to_a_closed_peer_fails(void **state)
{
    world_t *world = conn_world_new(kind_of(state));
    conn_world_connect(world);
    conn_abort(&world->b.conn);
    struct iovec iov = {.iov_base = "x", .iov_len = 1};
    size_t written;
    assert_int_equal(conn_write(world->a.conn, &iov, 1, &written), CONN_FAILED);
    assert_int_equal(conn_write(world->a.conn, &iov, 1, &written), CONN_FAILED);
    /* The other direction reports its end too, without an event of the socket. */
    conn_want_read(world->a.conn, true);
    TURN_UNTIL(world, world->a.last == CONN_FAILED);
    conn_world_free(world);
}

/* A plain peer that answered and closed, as servers do with an upload that they refuse: its answer can be
 * read. */
static void test_last_words_after_a_failed_write(void **state)
{
    (void)state;
    world_t *world = conn_world_new(PLAIN);
    conn_world_connect(world);
    say(&world->b, "too large");
    TURN_UNTIL(world, conn_unread(world->a.conn) == 9);
    conn_free(&world->b.conn);
    struct iovec iov = {.iov_base = "x", .iov_len = 1};
    size_t written;
    conn_result_t result = CONN_OK;
    for (int i = 0; i < 1000 && result == CONN_OK; i++)
        result = conn_write(world->a.conn, &iov, 1, &written);
    assert_int_equal(result, CONN_FAILED);
    conn_want_read(world->a.conn, true);
    TURN_UNTIL(world, world->a.last == CONN_FAILED);
    expect_in(&world->a, "too large");
    conn_world_free(world);
}

/* ---- hangups ---- */

/* Reads are off, and bytes lie before the FIN: the FIN is noticed, then the RST too. */
static void test_hangup_while_paused(void **state)
{
    world_t *world = conn_world_new(kind_of(state));
    conn_world_connect(world);
    say(&world->b, "unread");
    TURN_UNTIL(world, conn_unread(world->a.conn) >= 6);
    conn_shutdown_write(world->b.conn);
    TURN_UNTIL(world, world->a.fins == 1);
    assert_int_equal(world->a.resets, 0);
    assert_true(conn_unread(world->a.conn) >= 6);
    conn_abort(&world->b.conn);
    TURN_UNTIL(world, world->a.resets == 1);
    assert_int_equal(world->a.fins, 1);
    assert_int_equal(world->a.readables, 0);
    conn_world_free(world);
}

/* Reads were on once and are off now: the socket is still in epoll, so the departure is seen immediately. */
static void test_hangup_after_reading_stopped(void **state)
{
    world_t *world = conn_world_new(kind_of(state));
    conn_world_connect(world);
    conn_want_read(world->a.conn, true);
    say(&world->b, "x");
    TURN_UNTIL(world, world->a.in_len == 1);
    conn_want_read(world->a.conn, false);
    loop_hold(world->loop); /* no polling timer can report it */
    conn_abort(&world->b.conn);
    TURN_UNTIL(world, world->a.resets == 1);
    assert_int_equal(world->a.fins, 0);
    conn_world_free(world);
}

/* A new owner does not know which events the last one got. */
static void test_hangup_is_told_to_the_next_owner(void **state)
{
    (void)state;
    world_t *world = conn_world_new(PLAIN);
    conn_world_connect(world);
    say(&world->b, "unread");
    conn_shutdown_write(world->b.conn);
    TURN_UNTIL(world, world->a.fins == 1);
    conn_set_owner(world->a.conn, &conn_world_handlers, &world->a);
    TURN_UNTIL(world, world->a.fins == 2);
    conn_abort(&world->b.conn);
    TURN_UNTIL(world, world->a.resets == 1);
    conn_set_owner(world->a.conn, &conn_world_handlers, &world->a);
    TURN_UNTIL(world, world->a.resets == 2);
    conn_world_free(world);
}

/* After the edge's own end was sent, the peer's end is no reset, and the bytes before it can be read. */
static void test_hangup_after_our_own_end(void **state)
{
    world_t *world = conn_world_new(kind_of(state));
    conn_world_connect(world);
    conn_shutdown_write(world->a.conn);
    say(&world->b, "late");
    conn_shutdown_write(world->b.conn);
    TURN_UNTIL(world, world->a.fins == 1);
    assert_int_equal(world->a.resets, 0);
    world->a.keep_reading = true;
    conn_want_read(world->a.conn, true);
    TURN_UNTIL(world, world->a.last == CONN_EOF);
    expect_in(&world->a, "late");
    conn_world_free(world);
}

/* ---- freeing from handlers ---- */

static void test_free_in_readable(void **state)
{
    world_t *world = conn_world_new(kind_of(state));
    conn_world_connect(world);
    world->a.frees = &world->a;
    conn_want_read(world->a.conn, true);
    conn_want_write(world->a.conn, true);
    world->a.writables = 0;
    say(&world->b, "x");
    TURN_UNTIL(world, world->a.conn == NULL);
    loop_turn(world->loop, 0);
    conn_world_free(world);
}

static void test_free_in_writable(void **state)
{
    world_t *world = conn_world_new(kind_of(state));
    conn_world_connect(world);
    world->a.frees = &world->a;
    conn_want_write(world->a.conn, true);
    TURN_UNTIL(world, world->a.conn == NULL);
    loop_turn(world->loop, 0);
    conn_world_free(world);
}

static void test_free_in_hangup(void **state)
{
    world_t *world = conn_world_new(kind_of(state));
    conn_world_connect(world);
    world->a.frees = &world->a;
    conn_abort(&world->b.conn);
    TURN_UNTIL(world, world->a.conn == NULL);
    loop_turn(world->loop, 0);
    conn_world_free(world);
}

/* Both ends are ready in one turn, and the first to run frees the other. */
static void test_free_the_other_in_the_same_turn(void **state)
{
    world_t *world = conn_world_new(kind_of(state));
    conn_world_connect(world);
    say(&world->a, "x");
    say(&world->b, "x");
    TURN_UNTIL(world, conn_unread(world->a.conn) > 0 && conn_unread(world->b.conn) > 0);
    world->a.frees = &world->b;
    world->b.frees = &world->a;
    conn_want_read(world->a.conn, true);
    conn_want_read(world->b.conn, true);
    TURN_UNTIL(world, world->a.conn == NULL || world->b.conn == NULL);
    assert_true((world->a.conn == NULL) != (world->b.conn == NULL));
    world->a.frees = world->b.frees = NULL;
    loop_turn(world->loop, 0);
    conn_world_free(world);
}

/* ---- one kind only ---- */

#define MANY 600

/* More paused connections than one poll covers; each one that learns of its end frees its neighbour too. */
static void test_many_hangups_free_each_other(void **state)
{
    (void)state;
    world_t *world = conn_world_new(PLAIN);
    static end_t ends[MANY];
    for (size_t i = 0; i < MANY; i++) {
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
        end_init(&ends[i], world);
        ends[i].conn = conn_new(world->loop, fds[0], NULL, &conn_world_handlers, &ends[i]);
        ends[i].frees = &ends[i ^ 1];
        close(fds[1]);
    }
    size_t left = MANY;
    uint64_t end_us = loop_precise_us() + 30000000;
    while (left > MANY / 2 && loop_precise_us() < end_us) {
        loop_turn(world->loop, 100);
        left = 0;
        for (size_t i = 0; i < MANY; i++)
            left += ends[i].conn != NULL;
    }
    assert_int_equal(left, MANY / 2);
    for (size_t i = 0; i < MANY; i += 2) {
        assert_true((ends[i].conn == NULL) != (ends[i + 1].conn == NULL));
        assert_int_equal(ends[i].resets + ends[i + 1].resets, 1);
    }
    for (size_t i = 0; i < MANY; i++)
        end_fini(&ends[i]);
    conn_world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_end_in_order_and_half_close),
        EACH(test_shutdown_flushes_first),
        EACH(test_fin_alone),
        EACH(test_reset),
        EACH(test_write_to_a_closed_peer_fails),
        EACH(test_hangup_while_paused),
        EACH(test_hangup_after_reading_stopped),
        EACH(test_hangup_after_our_own_end),
        EACH(test_free_in_readable),
        EACH(test_free_in_writable),
        EACH(test_free_in_hangup),
        EACH(test_free_the_other_in_the_same_turn),
        cmocka_unit_test(test_many_hangups_free_each_other),
        cmocka_unit_test(test_last_words_after_a_failed_write),
        cmocka_unit_test(test_hangup_is_told_to_the_next_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
