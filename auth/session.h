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

/* The session of a link (store_links.h), beside the one above, which it never replaces. */
#define SESSION_LINK_COOKIE "__Host-boxedge-link"
/* "l1.<link>.<number>.<expiry>.<signature>" and a NUL; link and number have 16 hexadecimal digits. */
#define SESSION_LINK_TEXT_MAX 112

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

/* A session that a link began: its `number`-th. */
typedef struct session_link {
    uint64_t link; /* its id */
    uint64_t number;
    uint64_t expires; /* unix seconds */
} session_link_t;

/* The same for a session of a link of the preview that has this host and version. */
size_t session_link_make(const session_keys_t *keys, str_t host, uint64_t version,
                         const session_link_t *session, char out[SESSION_LINK_TEXT_MAX]);
/* Returns whether `value` is such a session, unexpired, and fills *out. Whether the link still opens the
 * preview is not known yet. */
MUST_USE bool session_link_read(const session_keys_t *keys, str_t host, uint64_t version, uint64_t now_unix,
                                str_t value, session_link_t *out);

#endif
