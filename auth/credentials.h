/*
 * The secrets of previews: how they are made, how a request shows them, and how they are compared. Only
 * SHA-256 of a secret is kept; comparisons take the same time wherever the first wrong byte is.
 */
#ifndef BOXEDGE_CREDENTIALS_H
#define BOXEDGE_CREDENTIALS_H

#include "str.h"

/* Text of a generated secret: 43 characters of base64url for 256 bits, and a NUL. */
#define SECRET_TEXT_LEN 43
/* Secrets that are longer when presented are wrong without a look; so are empty ones. */
#define SECRET_PRESENTED_MAX 1024

/* `random` has 32 bytes of the system's generator; the caller cleanses both. */
void secret_make(const uint8_t random[32], char out[SECRET_TEXT_LEN + 1]);
/* SHA-256, as it is stored. */
void secret_hash(str_t secret, uint8_t out[32]);
/* Whether a presented secret has this hash. Constant time for secrets of one length. */
MUST_USE bool secret_matches(str_t presented, const uint8_t hash[32]);

typedef enum authorization_scheme {
    AUTHORIZATION_BEARER,
    AUTHORIZATION_BASIC,
    AUTHORIZATION_OTHER, /* another scheme, or not well-formed: the app's business */
} authorization_scheme_t;

/*
 * Takes an Authorization value apart (RFC 9110 section 11.6.2; RFC 6750 section 2.1; RFC 7617): scheme
 * without case, one or more spaces, then the token. BEARER: *secret is the token, a slice of `value`. BASIC:
 * *secret is "user:password" decoded into `out` (cap at least value.n), which the caller cleanses; what is
 * not strict base64 with its padding, has no colon or has a control character is OTHER. So is a secret of
 * more than SECRET_PRESENTED_MAX bytes, which is nobody's. With OTHER, *secret is empty.
 */
authorization_scheme_t authorization_parse(str_t value, char *out, size_t cap, str_t *secret);

/*
 * Takes the parameter `name` (as an app decodes it: percent-encoded or not, '+' for a space) out of a
 * target's query; all occurrences, also without '=' or value. `out` has at least target.n bytes, apart from
 * target's, and gets the target without them (also without a '?' that nothing follows any more), byte-exact
 * otherwise. The first occurrence's value, decoded the same way, goes into `value` (cap bytes; longer:
 * *value_len is cap + 1). Returns whether there was any; if not, `out` is the target and the value is not
 * set.
 */
MUST_USE bool query_take(str_t target, str_t name, char *out, size_t *out_len, char *value, size_t cap,
                         size_t *value_len);

#endif
