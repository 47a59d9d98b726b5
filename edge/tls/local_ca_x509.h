/* Makes and checks the certificates of local_ca.c, which keeps them in files. No other file
 * includes this. */
#ifndef BOXEDGE_LOCAL_CA_X509_H
#define BOXEDGE_LOCAL_CA_X509_H

#include <openssl/x509.h>

#include "str.h"

/* Host names as OpenSSL's configuration writes them: "<prefix>a,<prefix>b". */
typedef struct local_names {
    const char *domain;
    const str_t *extra;
    size_t extra_count;
} local_names_t;

/* A new P-256 key; NULL on error. */
EVP_PKEY *local_key_new(void);
/* A self-signed authority for 10 years, constrained to the names; NULL on error. */
X509 *local_authority_new(EVP_PKEY *key, const local_names_t *names, uint64_t now_unix);
/* A leaf for the domain, one label under it, and the extra names, for 396 days; NULL on error. */
X509 *local_leaf_new(EVP_PKEY *key, X509 *authority, EVP_PKEY *authority_key, const local_names_t *names,
                     uint64_t now_unix);
/* Returns whether `leaf` verifies with `authority` at `now_unix`, lasts `days` more, and covers
 * exactly these names. */
bool local_leaf_fits(X509 *leaf, X509 *authority, const local_names_t *names, uint64_t now_unix, int days);

#endif
