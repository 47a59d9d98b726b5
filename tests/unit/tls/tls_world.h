/*
 * TLS termination by a server with four certificates, towards a client; both ends are OpenSSL's, joined by
 * memory. Every test has a separate server (tls_world_setup, tls_world_teardown).
 */
#ifndef BOXEDGE_TLS_WORLD_H
#define BOXEDGE_TLS_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/err.h>

#include "certificates.h"
#include "tls.h"

#define TEST(name) cmocka_unit_test_setup_teardown(name, tls_world_setup, tls_world_teardown)

/* The certificates of a server. */
enum { FIRST, EXACT, WILDCARD, BOTH, CERTIFICATES };

extern tls_pem_t pems[CERTIFICATES];
extern tls_t *server;
extern const int versions[];
int group_setup(void **state);
int group_teardown(void **state);
tls_t *tls_world_server_new(size_t first, size_t count, const tls_ticket_keys_t *keys);
int tls_world_setup(void **state);
int tls_world_teardown(void **state);

/* A client's wishes and its result. */
typedef struct client {
    int version;
    const char *name;          /* server name; NULL: none */
    const unsigned char *alpn; /* wire format; NULL: none */
    unsigned alpn_len;
    SSL_SESSION *session; /* to resume */
    SSL_SESSION *fresh;   /* arrived meanwhile; the caller's */
    SSL *ssl;
    SSL *server_ssl;
    int reason; /* why the client failed, 0 if it did not */
} client_t;

/* The server's end uses the first certificate's context in every handshake, like tls_accept. */
void client_open(client_t *client, tls_t *tls);

/* Runs the handshake; true when both ends finished. */
bool client_run(client_t *client);
bool client_handshake(client_t *client, tls_t *tls);
void client_close(client_t *client);

/* Which of `made` served; -1: none. */
int served_one_of(const client_t *client, const tls_pem_t *made, int count);

/* Which of pems. */
int served_by(const client_t *client);

#endif
