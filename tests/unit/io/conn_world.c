#include "conn_world.h"

#include <unistd.h>

/* ---- the ends' handlers ---- */

void frees(end_t *end)
{
    if (end->frees != NULL) {
        end_t *other = end->frees;
        end->frees = NULL;
        conn_free(&other->conn);
    }
}

void on_handshake(void *owner)
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

const conn_handlers_t handshake_handlers = {on_handshake, on_handshake, NULL};

const conn_handlers_t conn_world_handlers = {on_readable, on_writable, on_hangup};

/* ---- the world ---- */

void end_init(end_t *end, world_t *world)
{
    *end = (end_t){.world = world,
                   .handshake = CONN_AGAIN,
                   .last = CONN_AGAIN,
                   .read_cap = SIZE_MAX,
                   .write_cap = SIZE_MAX,
                   .in_max = 1024};
    end->in = malloc(end->in_max);
}

void end_fini(end_t *end)
{
    conn_free(&end->conn);
    free(end->in);
}

void in_reserve(end_t *end, size_t max)
{
    free(end->in);
    end->in = malloc(max);
    end->in_max = max;
}

world_t *conn_world_new(kind_t kind)
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

void conn_world_free(world_t *world)
{
    end_fini(&world->a);
    end_fini(&world->b);
    loop_free(&world->loop);
    tls_free(&world->tls);
    SSL_CTX_free(world->client_ctx);
    assert_int_equal(ERR_peek_error(), 0);
    free(world);
}

SSL *client_ssl(world_t *world)
{
    SSL *ssl = SSL_new(world->client_ctx);
    SSL_set_connect_state(ssl);
    return ssl;
}

void conn_world_connect(world_t *world)
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
    conn_set_owner(world->a.conn, &conn_world_handlers, &world->a);
    conn_set_owner(world->b.conn, &conn_world_handlers, &world->b);
}

void say(end_t *end, const char *text)
{
    struct iovec iov = {.iov_base = (char *)text, .iov_len = strlen(text)};
    size_t written;
    assert_int_equal(conn_write(end->conn, &iov, 1, &written), CONN_OK);
    assert_int_equal(written, strlen(text));
}

void expect_in(end_t *end, const char *text)
{
    assert_int_equal(end->in_len, strlen(text));
    assert_memory_equal(end->in, text, end->in_len);
}

/* ---- tests of all kinds ---- */

const kind_t kinds[] = {PLAIN, TLS12, TLS13};

kind_t kind_of(void **state)
{
    return *(const kind_t *)*state;
}

void fill(char *bytes, size_t len, uint32_t seed)
{
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525 + 1013904223;
        bytes[i] = (char)(seed >> 24);
    }
}
