/* Byte streams, plain and over both versions of TLS, between two ends in one loop over TCP on loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <openssl/err.h>

#include "certificates.h"
#include "conn.h"

typedef enum kind { PLAIN, TLS12, TLS13 } kind_t;

typedef struct world world_t;

/* One end, with what its handlers saw and do. */
typedef struct end {
    world_t *world;
    conn_t *conn;
    unsigned readables, writables, fins, resets;
    conn_result_t handshake; /* CONN_AGAIN while under way */
    conn_result_t last;      /* of conn_read */
    char *in;
    size_t in_len, in_max;
    size_t read_cap; /* of one conn_read */
    bool keep_reading;
    const char *out;
    size_t out_len, out_at;
    size_t write_cap;
    struct end *frees;    /* freed from a handler */
    bool freed_when_done; /* by the handler that sees the handshake done */
    bool quiet;           /* handlers only count */
} end_t;

struct world {
    kind_t kind;
    loop_t *loop;
    tls_t *tls;
    SSL_CTX *client_ctx;
    end_t a; /* the server's */
    end_t b; /* the client's */
};

/* ---- the ends' handlers ---- */

static void frees(end_t *end)
{
    if (end->frees != NULL) {
        end_t *other = end->frees;
        end->frees = NULL;
        conn_free(&other->conn);
    }
}

static void on_handshake(void *owner)
{
    end_t *end = owner;
    end->handshake = conn_handshake(end->conn);
    if (end->handshake == CONN_OK && end->freed_when_done)
        conn_free(&end->conn);
}

static void on_readable(void *owner)
{
    end_t *end = owner;
    end->readables++;
    if (end->quiet)
        return;
    if (end->frees != NULL) {
        frees(end);
        return;
    }
    do {
        size_t got = 0;
        size_t room = end->in_max - end->in_len;
        assert_true(room > 0);
        end->last =
            conn_read(end->conn, end->in + end->in_len, room < end->read_cap ? room : end->read_cap, &got);
        assert_int_equal(got > 0, end->last == CONN_OK);
        end->in_len += got;
    } while (end->keep_reading && end->last == CONN_OK);
}

static void on_writable(void *owner)
{
    end_t *end = owner;
    end->writables++;
    if (end->quiet)
        return;
    if (end->frees != NULL) {
        frees(end);
        return;
    }
    assert_true(conn_flushed(end->conn));
    while (end->out_at < end->out_len) {
        size_t n = end->out_len - end->out_at;
        if (n > end->write_cap)
            n = end->write_cap;
        struct iovec iov = {.iov_base = (char *)end->out + end->out_at, .iov_len = n};
        size_t written;
        conn_result_t result = conn_write(end->conn, &iov, 1, &written);
        assert_int_equal(written > 0, result == CONN_OK);
        if (result != CONN_OK) {
            assert_int_equal(result, CONN_AGAIN);
            return;
        }
        end->out_at += written;
    }
    conn_want_write(end->conn, false);
}

static void on_hangup(void *owner, bool reset)
{
    end_t *end = owner;
    if (reset)
        end->resets++;
    else
        end->fins++;
    frees(end);
}

static const conn_handlers_t handshake_handlers = {on_handshake, on_handshake, NULL};
static const conn_handlers_t handlers = {on_readable, on_writable, on_hangup};

/* ---- the world ---- */

/* Turns until `done`; a generous bound ends a test that would hang. */
#define TURN_UNTIL(world, done)                                                                              \
    do {                                                                                                     \
        uint64_t turn_end_us = loop_precise_us() + 20000000;                                                 \
        while (!(done) && loop_precise_us() < turn_end_us)                                                   \
            loop_turn((world)->loop, 100);                                                                   \
        assert_true(done);                                                                                   \
    } while (0)

static void tcp_pair(int fds[2])
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&sa, &len), 0);
    fds[1] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fds[1], (struct sockaddr *)&sa, len), 0);
    fds[0] = accept(listener, NULL, NULL);
    assert_true(fds[0] >= 0);
    close(listener);
    for (int i = 0; i < 2; i++) {
        int on = 1;
        setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        fcntl(fds[i], F_SETFL, O_NONBLOCK);
    }
}

static void end_init(end_t *end, world_t *world)
{
    *end = (end_t){.world = world,
                   .handshake = CONN_AGAIN,
                   .last = CONN_AGAIN,
                   .read_cap = SIZE_MAX,
                   .write_cap = SIZE_MAX,
                   .in_max = 1024};
    end->in = malloc(end->in_max);
}

