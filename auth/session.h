/*
 * The session cookie of a preview: __Host-boxedge, signed, without state. It is bound to the host, to the
 * preview's version (so that replacing or deleting the preview ends it) and to an expiry.
 */
#ifndef BOXEDGE_SESSION_H
#define BOXEDGE_SESSION_H

#include "str.h"

#define SESSION_COOKIE  "__Host-boxedge"
#define SESSION_SECONDS 43200
/* "v1.<expiry>.<base64url of HMAC-SHA-256>" and a NUL. */
#define SESSION_TEXT_MAX 96

/* Keys that are all zero sign nothing that counts. */
typedef struct session_keys {
    uint8_t current[32];
    uint8_t previous[32]; /* all zero: none */
} session_keys_t;

/* `host` is "<id>-<port>.<domain>", lower case, no port, 1 to 253 characters (asserted, here and below).
 * Writes the cookie's value and a NUL; returns its length. The session ends when the clock shows
 * `expires_unix`. */
size_t session_make(const session_keys_t *keys, str_t host, uint64_t version, uint64_t expires_unix,
                    char out[SESSION_TEXT_MAX]);
/* Whether `value` is a session of this host and version that has not expired, under either key. Constant time
 * in the signature. */
MUST_USE bool session_valid(const session_keys_t *keys, str_t host, uint64_t version, uint64_t now_unix,
                            str_t value);

#endif
