/* Internals of TLS termination: tls.c (contexts), tls_select.c (choice of certificate and
 * protocol), tls_tickets.c. No other file includes this. */
#ifndef BOXEDGE_TLS_INTERNAL_H
#define BOXEDGE_TLS_INTERNAL_H

#include "str.h"
#include "tls.h"

/* The names of one certificate, lower case. A wildcard "*.example.com" is stored as ".example.com". */
typedef struct tls_name {
    char *text;
    size_t len;
} tls_name_t;

typedef struct tls_names {
    tls_name_t *names;
    size_t count;
} tls_names_t;

typedef enum tls_key_kind { TLS_KEY_RSA, TLS_KEY_ECDSA, TLS_KEY_OTHER } tls_key_kind_t;

/* A certificate with its context; the context's app data points here. */
typedef struct tls_site {
    tls_t *tls;
    SSL_CTX *ctx;
    tls_names_t names;
    tls_key_kind_t key;
    uint16_t
        scheme; /* the only signature scheme of its key (RFC 8446 section 4.2.3); 0: RSA, which has several */
} tls_site_t;

typedef struct tls_ticket_key {
    uint8_t name[16];
    uint8_t aes[32];
    uint8_t mac[32];
} tls_ticket_key_t;

struct tls {
    unsigned refs; /* one of the owner and one of each SSL, so that a handshake outlives a reload */
    tls_site_t *sites;
    size_t site_count;
    tls_ticket_key_t keys[3];
    uint32_t key_count;
    EVP_CIPHER *ticket_cipher;
};

/* ---- tls_select.c ---- */
/* Extracts the DNS names and addresses of the certificate's subject alternative names. */
void tls_names_init(tls_names_t *names, X509 *certificate);
void tls_names_fini(tls_names_t *names);
/* Returns whether `host` is one of them, or one label below a wildcard. */
bool tls_names_cover(const tls_names_t *names, str_t host);
/* Records the signatures that the site's key can make. */
void tls_site_set_key(tls_site_t *site, const EVP_PKEY *key);
/* Callbacks of a context: server name (RFC 6066 section 3) and ALPN (RFC 7301). */
int tls_on_client_hello(SSL *ssl, int *alert, void *arg);
int tls_on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                unsigned in_len, void *arg);

/* ---- tls_tickets.c ---- */
int tls_on_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                      EVP_MAC_CTX *mac, int encrypt);

#endif