static void end_fini(end_t *end)
{
    conn_free(&end->conn);
    free(end->in);
}

static void in_reserve(end_t *end, size_t max)
{
    free(end->in);
    end->in = malloc(max);
    end->in_max = max;
}

static world_t *world_new(kind_t kind)
{
    world_t *world = calloc(1, sizeof(*world));
    world->kind = kind;
    world->loop = loop_new();
    end_init(&world->a, world);
    end_init(&world->b, world);
    if (kind == PLAIN)
        return world;
    char error[256];
    tls_pem_t pem = certificate_make("DNS:a.test", time(NULL) - 3600, 2);
    tls_ticket_keys_t keys = ticket_keys_make(1, 1);
    world->tls = tls_new(&pem, 1, &keys, error, sizeof(error));
    assert_non_null(world->tls);
    tls_pem_fini(&pem);
    world->client_ctx = SSL_CTX_new(TLS_client_method());
    int version = kind == TLS12 ? TLS1_2_VERSION : TLS1_3_VERSION;
    SSL_CTX_set_min_proto_version(world->client_ctx, version);
    SSL_CTX_set_max_proto_version(world->client_ctx, version);
    return world;
}

static void world_free(world_t *world)
{
    end_fini(&world->a);
    end_fini(&world->b);
    loop_free(&world->loop);
    tls_free(&world->tls);
    SSL_CTX_free(world->client_ctx);
    assert_int_equal(ERR_peek_error(), 0);
    free(world);
}

static SSL *client_ssl(world_t *world)
{
    SSL *ssl = SSL_new(world->client_ctx);
    SSL_set_connect_state(ssl);
    return ssl;
}

/* Both ends connected, handshakes done, nothing wanted. */
static void world_connect(world_t *world)
{
    int fds[2];
    tcp_pair(fds);
    bool tls = world->kind != PLAIN;
    world->a.conn =
        conn_new(world->loop, fds[0], tls ? tls_accept(world->tls) : NULL, &handshake_handlers, &world->a);
    world->b.conn =
        conn_new(world->loop, fds[1], tls ? client_ssl(world) : NULL, &handshake_handlers, &world->b);
    on_handshake(&world->a);
    on_handshake(&world->b);
    TURN_UNTIL(world, world->a.handshake != CONN_AGAIN && world->b.handshake != CONN_AGAIN);
    assert_int_equal(world->a.handshake, CONN_OK);
    assert_int_equal(world->b.handshake, CONN_OK);
    if (tls)
        assert_int_equal(SSL_version(conn_ssl(world->a.conn)),
                         world->kind == TLS12 ? TLS1_2_VERSION : TLS1_3_VERSION);
    conn_set_owner(world->a.conn, &handlers, &world->a);
    conn_set_owner(world->b.conn, &handlers, &world->b);
}

static void say(end_t *end, const char *text)
{
    struct iovec iov = {.iov_base = (char *)text, .iov_len = strlen(text)};
    size_t written;
    assert_int_equal(conn_write(end->conn, &iov, 1, &written), CONN_OK);
    assert_int_equal(written, strlen(text));
}

static void expect_in(end_t *end, const char *text)
{
    assert_int_equal(end->in_len, strlen(text));
    assert_memory_equal(end->in, text, end->in_len);
}

/* ---- tests of all kinds ---- */

static kind_t kind_of(void **state)
{
    return *(const kind_t *)*state;
}

static void test_bytes_both_ways(void **state)
{
    world_t *world = world_new(kind_of(state));
    world_connect(world);
    conn_want_read(world->a.conn, true);
    conn_want_read(world->b.conn, true);
    say(&world->b, "GET /");
    TURN_UNTIL(world, world->a.in_len == 5);
    expect_in(&world->a, "GET /");
    say(&world->a, "200 OK");
    say(&world->a, " and more");
    TURN_UNTIL(world, world->b.in_len == 15);
    expect_in(&world->b, "200 OK and more");
    /* Nothing else comes: no turn finds work. */
    unsigned before = world->a.readables + world->b.readables;
    for (int i = 0; i < 5; i++)
        loop_turn(world->loop, 0);
    assert_true(world->a.readables + world->b.readables <= before + 1);
    world_free(world);
}

