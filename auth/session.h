/*
 * The session cookie of a preview: __Host-boxedge, signed and stateless. It is bound to the host,
 * to an expiry, and to the preview's version, so that replacing or deleting the preview ends the
 * session.
 */
#ifndef BOXEDGE_SESSION_H
#define BOXEDGE_SESSION_H

#include "str.h"

#define SESSION_COOKIE  "__Host-boxedge"
#define SESSION_SECONDS 43200
/* "v1.<expiry>.<base64url of HMAC-SHA-256>" and a NUL. */
#define SESSION_TEXT_MAX 96

/* An all-zero key never validates a signature. */
typedef struct session_keys {
    uint8_t current[32];
    uint8_t previous[32]; /* all zero: none */
} session_keys_t;

/* `host` is "<id>-<port>.<domain>": lower case, no port, 1 to 253 characters (asserted, also in
 * session_valid). Writes the cookie's value and a NUL; returns its length. The session ends at
 * `expires_unix`. */
size_t session_make(const session_keys_t *keys, str_t host, uint64_t version, uint64_t expires_unix,
                    char out[SESSION_TEXT_MAX]);
/* Returns whether `value` is an unexpired session of this host and version under either key.
 * Constant time in the signature. */
MUST_USE bool session_valid(const session_keys_t *keys, str_t host, uint64_t version, uint64_t now_unix,
                            str_t value);

#endif
