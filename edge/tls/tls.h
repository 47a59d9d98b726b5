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
    char *authorities; /* by which the other side is checked, where it is (origin_tls.h); may be NULL */
} tls_pem_t;

/*
 * Ticket keys: the first one encrypts, all decrypt; a session that came under another than the first gets a
 * new ticket. Shared by all workers, rotated by the supervisor.
 */
typedef struct tls_ticket_keys {
    uint8_t secret[3][64]; /* key name 16, AES 32, HMAC 16 (expanded) */
    uint32_t count;
} tls_ticket_keys_t;

/*
 * Whether the edge would serve with these certificates at `now_unix`: readable, key and certificate belong
 * together, valid now. On the first error writes a sentence (which certificate by its place and name, what is
 * wrong) into `error`. For loading and `boxedge check`; tls_new does not look at the clock, since a worker
 * that is started again must not fail over a certificate that has expired meanwhile.
 */
MUST_USE bool tls_check(const tls_pem_t *pems, size_t count, uint64_t now_unix, char *error,
                        size_t error_len);
typedef enum tls_pem_result { TLS_PEM_GOOD, TLS_PEM_BAD_CHAIN, TLS_PEM_BAD_KEY } tls_pem_result_t;
/* Whether it can be read, and its key is that of the certificate, whatever the time. Else a sentence. */
MUST_USE tls_pem_result_t tls_pem_try(const tls_pem_t *pem, char *error, size_t error_len);
/* Whether the certificate covers `host`, as tls_covers; false where it cannot be read. */
bool tls_pem_covers(const tls_pem_t *pem, str_t host);
/* Cleanses and frees the texts. */
void tls_pem_fini(tls_pem_t *pem);

/*
 * Builds the contexts for `count` certificates (1 or more); the first serves clients without a matching
 * server name. On error returns NULL and writes a sentence as tls_check does.
 */
tls_t *tls_new(const tls_pem_t *pems, size_t count, const tls_ticket_keys_t *keys, char *error,
               size_t error_len);
/* Connections made from it live on. */
void tls_free(tls_t **tls);
/* Replaces the ticket keys of all contexts; 1 to 3. */
void tls_set_ticket_keys(tls_t *tls, const tls_ticket_keys_t *keys);

/* Has `ctx` show the certificate, for either side. False with a sentence as of tls_check. */
MUST_USE bool tls_use_pem(SSL_CTX *ctx, const tls_pem_t *pem, char *error, size_t error_len);

/* A fresh server-side SSL, in accept state, or NULL (out of memory). */
SSL *tls_accept(tls_t *tls);
/* After the handshake: "h2" or "http/1.1" (also where the client sent no ALPN). */
bool tls_is_h2(const SSL *ssl);
/*
 * Whether the certificate in use on `ssl` covers `host` (lower case, no port, no trailing dot; an IPv6
 * address in brackets): exact, or by a wildcard that is the whole leftmost label, from the subject
 * alternative names alone (RFC 9525 section 6.3).
 */
bool tls_covers(const SSL *ssl, str_t host);

#endif
