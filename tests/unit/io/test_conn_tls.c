/* TLS byte streams to a client that is OpenSSL's alone; the test delivers its flights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/ioctl.h>

#include "conn_world.h"

typedef struct raw {
    int fd;
    SSL *ssl;
    BIO *in;  /* from the server */
    BIO *out; /* to the server, not sent yet */
} raw_t;

/* `end` is the server's. */
static void raw_connect_to(world_t *world, raw_t *raw, end_t *end)
{
    int fds[2];
    tcp_pair(fds);
    raw->fd = fds[1];
    raw->ssl = client_ssl(world);
    raw->in = BIO_new(BIO_s_mem());
    raw->out = BIO_new(BIO_s_mem());
    BIO_set_mem_eof_return(raw->in, -1);
    SSL_set_bio(raw->ssl, raw->in, raw->out);
    end->conn = conn_new(world->loop, fds[0], tls_accept(world->tls), &handshake_handlers, end);
    on_handshake(end);
}

static void raw_connect(world_t *world, raw_t *raw)
{
    raw_connect_to(world, raw, &world->a);
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

static bool has_received(const raw_t *raw)
{
    char byte;
    return recv(raw->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
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

/* A world whose client has run its handshake up to the last flight. */
static world_t *raw_begin(raw_t *raw)
{
    world_t *world = conn_world_new(TLS13);
    raw_connect(world, raw);
    raw_handshake(world, raw);
    return world;
}

/* A world whose handshake is over on both sides. */
static world_t *raw_established(raw_t *raw)
{
    world_t *world = raw_begin(raw);
    raw_send(raw);
    TURN_UNTIL(world, world->a.handshake == CONN_OK);
    return world;
}

static void raw_end(world_t *world, raw_t *raw)
{
    raw_close(raw);
    conn_world_free(world);
}

/* Finished and application data in one segment: the bytes are readable when the handshake is done. */
static void test_bytes_with_finished(void **state)
{
    (void)state;
    raw_t raw;
    world_t *world = raw_begin(&raw);
    assert_int_equal(SSL_write(raw.ssl, "early bird", 10), 10);
    assert_int_equal(world->a.handshake, CONN_AGAIN);
    raw_send(&raw);
    TURN_UNTIL(world, world->a.handshake == CONN_OK);
    int in_kernel = -1; /* no event of the socket reports this */
    assert_int_equal(ioctl(conn_fd(world->a.conn), FIONREAD, &in_kernel), 0);
    assert_int_equal(in_kernel, 0);
    assert_true(conn_unread(world->a.conn) >= 10);
    assert_false(conn_is_silent(world->a.conn));
    conn_set_owner(world->a.conn, &conn_world_handlers, &world->a);
    conn_want_read(world->a.conn, true);
    TURN_UNTIL(world, world->a.in_len > 0);
    expect_in(&world->a, "early bird");
    raw_end(world, &raw);
}

/* All connections of a loop share the memory through which an SSL reads and writes. */
static void test_a_connection_goes_while_another_shakes_hands(void **state)
{
    (void)state;
    world_t *world = conn_world_new(TLS13);
    raw_t gone, stays;
    raw_connect_to(world, &stays, &world->b);
    raw_connect(world, &gone);
    assert_int_equal(SSL_do_handshake(stays.ssl), -1);
    assert_int_equal(SSL_do_handshake(gone.ssl), -1);
    raw_send(&stays);
    raw_send(&gone);
    TURN_UNTIL(world, has_received(&stays) && has_received(&gone)); /* the servers' flights */
    assert_int_equal(world->a.handshake, CONN_AGAIN);
    assert_int_equal(world->b.handshake, CONN_AGAIN);
    conn_free(&world->a.conn);
    raw_close(&gone);
    raw_receive(&stays);
    raw_handshake(world, &stays);
    raw_send(&stays);
    TURN_UNTIL(world, world->b.handshake == CONN_OK);
    conn_set_owner(world->b.conn, &conn_world_handlers, &world->b);
    conn_want_read(world->b.conn, true);
    assert_int_equal(SSL_write(stays.ssl, "still here", 10), 10);
    raw_send(&stays);
    TURN_UNTIL(world, world->b.in_len > 0);
    expect_in(&world->b, "still here");
    raw_close(&stays);
    conn_world_free(world);
}

/* A client that has sent no request yet may wait for an acknowledgement of its Finished: the ticket is one,
 * immediately. */
static void test_ticket_leaves_by_itself(void **state)
{
    (void)state;
    raw_t raw;
    world_t *world = raw_established(&raw);
    assert_true(conn_flushed(world->a.conn));
    raw_receive(&raw);
    char byte;
    assert_int_equal(SSL_read(raw.ssl, &byte, 1), -1);
    assert_true(SSL_SESSION_is_resumable(SSL_get_session(raw.ssl)));
    raw_end(world, &raw);
}

/* A connection that ends in the turn of its handshake takes its ticket along. */
static void test_ticket_of_a_freed_connection(void **state)
{
    (void)state;
    raw_t raw;
    world_t *world = raw_begin(&raw);
    raw_send(&raw);
    world->a.freed_when_done = true;
    TURN_UNTIL(world, world->a.handshake == CONN_OK);
    assert_null(world->a.conn);
    raw_end(world, &raw);
}

/* If the first request came with the handshake, the ticket waits for the response and leaves in the same
 * segment. */
static void test_ticket_leaves_with_the_first_bytes(void **state)
{
    (void)state;
    raw_t raw;
    world_t *world = raw_begin(&raw);
    assert_int_equal(SSL_write(raw.ssl, "request", 7), 7);
    raw_send(&raw);
    TURN_UNTIL(world, world->a.handshake == CONN_OK);
    assert_true(conn_flushed(world->a.conn)); /* it is none of the owner's bytes */
    char buf[4096];
    assert_int_equal(recv(raw.fd, buf, sizeof(buf), 0), -1);
    assert_int_equal(errno, EAGAIN);
    conn_set_owner(world->a.conn, &conn_world_handlers, &world->a);
    say(&world->a, "hello");
    raw_receive(&raw);
    assert_int_equal(SSL_read(raw.ssl, buf, sizeof(buf)), 5);
    assert_true(SSL_SESSION_is_resumable(SSL_get_session(raw.ssl)));
    raw_end(world, &raw);
}

/* Records without a byte for the owner, as fast as they come: the peer is cut soon. */
static void flood(int (*make)(raw_t *raw))
{
    raw_t raw;
    world_t *world = raw_established(&raw);
    conn_set_owner(world->a.conn, &conn_world_handlers, &world->a);
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
    raw_end(world, &raw);
}

static int make_key_update(raw_t *raw)
{
    return SSL_key_update(raw->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 && SSL_do_handshake(raw->ssl) == 1;
}

/* Each asks for an answer, and the client never reads the answers. */
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

/* The protocol allows a few key updates between bytes. */
static void test_key_updates_between_bytes(void **state)
{
    (void)state;
    raw_t raw;
    world_t *world = raw_established(&raw);
    conn_set_owner(world->a.conn, &conn_world_handlers, &world->a);
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
    raw_end(world, &raw);
}

/* The ticket waits for a response, but an alert waits for nothing. */
static void test_a_corked_ticket_does_not_hold_back_an_alert(void **state)
{
    (void)state;
    raw_t raw;
    world_t *world = raw_begin(&raw);
    assert_int_equal(SSL_write(raw.ssl, "bad", 3), 3);
    char *data;
    long len = BIO_get_mem_data(raw.out, &data);
    data[len - 1] ^= 1;
    raw_send(&raw);
    TURN_UNTIL(world, world->a.handshake == CONN_OK);
    conn_set_owner(world->a.conn, &conn_world_handlers, &world->a);
    conn_want_read(world->a.conn, true);
    TURN_UNTIL(world, world->a.last == CONN_FAILED);
    raw_receive(&raw);
    char byte;
    assert_true(SSL_read(raw.ssl, &byte, 1) <= 0);
    assert_int_equal(ERR_GET_REASON(ERR_get_error()), SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
    assert_true(SSL_SESSION_has_ticket(SSL_get_session(raw.ssl)));
    ERR_clear_error();
    raw_end(world, &raw);
}

static void test_rubbish_fails_the_handshake(void **state)
{
    (void)state;
    world_t *world = conn_world_new(TLS13);
    raw_t raw;
    raw_connect(world, &raw);
    assert_int_equal(send(raw.fd, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, MSG_NOSIGNAL), 27);
    TURN_UNTIL(world, world->a.handshake != CONN_AGAIN);
    assert_int_equal(world->a.handshake, CONN_FAILED);
    raw_end(world, &raw);
}

static void test_fin_fails_the_handshake(void **state)
{
    (void)state;
    world_t *world = conn_world_new(TLS13);
    raw_t raw;
    raw_connect(world, &raw);
    shutdown(raw.fd, SHUT_WR);
    TURN_UNTIL(world, world->a.handshake != CONN_AGAIN);
    assert_int_equal(world->a.handshake, CONN_FAILED);
    raw_end(world, &raw);
}

/* A record that was changed on its way: the bytes before it are delivered, then the stream has failed. */
static void test_a_forged_record_fails_after_the_good_ones(void **state)
{
    (void)state;
    raw_t raw;
    world_t *world = raw_established(&raw);
    conn_set_owner(world->a.conn, &conn_world_handlers, &world->a);
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
    raw_end(world, &raw);
}

/* Client-initiated renegotiation of TLS 1.2 is refused. */
static void test_no_renegotiation(void **state)
{
    (void)state;
    world_t *world = conn_world_new(TLS12);
    raw_t raw;
    raw_connect(world, &raw);
    uint64_t end_us = loop_precise_us() + 20000000;
    while (SSL_do_handshake(raw.ssl) != 1 && loop_precise_us() < end_us) {
        raw_send(&raw);
        loop_turn(world->loop, 10);
        raw_receive(&raw);
    }
    TURN_UNTIL(world, world->a.handshake == CONN_OK);
    conn_set_owner(world->a.conn, &conn_world_handlers, &world->a);
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
    raw_end(world, &raw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_with_finished),
        cmocka_unit_test(test_a_connection_goes_while_another_shakes_hands),
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
