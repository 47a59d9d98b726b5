/* The sending half of an HTTP/1 message: framing, order, and a peer that does not read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#include "http1_writer.h"

typedef struct fixture {
    loop_t *loop;
    conn_t *conn;
    int peer;
    account_root_t memory;
    http1_writer_t writer;
} fixture_t;

static void on_ready(void *owner)
{
    (void)owner;
}

static const conn_handlers_t handlers = {on_ready, on_ready, NULL};

static int setup(void **state)
{
    fixture_t *f = calloc(1, sizeof(*f));
    int fds[2], small = 4096;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    f->loop = loop_new();
    f->conn = conn_new(f->loop, fds[0], NULL, &handlers, f);
    f->peer = fds[1];
    account_root_init(&f->memory, NULL);
    http1_writer_init(&f->writer, &f->memory.account);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_t *f = *state;
    http1_writer_fini(&f->writer);
    assert_int_equal(f->memory.held, 0);
    if (f->conn != NULL)
        conn_free(&f->conn);
    loop_turn(f->loop, 0);
    loop_free(&f->loop);
    close(f->peer);
    free(f);
    return 0;
}

/* Appends to `buffer` everything that the peer can read now. */
static size_t peer_read(fixture_t *f, char *buffer, size_t used, size_t cap)
{
    ssize_t n;
    while (used < cap && (n = read(f->peer, buffer + used, cap - used)) > 0)
        used += (size_t)n;
    return used;
}

static void assert_sent(fixture_t *f, const char *expected)
{
    char buffer[4096];
    assert_int_equal(http1_writer_flush(&f->writer, f->conn), HTTP1_FLUSHED);
    assert_true(http1_writer_empty(&f->writer));
    size_t n = peer_read(f, buffer, 0, sizeof(buffer));
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(buffer, expected, n);
}

static void test_plain(void **state)
{
    fixture_t *f = *state;
    fields_t none = {0};
    http1_writer_raw(&f->writer, STR("HEAD"));
    http1_writer_body(&f->writer, STR("ab"));
    http1_writer_body(&f->writer, STR(""));
    http1_writer_end(&f->writer, &none);
    assert_sent(f, "HEADab");
}

static void test_chunked(void **state)
{
    fixture_t *f = *state;
    fields_t none = {0};
    f->writer.chunked = true;
    http1_writer_body(&f->writer, STR("0123456789abcdef"));
    http1_writer_body(&f->writer, STR(""));
    http1_writer_body(&f->writer, STR("x"));
    assert_sent(f, "10\r\n0123456789abcdef\r\n1\r\nx");
    http1_writer_body(&f->writer, STR("y"));
    http1_writer_end(&f->writer, &none);
    assert_sent(f, "\r\n1\r\ny\r\n0\r\n\r\n");
}

static void test_chunked_empty_with_trailers(void **state)
{
    fixture_t *f = *state;
    field_t at[] = {{STR("A"), STR("1"), FIELD_OTHER}, {STR("b"), STR(""), FIELD_OTHER}};
    fields_t trailers = {.at = at, .count = 2, .capacity = 2};
    f->writer.chunked = true;
    http1_writer_end(&f->writer, &trailers);
    assert_sent(f, "0\r\nA: 1\r\nb: \r\n\r\n");
}

/* More slices and chunks than can be staged: the order stays. */
static void test_many_slices(void **state)
{
    fixture_t *f = *state;
    fields_t none = {0};
    char expected[1024] = "";
    f->writer.chunked = true;
    for (int i = 0; i < 50; i++) {
        http1_writer_body(&f->writer, STR("z"));
        size_t n = strlen(expected);
        (void)snprintf(expected + n, sizeof(expected) - n, "%s1\r\nz", i == 0 ? "" : "\r\n");
    }
    http1_writer_end(&f->writer, &none);
    size_t n = strlen(expected);
    (void)snprintf(expected + n, sizeof(expected) - n, "\r\n0\r\n\r\n");
    assert_sent(f, expected);
}

/* At first the peer does not read: stored bytes count, none is lost or reordered. */
static void test_blocked(void **state)
{
    fixture_t *f = *state;
    enum { TOTAL = 300000 };
    char *data = malloc(TOTAL), *got = malloc(TOTAL);
    for (size_t i = 0; i < TOTAL; i++)
        data[i] = (char)(i * 7 + i / 251);
    http1_writer_raw(&f->writer, str_make(data, 100000));
    assert_int_equal(http1_writer_flush(&f->writer, f->conn), HTTP1_BLOCKED);
    assert_true(f->memory.held > 0);
    assert_false(http1_writer_empty(&f->writer));
    assert_int_equal(http1_writer_room(&f->writer, 65536), 0);
    http1_writer_raw(&f->writer, str_make(data + 100000, TOTAL - 100000));
    size_t n = 0;
    for (int turns = 0; turns < 10000 && n < TOTAL; turns++) {
        (void)!http1_writer_flush(&f->writer, f->conn);
        n = peer_read(f, got, n, TOTAL);
    }
    assert_int_equal(n, TOTAL);
    assert_memory_equal(got, data, TOTAL);
    assert_int_equal(http1_writer_flush(&f->writer, f->conn), HTTP1_FLUSHED);
    assert_int_equal(f->memory.held, 0);
    assert_int_equal(f->writer.written, TOTAL);
    free(data);
    free(got);
}

static void test_broken(void **state)
{
    fixture_t *f = *state;
    close(f->peer);
    f->peer = -1;
    http1_writer_raw(&f->writer, STR("x"));
    assert_int_equal(http1_writer_flush(&f->writer, f->conn), HTTP1_BROKEN);
    assert_true(http1_writer_empty(&f->writer));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_plain, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chunked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chunked_empty_with_trailers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_slices, setup, teardown),
        cmocka_unit_test_setup_teardown(test_blocked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