/* Bytes that were not taken make the next turn readable, whether the kernel has them or OpenSSL. */
static void test_readable_is_level_triggered(void **state)
{
    world_t *world = world_new(kind_of(state));
    world_connect(world);
    world->a.read_cap = 3;
    conn_want_read(world->a.conn, true);
    say(&world->b, "0123456789");
    TURN_UNTIL(world, world->a.in_len == 10);
    expect_in(&world->a, "0123456789");
    assert_true(world->a.readables >= 4);
    world_free(world);
}

/* The same when reading is stopped in between: no bytes come unwanted, and none are lost. */
static void test_reading_stops_and_goes_on(void **state)
{
    world_t *world = world_new(kind_of(state));
    world_connect(world);
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
    world_free(world);
}

static void fill(char *bytes, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525 + 1013904223;
        bytes[i] = (char)(seed >> 24);
    }
}

/* Megabytes both ways at once through small socket buffers: each partial write is continued. */
static void transfer(world_t *world, size_t len, size_t write_cap, size_t read_cap, int sndbuf)
{
    world_connect(world);
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
    world_t *world = world_new(kind_of(state));
    transfer(world, 8 << 20, SIZE_MAX, SIZE_MAX, 0);
    world_free(world);
}

static void test_large_transfer_through_small_buffers(void **state)
{
    world_t *world = world_new(kind_of(state));
    transfer(world, 2 << 20, 50001, 7001, 4096);
    assert_true(world->a.writables > 10); /* the kernel did refuse */
    world_free(world);
}

static void test_one_call_moves_a_turns_bytes_at_most(void **state)
{
    world_t *world = world_new(kind_of(state));
    world_connect(world);
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
    world_free(world);
}

/* Sixteen slices, some empty, one long: in order, and taken whole. */
static void test_slices(void **state)
{
    world_t *world = world_new(kind_of(state));
    world_connect(world);
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
    world_free(world);
}

static void test_end_in_order_and_half_close(void **state)
{
    world_t *world = world_new(kind_of(state));
    world_connect(world);
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
    /* An end that was told is not told again and again. */
    unsigned before = world->a.readables;
    for (int i = 0; i < 5; i++)
        loop_turn(world->loop, 0);
    assert_int_equal(world->a.readables, before);
    /* But it stays, and a new owner hears of it once. */
    size_t got;
    char byte;
    assert_int_equal(conn_read(world->a.conn, &byte, 1, &got), CONN_EOF);
    conn_set_owner(world->a.conn, &handlers, &world->a);
    conn_want_read(world->a.conn, true);
    TURN_UNTIL(world, world->a.readables == before + 1);
    assert_int_equal(world->a.last, CONN_EOF);
    /* The other direction lives. */
    say(&world->a, "answer");
    TURN_UNTIL(world, world->b.in_len == 6);
    expect_in(&world->b, "answer");
    conn_shutdown_write(world->a.conn);
    TURN_UNTIL(world, world->b.last == CONN_EOF);
    world_free(world);
}

/* What conn_write took leaves before the end, however slow the peer. */
static void test_shutdown_flushes_first(void **state)
{
    world_t *world = world_new(kind_of(state));
    world_connect(world);
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
    world_free(world);
}

/* FIN alone: the end of a plain stream, the truncation of a TLS one. */
static void test_fin_alone(void **state)
{
    world_t *world = world_new(kind_of(state));
    world_connect(world);
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
    world_free(world);
}

static void test_reset(void **state)
{
    world_t *world = world_new(kind_of(state));
    world_connect(world);
    conn_want_read(world->a.conn, true);
    conn_abort(&world->b.conn);
    assert_null(world->b.conn);
    TURN_UNTIL(world, world->a.last == CONN_FAILED);
    struct iovec iov = {.iov_base = "x", .iov_len = 1};
    size_t written;
    assert_int_equal(conn_write(world->a.conn, &iov, 1, &written), CONN_FAILED);
    world_free(world);
}

static void test_write_to_a_closed_peer_fails(void **state)
{
    world_t *world = world_new(kind_of(state));
    world_connect(world);
    conn_abort(&world->b.conn);
    struct iovec iov = {.iov_base = "x", .iov_len = 1};
    size_t written;
    assert_int_equal(conn_write(world->a.conn, &iov, 1, &written), CONN_FAILED);
    assert_int_equal(conn_write(world->a.conn, &iov, 1, &written), CONN_FAILED);
    /* The other direction says so too, without an event of the socket's. */
    conn_want_read(world->a.conn, true);
    TURN_UNTIL(world, world->a.last == CONN_FAILED);
    world_free(world);
}

