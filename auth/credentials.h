/*
 * The secrets of previews: how they are made, how a request shows them, and how they are compared. Only
 * SHA-256 of a secret is kept; comparisons take the same time wherever the first wrong byte is.
 */
#ifndef BOXEDGE_CREDENTIALS_H
#define BOXEDGE_CREDENTIALS_H

#include "str.h"

/* Text of a generated secret: 43 characters of base64url for 256 bits, and a NUL. */
#define SECRET_TEXT_LEN 43
/* Secrets that are longer when presented are wrong without a look. */
#define SECRET_PRESENTED_MAX 1024

void secret_make(const uint8_t random[32], char out[SECRET_TEXT_LEN + 1]);
void secret_hash(str_t secret, uint8_t out[32]);
/* Constant time for secrets of one length. */
MUST_USE bool secret_matches(str_t presented, const uint8_t sha256[32]);

typedef enum authorization_scheme {
    AUTHORIZATION_BEARER,
    AUTHORIZATION_BASIC,
    AUTHORIZATION_OTHER, /* another scheme, or not well-formed: the app's business */
} authorization_scheme_t;

/*
 * Takes an Authorization value apart (RFC 9110 section 11.6.2; RFC 6750 section 2.1; RFC 7617): scheme
 * without case, one or more spaces, then the token. BEARER: *secret is the token, a slice of `value`. BASIC:
 * *secret is "user:password" decoded into `out` (cap at least value.n); what is not strict base64 or has no
 * colon is OTHER.
 */
authorization_scheme_t authorization_parse(str_t value, char *out, size_t cap, str_t *secret);

/*
 * Takes the parameter `name` (as written or percent-encoded) out of a target's query; all occurrences. `out`
 * has at least target.n bytes and gets the target without them (also without a '?' that nothing follows any
 * more), byte-exact otherwise. The first occurrence's value, percent-decoded, goes into `value` (cap bytes;
 * longer: *value_len is cap + 1). Returns whether there was any.
 */
bool query_take(str_t target, str_t name, char *out, size_t *out_len, char *value, size_t cap,
                size_t *value_len);

#endif
