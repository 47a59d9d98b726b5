/* Two ends of a byte stream in one loop, over TCP on loopback: plain, TLS 1.2 or TLS 1.3. Their handlers
 * count events, and act as a test sets. */
#ifndef BOXEDGE_CONN_WORLD_H
#define BOXEDGE_CONN_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>

#include <openssl/err.h>

#include "certificates.h"
#include "conn.h"
#include "tcp_pair.h"

typedef enum kind { PLAIN, TLS12, TLS13 } kind_t;

typedef struct world world_t;

/* One end, with the events and actions of its handlers. */
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

void frees(end_t *end);
void on_handshake(void *owner);
extern const conn_handlers_t handshake_handlers;
extern const conn_handlers_t conn_world_handlers;

/* Turns until `done`; a generous bound ends a test that would hang. */
#define TURN_UNTIL(world, done)                                                                              \
    do {                                                                                                     \
        uint64_t turn_end_us = loop_precise_us() + 20000000;                                                 \
        while (!(done) && loop_precise_us() < turn_end_us)                                                   \
            loop_turn((world)->loop, 100);                                                                   \
        assert_true(done);                                                                                   \
    } while (0)

void end_init(end_t *end, world_t *world);
void end_fini(end_t *end);
void in_reserve(end_t *end, size_t max);
world_t *conn_world_new(kind_t kind);
void conn_world_free(world_t *world);
SSL *client_ssl(world_t *world);

/* Both ends connected, handshakes done, no interest registered. */
void conn_world_connect(world_t *world);
void say(end_t *end, const char *text);
void expect_in(end_t *end, const char *text);
extern const kind_t kinds[];

#define EACH(name)                                                                                           \
    {#name " (plain)", name, NULL, NULL, (void *)&kinds[0]},                                                 \
        {#name " (TLS 1.2)", name, NULL, NULL, (void *)&kinds[1]},                                           \
    {                                                                                                        \
#name " (TLS 1.3)", name, NULL, NULL, (void *)&kinds[2]                                              \
    }

kind_t kind_of(void **state);
void fill(char *bytes, size_t len, uint32_t seed);

#endif