/* A plain peer that answered and closed, as servers do with an upload that they refuse: what it said is
 * there. */
static void test_last_words_after_a_failed_write(void **state)
{
    (void)state;
    world_t *world = world_new(PLAIN);
    world_connect(world);
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
    world_free(world);
}

/* ---- hangups ---- */

/* Reads are not wanted, and bytes lie before the FIN: it is noticed within the second, then the RST too. */
static void test_hangup_while_paused(void **state)
{
    world_t *world = world_new(kind_of(state));
    world_connect(world);
    say(&world->b, "unread");
    TURN_UNTIL(world, conn_unread(world->a.conn) >= 6);
    uint64_t start = loop_precise_us();
    conn_shutdown_write(world->b.conn);
    TURN_UNTIL(world, world->a.fins == 1);
    assert_true(loop_precise_us() - start < 1500000);
    assert_int_equal(world->a.resets, 0);
    assert_true(conn_unread(world->a.conn) >= 6);
    start = loop_precise_us();
    conn_abort(&world->b.conn);
    TURN_UNTIL(world, world->a.resets == 1);
    assert_true(loop_precise_us() - start < 1500000);
    assert_int_equal(world->a.fins, 1);
    assert_int_equal(world->a.readables, 0);
    world_free(world);
}

/* Reads were wanted once and are no longer: the socket is still in epoll, so the departure is seen at once.
 */
static void test_hangup_after_reading_stopped(void **state)
{
    world_t *world = world_new(kind_of(state));
    world_connect(world);
    conn_want_read(world->a.conn, true);
    say(&world->b, "x");
    TURN_UNTIL(world, world->a.in_len == 1);
    conn_want_read(world->a.conn, false);
    conn_abort(&world->b.conn);
    uint64_t start = loop_precise_us();
    TURN_UNTIL(world, world->a.resets == 1);
    assert_true(loop_precise_us() - start < 500000);
    assert_int_equal(world->a.fins, 0);
    world_free(world);
}

/* Another owner does not know what the last one was told. */
static void test_hangup_is_told_to_the_next_owner(void **state)
{
    (void)state;
    world_t *world = world_new(PLAIN);
    world_connect(world);
    say(&world->b, "unread");
    conn_shutdown_write(world->b.conn);
    TURN_UNTIL(world, world->a.fins == 1);
    conn_set_owner(world->a.conn, &handlers, &world->a);
    TURN_UNTIL(world, world->a.fins == 2);
    conn_abort(&world->b.conn);
    TURN_UNTIL(world, world->a.resets == 1);
    conn_set_owner(world->a.conn, &handlers, &world->a);
    TURN_UNTIL(world, world->a.resets == 2);
    world_free(world);
}

/* With our own end sent, the peer's end is no reset, and what lies before it can be read. */
static void test_hangup_after_our_own_end(void **state)
{
    world_t *world = world_new(kind_of(state));
    world_connect(world);
    conn_shutdown_write(world->a.conn);
    say(&world->b, "late");
    conn_shutdown_write(world->b.conn);
    TURN_UNTIL(world, world->a.fins == 1);
    assert_int_equal(world->a.resets, 0);
    world->a.keep_reading = true;
    conn_want_read(world->a.conn, true);
    TURN_UNTIL(world, world->a.last == CONN_EOF);
    expect_in(&world->a, "late");
    world_free(world);
}

/* ---- freeing from handlers ---- */

static void test_free_in_readable(void **state)
{
    world_t *world = world_new(kind_of(state));
    world_connect(world);
    world->a.frees = &world->a;
    conn_want_read(world->a.conn, true);
    conn_want_write(world->a.conn, true);
    world->a.writables = 0;
    say(&world->b, "x");
    TURN_UNTIL(world, world->a.conn == NULL);
    loop_turn(world->loop, 0);
    world_free(world);
}

static void test_free_in_writable(void **state)
{
    world_t *world = world_new(kind_of(state));
    world_connect(world);
    world->a.frees = &world->a;
    conn_want_write(world->a.conn, true);
    TURN_UNTIL(world, world->a.conn == NULL);
    loop_turn(world->loop, 0);
    world_free(world);
}

