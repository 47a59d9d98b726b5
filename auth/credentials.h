/*
 * The secrets of previews: generation, extraction from a request, and comparison. The store keeps
 * only the SHA-256 of a secret. The time of a comparison does not depend on the first wrong byte's
 * position.
 */
#ifndef BOXEDGE_CREDENTIALS_H
#define BOXEDGE_CREDENTIALS_H

#include "str.h"

/* Text of a generated secret: 43 characters of base64url for 256 bits, without the NUL. */
#define SECRET_TEXT_LEN 43
/* Longest secret that is compared. Longer ones and empty ones are always wrong. */
#define SECRET_PRESENTED_MAX 1024

/* `random` has 32 bytes of the system's generator; the caller cleanses both buffers. */
void secret_make(const uint8_t random[32], char out[SECRET_TEXT_LEN + 1]);
/* SHA-256 of the secret, as the store keeps it. */
void secret_hash(str_t secret, uint8_t out[32]);
/* Returns whether a presented secret has this hash. Constant time for secrets of one length. */
MUST_USE bool secret_matches(str_t presented, const uint8_t hash[32]);

typedef enum authorization_scheme {
    AUTHORIZATION_BEARER,
    AUTHORIZATION_BASIC,
    AUTHORIZATION_OTHER, /* another scheme, or malformed: left to the app */
} authorization_scheme_t;

/*
 * Splits an Authorization value (RFC 9110 section 11.6.2; RFC 6750 section 2.1; RFC 7617): the
 * scheme, without case, one or more spaces, then the token.
 *
 * BEARER: *secret is the token, a slice of `value`. BASIC: *secret is "user:password", decoded into
 * `out` (cap at least value.n); the caller cleanses it. OTHER: *secret is empty. A Basic token is
 * OTHER if it is not strict padded base64, has no colon or has a control character. A secret of
 * more than SECRET_PRESENTED_MAX bytes is OTHER too, because it matches no preview.
 */
authorization_scheme_t authorization_parse(str_t value, char *out, size_t cap, str_t *secret);

/*
 * Removes all occurrences of the parameter `name` from a target's query, also those without '=' or
 * value. Names are compared as an app decodes them: percent-encoded or not, '+' for a space.
 *
 * `out` has at least target.n bytes, does not overlap the target, and receives the rest byte for
 * byte. A '?' that would end the target is removed. `value` (cap bytes) receives the decoded value
 * of the first occurrence; *value_len is cap + 1 if it does not fit. Returns whether the parameter
 * was found. If not, `out` equals the target and `value` is not set.
 */
MUST_USE bool query_take(str_t target, str_t name, char *out, size_t *out_len, char *value, size_t cap,
                         size_t *value_len);

#endif
