/*
 * TLS towards clients: certificates by server name, session tickets that resume on any worker,
 * ALPN. The client-hello callback chooses a connection's SSL_CTX before OpenSSL considers a
 * session. A session made under one certificate is therefore never resumed under another.
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
    char *authorities; /* to verify the peer, if that is wanted (origin_tls.h); may be NULL */
} tls_pem_t;

/*
 * Ticket keys: the first one encrypts, all decrypt. A session under any key but the first gets a
 * new ticket. All workers share the keys; the supervisor rotates them.
 */
typedef struct tls_ticket_keys {
    uint8_t secret[3][64]; /* key name 16, AES 32, HMAC 16 (expanded) */
    uint32_t count;
} tls_ticket_keys_t;

/* Whether the number of keys is 1 to 3. */
static inline bool tls_ticket_keys_valid(const tls_ticket_keys_t *keys)
{
    return keys->count >= 1 && keys->count <= sizeof(keys->secret) / sizeof(keys->secret[0]);
}

/*
 * Returns whether the edge can serve with these certificates at `now_unix`: readable, with the
 * right key, valid now. Writes the first error as a sentence into `error`: the certificate's
 * position and name, and the problem. For loading and `boxedge check`. tls_new ignores the clock,
 * because the restart of a worker must not fail when a certificate has expired.
 */
MUST_USE bool tls_check(const tls_pem_t *pems, size_t count, uint64_t now_unix, char *error,
                        size_t error_len);
typedef enum tls_pem_result { TLS_PEM_GOOD, TLS_PEM_BAD_CHAIN, TLS_PEM_BAD_KEY } tls_pem_result_t;
/* Returns whether the PEM is readable and its key belongs to the certificate, at any time.
 * Otherwise writes a sentence. */
MUST_USE tls_pem_result_t tls_pem_try(const tls_pem_t *pem, char *error, size_t error_len);
/* When the certificate expires (unix seconds), and its first name, cut to `name_len` - 1 bytes. False: it is
 * unreadable. */
MUST_USE bool tls_pem_facts(const tls_pem_t *pem, uint64_t *expires_s, char *name, size_t name_len);
/* Returns whether the certificate covers `host`, as tls_covers; false if it is unreadable. */
bool tls_pem_covers(const tls_pem_t *pem, str_t host);
/* Cleanses and frees the texts. */
void tls_pem_fini(tls_pem_t *pem);

/*
 * Builds the contexts for `count` certificates (1 or more). The first serves clients without a
 * matching server name. On error returns NULL and writes a sentence as tls_check does.
 */
tls_t *tls_new(const tls_pem_t *pems, size_t count, const tls_ticket_keys_t *keys, char *error,
               size_t error_len);
/* Connections made from it live on. */
void tls_free(tls_t **tls);
/* Offers HTTP/1 only, from now on. */
void tls_offer_http1(tls_t *tls);
/* Replaces the ticket keys of all contexts; 1 to 3. */
void tls_set_ticket_keys(tls_t *tls, const tls_ticket_keys_t *keys);

/* Makes `ctx` show the certificate, for either side. Returns false with a sentence as of tls_check. */
MUST_USE bool tls_use_pem(SSL_CTX *ctx, const tls_pem_t *pem, char *error, size_t error_len);

/* A new server-side SSL, in accept state, or NULL (out of memory). */
SSL *tls_accept(tls_t *tls);
/* After the handshake: "h2", not "http/1.1" (which is also the result without ALPN). */
bool tls_is_h2(const SSL *ssl);
/*
 * Returns whether the certificate in use on `ssl` covers `host` (lower case, no port, no trailing
 * dot; an IPv6 address in brackets). A match is exact, or by a wildcard as the whole leftmost
 * label. Only subject alternative names count (RFC 9525 section 6.3).
 */
bool tls_covers(const SSL *ssl, str_t host);

#endif