static void test_free_in_hangup(void **state)
{
    world_t *world = world_new(kind_of(state));
    world_connect(world);
    world->a.frees = &world->a;
    conn_abort(&world->b.conn);
    TURN_UNTIL(world, world->a.conn == NULL);
    loop_turn(world->loop, 0);
    world_free(world);
}

/* Both ends are ready in one turn, and the first to run frees the other. */
static void test_free_the_other_in_the_same_turn(void **state)
{
    world_t *world = world_new(kind_of(state));
    world_connect(world);
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
    world_free(world);
}

static void test_quiet(void **state)
{
    world_t *world = world_new(kind_of(state));
    world_connect(world);
    conn_want_read(world->a.conn, true);
    say(&world->b, "x"); /* what came with the handshake is read, tickets for example */
    TURN_UNTIL(world, world->a.in_len == 1);
    assert_true(conn_is_quiet(world->a.conn));
    conn_want_read(world->a.conn, false);
    say(&world->b, "yz");
    TURN_UNTIL(world, conn_unread(world->a.conn) > 0);
    assert_false(conn_is_quiet(world->a.conn));
    /* One byte of two was taken: OpenSSL may hold the other. */
    world->a.read_cap = 1;
    conn_want_read(world->a.conn, true);
    TURN_UNTIL(world, world->a.in_len == 2);
    assert_false(conn_is_quiet(world->a.conn));
    assert_true(conn_unread(world->a.conn) >= 1);
    TURN_UNTIL(world, world->a.in_len == 3);
    assert_int_equal(conn_unread(world->a.conn), 0);
    TURN_UNTIL(world, conn_is_quiet(world->a.conn));
    conn_free(&world->b.conn);
    TURN_UNTIL(world, !conn_is_quiet(world->a.conn));
    world_free(world);
}

/* ---- one kind only ---- */

#define MANY 600

/* More paused connections than one poll asks for; each that hears of its end frees its neighbour too. */
static void test_many_hangups_free_each_other(void **state)
{
    (void)state;
    world_t *world = world_new(PLAIN);
    static end_t ends[MANY];
    for (size_t i = 0; i < MANY; i++) {
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
        end_init(&ends[i], world);
        ends[i].conn = conn_new(world->loop, fds[0], NULL, &handlers, &ends[i]);
        ends[i].frees = &ends[i ^ 1];
        close(fds[1]);
    }
    size_t left = MANY;
    uint64_t end_us = loop_precise_us() + 5000000;
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
    world_free(world);
}

static void test_connect(void **state)
{
    (void)state;
    world_t *world = world_new(PLAIN);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(sa);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&sa, &len), 0);
    /* Nobody listens yet. */
    world->b.conn = conn_connect(world->loop, (struct sockaddr *)&sa, len, &handlers, &world->b);
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
    world->b.conn = conn_connect(world->loop, (struct sockaddr *)&sa, len, &handlers, &world->b);
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
    world_free(world);
}

/* ---- TLS only: a client of OpenSSL's alone, whose flights the test holds in its hand ---- */

typedef struct raw {
    int fd;
    SSL *ssl;
    BIO *in;  /* from the server */
    BIO *out; /* to the server, not sent yet */
} raw_t;

static void raw_connect(world_t *world, raw_t *raw)
{
    int fds[2];
    tcp_pair(fds);
    raw->fd = fds[1];
    raw->ssl = client_ssl(world);
    raw->in = BIO_new(BIO_s_mem());
    raw->out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(raw->in, -1);
    SSL_set_bio(raw->ssl, raw->in, raw->out);
    world->a.conn = conn_new(world->loop, fds[0], tls_accept(world->tls), &handshake_handlers, &world->a);
    on_handshake(&world->a);
}

static void raw_send(raw_t *raw)
{
    char *data;
    long len = BIO_get_mem_data(raw->out, &data);
    assert_int_equal(send(raw->fd, data, (size_t)len, MSG_NOSIGNAL), len);
    (void)BIO_reset(raw->out);
}

static void raw_receive(raw_t *raw)
{
    char buf[20000];
    ssize_t n = recv(raw->fd, buf, sizeof(buf), 0);
    if (n > 0)
        BIO_write(raw->in, buf, (int)n);
}

