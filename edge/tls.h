/*
 * TLS towards clients: certificates by server name, session tickets that resume on any worker, ALPN. A
 * connection's SSL_CTX is chosen in the client-hello callback, before a session is considered, so that a
 * session made under one certificate is never resumed under another.
 */
#ifndef BOXEDGE_TLS_H
#define BOXEDGE_TLS_H

#include <openssl/ssl.h>

#include "conf.h"

typedef struct tls tls_t;

/* A certificate chain and its key, PEM, in memory (secret: cleansed when freed). */
typedef struct tls_pem {
    char *chain;
    char *key;
} tls_pem_t;

/* Ticket keys: the first one encrypts, all decrypt. Shared by all workers, rotated by the supervisor. */
typedef struct tls_ticket_keys {
    uint8_t secret[3][64]; /* key name 16, AES 32, HMAC 16 (expanded) */
    uint32_t count;
} tls_ticket_keys_t;

/*
 * Builds the contexts for `count` certificates; the first serves clients without a matching server name. On
 * error returns NULL and writes a sentence (which certificate, what is wrong) into `error`.
 */
tls_t *tls_new(const tls_pem_t *pems, size_t count, const tls_ticket_keys_t *keys, char *error,
               size_t error_len);
void tls_free(tls_t **tls);
/* Replaces the ticket keys of all contexts. */
void tls_set_ticket_keys(tls_t *tls, const tls_ticket_keys_t *keys);

/* A fresh server-side SSL, in accept state, or NULL (out of memory). */
SSL *tls_accept(tls_t *tls);
/* After the handshake: "h2" or "http/1.1" (also where the client sent no ALPN). */
bool tls_is_h2(const SSL *ssl);
/* Whether the certificate in use on `ssl` covers `host` (lower case, no port): exact or wildcard, as clients
 * match (RFC 9525). */
bool tls_covers(const SSL *ssl, str_t host);

#endif
