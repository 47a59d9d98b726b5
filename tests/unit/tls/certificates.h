/* Certificates for tests, made on demand: P-256, valid from `from` for `days`. */
#ifndef BOXEDGE_TEST_CERTIFICATES_H
#define BOXEDGE_TEST_CERTIFICATES_H

#include <assert.h>
#include <string.h>
#include <time.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "tls.h"

char *pem_text(BIO *bio);

/* `names`: the text of a subjectAltName extension ("DNS:a.test,DNS:*.b.test"); NULL: none. `issuer` NULL:
 * self-signed; `authority`: it may sign others. Takes `key`. */
tls_pem_t certificate_issue_with(EVP_PKEY *key, const char *names, time_t from, long days,
                                 const tls_pem_t *issuer, bool authority);
tls_pem_t certificate_issue(const char *names, time_t from, long days, const tls_pem_t *issuer,
                            bool authority);

/* Self-signed. */
tls_pem_t certificate_make(const char *names, time_t from, long days);

/* A server's context with this certificate, and this version of TLS only. */
SSL_CTX *server_tls(const tls_pem_t *pem, int version);
tls_ticket_keys_t ticket_keys_make(uint8_t seed, uint32_t count);

#endif