/* Runs the handshake up to the client's last flight, which stays in raw->out. */
static void raw_handshake(world_t *world, raw_t *raw)
{
    uint64_t end_us = loop_precise_us() + 20000000;
    while (SSL_do_handshake(raw->ssl) != 1 && loop_precise_us() < end_us) {
        raw_send(raw);
        loop_turn(world->loop, 10);
        raw_receive(raw);
    }
    assert_true(SSL_is_init_finished(raw->ssl));
    ERR_clear_error();
}

static void raw_close(raw_t *raw)
{
    SSL_free(raw->ssl);
    close(raw->fd);
}

/* Finished and application data in one segment: the bytes are there when the handshake is. */
static void test_bytes_with_finished(void **state)
{
    (void)state;
    world_t *world = world_new(TLS13);
    raw_t raw;
    raw_connect(world, &raw);
    raw_handshake(world, &raw);
    assert_int_equal(SSL_write(raw.ssl, "early bird", 10), 10);
    assert_int_equal(world->a.handshake, CONN_AGAIN);
    raw_send(&raw);
    TURN_UNTIL(world, world->a.handshake == CONN_OK);
    int in_kernel = -1; /* no event of the socket will tell */
    assert_int_equal(ioctl(conn_fd(world->a.conn), FIONREAD, &in_kernel), 0);
    assert_int_equal(in_kernel, 0);
    assert_true(conn_unread(world->a.conn) >= 10);
    assert_false(conn_is_quiet(world->a.conn));
    conn_set_owner(world->a.conn, &handlers, &world->a);
    conn_want_read(world->a.conn, true);
    TURN_UNTIL(world, world->a.in_len > 0);
    expect_in(&world->a, "early bird");
    raw_close(&raw);
    world_free(world);
}

/* A client that has said nothing yet may wait for its Finished to be acknowledged: the ticket does that, at
 * once. */
static void test_ticket_leaves_by_itself(void **state)
{
    (void)state;
    world_t *world = world_new(TLS13);
    raw_t raw;
    raw_connect(world, &raw);
    raw_handshake(world, &raw);
    raw_send(&raw);
    TURN_UNTIL(world, world->a.handshake == CONN_OK);
    assert_true(conn_flushed(world->a.conn));
    raw_receive(&raw);
    char byte;
    assert_int_equal(SSL_read(raw.ssl, &byte, 1), -1);
    assert_true(SSL_SESSION_is_resumable(SSL_get_session(raw.ssl)));
    raw_close(&raw);
    world_free(world);
}

/* A connection that goes in the turn of its handshake takes its ticket along. */
static void test_ticket_of_a_freed_connection(void **state)
{
    (void)state;
    world_t *world = world_new(TLS13);
    raw_t raw;
    raw_connect(world, &raw);
    raw_handshake(world, &raw);
    raw_send(&raw);
    world->a.freed_when_done = true;
    TURN_UNTIL(world, world->a.handshake == CONN_OK);
    assert_null(world->a.conn);
    raw_close(&raw);
    world_free(world);
}

/* Where the first request came with the handshake, the ticket waits for the response and leaves in the same
 * segment. */
static void test_ticket_leaves_with_the_first_bytes(void **state)
{
    (void)state;
    world_t *world = world_new(TLS13);
    raw_t raw;
    raw_connect(world, &raw);
    raw_handshake(world, &raw);
    assert_int_equal(SSL_write(raw.ssl, "request", 7), 7);
    raw_send(&raw);
    TURN_UNTIL(world, world->a.handshake == CONN_OK);
    assert_true(conn_flushed(world->a.conn)); /* it is none of the owner's bytes */
    char buf[4096];
    assert_int_equal(recv(raw.fd, buf, sizeof(buf), 0), -1);
    assert_int_equal(errno, EAGAIN);
    conn_set_owner(world->a.conn, &handlers, &world->a);
    say(&world->a, "hello");
    raw_receive(&raw);
    assert_int_equal(SSL_read(raw.ssl, buf, sizeof(buf)), 5);
    assert_true(SSL_SESSION_is_resumable(SSL_get_session(raw.ssl)));
    raw_close(&raw);
    world_free(world);
}

