/*
 * The stores of authorities that `boxedge trust` changes: of the system (update-ca-certificates), and of
 * Chromium and Firefox (databases of NSS, by certutil). Each entry carries the fingerprint of the authority
 * in its name, so that only that authority is found and removed again.
 */
#ifndef BOXEDGE_TRUST_STORE_H
#define BOXEDGE_TRUST_STORE_H

#include <stddef.h>

#include "str.h"

#define TRUST_PATH_MAX  2048
#define TRUST_NAME_MAX  128
#define TRUST_PRINT_MAX 95 /* hexadecimal pairs of SHA-256, with colons */

/* An authority that this program may install. */
typedef struct trust_authority {
    char path[TRUST_PATH_MAX];
    char name[TRUST_NAME_MAX];        /* in the databases of NSS */
    char system_path[TRUST_PATH_MAX]; /* in the system's directory */
    char print[TRUST_PRINT_MAX + 1];  /* SHA-256 */
    char domains[512];                /* to which its name constraints limit it */
    char *pem;                        /* the certificate as text, without anything else */
} trust_authority_t;

/*
 * Reads the authority at `path`. Refuses every certificate that could vouch for more than names of `domain`
 * and `extra` (name constraints, RFC 5280 section 4.2.1.10: critical, with names, without addresses). Returns
 * false with a sentence. Call trust_authority_fini in any case.
 */
MUST_USE bool trust_authority_read(const char *path, const char *domain, char *const *extra,
                                   size_t extra_count, trust_authority_t *out, char *error, size_t error_len);
void trust_authority_fini(trust_authority_t *authority);

typedef enum trust_result {
    TRUST_DONE,      /* changed */
    TRUST_UNCHANGED, /* as wanted already */
    TRUST_HAND,      /* needs rights or a program that this process lacks */
    TRUST_FAILED,
} trust_result_t;

/* Adds (`trust`) or removes the authority. `why` gets a sentence for TRUST_FAILED, and a command or a
 * sentence for TRUST_HAND. */
MUST_USE trust_result_t trust_system(const trust_authority_t *authority, bool trust, char *why,
                                     size_t why_len);
/* The same for the database of NSS in the directory `dir`; with `trust` makes a missing one. */
MUST_USE trust_result_t trust_nss(const trust_authority_t *authority, const char *dir, bool trust, char *why,
                                  size_t why_len);

#endif