/* Records without a byte for the owner, as fast as they come: the peer is cut, and soon. */
static void flood(int (*make)(raw_t *raw))
{
    world_t *world = world_new(TLS13);
    raw_t raw;
    raw_connect(world, &raw);
    raw_handshake(world, &raw);
    raw_send(&raw);
    TURN_UNTIL(world, world->a.handshake == CONN_OK);
    conn_set_owner(world->a.conn, &handlers, &world->a);
    conn_want_read(world->a.conn, true);
    size_t sent = 0;
    while (sent < 10 * CONN_TURN_BYTES && world->a.last == CONN_AGAIN) {
        for (int i = 0; i < 50 && make(&raw); i++)
            ;
        char *data;
        long len = BIO_get_mem_data(raw.out, &data);
        assert_true(len > 0);
        ssize_t n = send(raw.fd, data, (size_t)len, MSG_NOSIGNAL);
        if (n != len)
            break;
        (void)BIO_reset(raw.out);
        sent += (size_t)n;
        loop_turn(world->loop, 10);
    }
    TURN_UNTIL(world, world->a.last == CONN_FAILED);
    assert_true(sent <= 3 * CONN_TURN_BYTES);
    assert_int_equal(world->a.in_len, 0);
    ERR_clear_error();
    raw_close(&raw);
    world_free(world);
}

static int make_key_update(raw_t *raw)
{
    return SSL_key_update(raw->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 && SSL_do_handshake(raw->ssl) == 1;
}

/* Each asks for an answer, and the answers are never read. */
static int make_key_update_request(raw_t *raw)
{
    return SSL_key_update(raw->ssl, SSL_KEY_UPDATE_REQUESTED) == 1 && SSL_do_handshake(raw->ssl) == 1;
}

static void test_key_update_flood(void **state)
{
    (void)state;
    flood(make_key_update);
}

static void test_key_update_request_flood(void **state)
{
    (void)state;
    flood(make_key_update_request);
}

/* A few key updates between bytes are the protocol's right. */
static void test_key_updates_between_bytes(void **state)
{
    (void)state;
    world_t *world = world_new(TLS13);
    raw_t raw;
    raw_connect(world, &raw);
    raw_handshake(world, &raw);
    raw_send(&raw);
    TURN_UNTIL(world, world->a.handshake == CONN_OK);
    conn_set_owner(world->a.conn, &handlers, &world->a);
    conn_want_read(world->a.conn, true);
    for (int i = 0; i < 10; i++) {
        assert_true(make_key_update_request(&raw));
        assert_int_equal(SSL_write(raw.ssl, "0123456789", 10), 10);
        raw_send(&raw);
        TURN_UNTIL(world, world->a.in_len == 10 * (size_t)(i + 1));
        say(&world->a, "answer");
        raw_receive(&raw);
        char buf[100];
        assert_int_equal(SSL_read(raw.ssl, buf, sizeof(buf)), 6);
    }
    raw_close(&raw);
    world_free(world);
}

/* The ticket waits for a response, but an alert waits for nothing. */
static void test_a_corked_ticket_does_not_hold_back_an_alert(void **state)
{
    (void)state;
    world_t *world = world_new(TLS13);
    raw_t raw;
    raw_connect(world, &raw);
    raw_handshake(world, &raw);
    assert_int_equal(SSL_write(raw.ssl, "bad", 3), 3);
    char *data;
    long len = BIO_get_mem_data(raw.out, &data);
    data[len - 1] ^= 1;
    raw_send(&raw);
    TURN_UNTIL(world, world->a.handshake == CONN_OK);
    conn_set_owner(world->a.conn, &handlers, &world->a);
    conn_want_read(world->a.conn, true);
    TURN_UNTIL(world, world->a.last == CONN_FAILED);
    raw_receive(&raw);
    char byte;
    assert_true(SSL_read(raw.ssl, &byte, 1) <= 0);
    assert_int_equal(ERR_GET_REASON(ERR_get_error()), SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
    assert_true(SSL_SESSION_has_ticket(SSL_get_session(raw.ssl)));
    ERR_clear_error();
    raw_close(&raw);
    world_free(world);
}

static void test_rubbish_fails_the_handshake(void **state)
{
    (void)state;
    world_t *world = world_new(TLS13);
    raw_t raw;
    raw_connect(world, &raw);
    assert_int_equal(send(raw.fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, MSG_NOSIGNAL), 27);
    TURN_UNTIL(world, world->a.handshake != CONN_AGAIN);
    assert_int_equal(world->a.handshake, CONN_FAILED);
    raw_close(&raw);
    world_free(world);
}

static void test_fin_fails_the_handshake(void **state)
{
    (void)state;
    world_t *world = world_new(TLS13);
    raw_t raw;
    raw_connect(world, &raw);
    shutdown(raw.fd, SHUT_WR);
    TURN_UNTIL(world, world->a.handshake != CONN_AGAIN);
    assert_int_equal(world->a.handshake, CONN_FAILED);
    raw_close(&raw);
    world_free(world);
}

/* A record that was changed on its way: the bytes before it are given out, then the stream has failed. */
static void test_a_forged_record_fails_after_the_good_ones(void **state)
{
    (void)state;
    world_t *world = world_new(TLS13);
    raw_t raw;
    raw_connect(world, &raw);
    raw_handshake(world, &raw);
    raw_send(&raw);
    TURN_UNTIL(world, world->a.handshake == CONN_OK);
    conn_set_owner(world->a.conn, &handlers, &world->a);
    assert_int_equal(SSL_write(raw.ssl, "good", 4), 4);
    assert_int_equal(SSL_write(raw.ssl, "bad", 3), 3);
    char *data;
    long len = BIO_get_mem_data(raw.out, &data);
    data[len - 1] ^= 1;
    raw_send(&raw);
    TURN_UNTIL(world, conn_unread(world->a.conn) == (size_t)len);
    conn_want_read(world->a.conn, true);
    TURN_UNTIL(world, world->a.last == CONN_FAILED);
    expect_in(&world->a, "good");
    raw_close(&raw);
    world_free(world);
}

/* Client-initiated renegotiation of TLS 1.2 is refused. */
static void test_no_renegotiation(void **state)
{
    (void)state;
    world_t *world = world_new(TLS12);
    raw_t raw;
    raw_connect(world, &raw);
    uint64_t end_us = loop_precise_us() + 20000000;
    while (SSL_do_handshake(raw.ssl) != 1 && loop_precise_us() < end_us) {
        raw_send(&raw);
        loop_turn(world->loop, 10);
        raw_receive(&raw);
    }
    TURN_UNTIL(world, world->a.handshake == CONN_OK);
    conn_set_owner(world->a.conn, &handlers, &world->a);
    conn_want_read(world->a.conn, true);
    assert_int_equal(SSL_renegotiate(raw.ssl), 1);
    SSL_do_handshake(raw.ssl);
    raw_send(&raw);
    int rc = -1, reason = 0;
    while (reason == 0 && loop_precise_us() < end_us) {
        loop_turn(world->loop, 10);
        raw_receive(&raw);
        rc = SSL_do_handshake(raw.ssl);
        if (rc != 1 && SSL_get_error(raw.ssl, rc) == SSL_ERROR_SSL)
            reason = ERR_GET_REASON(ERR_get_error());
    }
    assert_int_equal(reason, SSL_R_NO_RENEGOTIATION);
    ERR_clear_error();
    raw_close(&raw);
    world_free(world);
}

static const kind_t kinds[] = {PLAIN, TLS12, TLS13};
#define EACH(name)                                                                                           \
    {#name " (plain)", name, NULL, NULL, (void *)&kinds[0]},                                                 \
        {#name " (TLS 1.2)", name, NULL, NULL, (void *)&kinds[1]},                                           \
    {                                                                                                        \
#name " (TLS 1.3)", name, NULL, NULL, (void *)&kinds[2]                                              \
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
        EACH(test_quiet),
        cmocka_unit_test(test_many_hangups_free_each_other),
        cmocka_unit_test(test_last_words_after_a_failed_write),
        cmocka_unit_test(test_hangup_is_told_to_the_next_owner),
        cmocka_unit_test(test_connect),
        cmocka_unit_test(test_bytes_with_finished),
        cmocka_unit_test(test_ticket_leaves_by_itself),
        cmocka_unit_test(test_ticket_of_a_freed_connection),
        cmocka_unit_test(test_ticket_leaves_with_the_first_bytes),
        cmocka_unit_test(test_key_update_flood),
        cmocka_unit_test(test_key_update_request_flood),
        cmocka_unit_test(test_key_updates_between_bytes),
        cmocka_unit_test(test_a_corked_ticket_does_not_hold_back_an_alert),
        cmocka_unit_test(test_rubbish_fails_the_handshake),
        cmocka_unit_test(test_fin_fails_the_handshake),
        cmocka_unit_test(test_a_forged_record_fails_after_the_good_ones),
        cmocka_unit_test(test_no_renegotiation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
