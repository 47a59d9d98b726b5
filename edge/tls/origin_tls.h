/*
 * TLS towards servers of an upstream: one SSL_CTX for each server, with the name that its
 * certificate must have. Every TLS version verifies the certificate against the upstream's
 * authorities and that name. The edge shows a client certificate if one is configured. Sessions are
 * kept per server: a session is resumed only under the name for which it was verified, and only
 * while that certificate is valid.
 */
#ifndef BOXEDGE_ORIGIN_TLS_H
#define BOXEDGE_ORIGIN_TLS_H

#include <openssl/ssl.h>

#include "conf.h"
#include "str.h"
#include "tls.h"

typedef struct origin_tls origin_tls_t;

/* Sessions that are kept for a server, and the maximum bytes of one ticket. */
#define ORIGIN_TLS_SESSIONS   4
#define ORIGIN_TLS_TICKET_MAX 4096
/* Minimum interval between reports of a server's failures. */
#define ORIGIN_TLS_REPORT_MS 10000

/*
 * Makes the contexts for all upstreams of a configuration. `pems` has one element for each
 * upstream: the contents of tls_ca (without one, system_authorities_read), tls_certificate and
 * tls_key, empty if unset. All upstreams share the system's authorities. If all of that is as in `before`
 * (may be NULL), returns another reference to `before`, with its sessions. Returns NULL with a sentence in
 * `error` if a file is wrong.
 */
origin_tls_t *origin_tls_new(const conf_t *conf, const tls_pem_t *pems, origin_tls_t *before, char *error,
                             size_t error_len);
origin_tls_t *origin_tls_acquire(origin_tls_t *tls);
/* Releases a reference and nulls it; the last one frees, and connections live on. NULL is allowed. */
void origin_tls_release(origin_tls_t **tls);

/* The pool name for connections to an upstream with TLS: it changes with each change of their
 * parameters. Lives as long as `tls`. */
str_t origin_tls_pool(const origin_tls_t *tls, size_t upstream);

/*
 * Makes a connection to server `index` of upstream `upstream`, in connect state. Sets SNI (none for
 * an address), the name to verify, and ALPN ("h2" or "http/1.1" by the upstream's protocol). For
 * conn_start_tls, which frees it. Returns NULL if that server does not exist or has no TLS: the
 * caller must refuse, and never connect in the clear.
 */
SSL *origin_tls_make(origin_tls_t *tls, size_t upstream, size_t index);

/* After the handshake: returns whether the server speaks the requested protocol. A server without a
 * choice speaks HTTP/1. */
MUST_USE bool origin_tls_agreed(const SSL *ssl);
/* Returns whether the server ended the connection with a fatal alert. In TLS 1.3 the server checks
 * the edge's certificate when the edge already considers the handshake finished. */
MUST_USE bool origin_tls_refused(const SSL *ssl);
/*
 * After a failed handshake or a refused connection: drops the server's sessions. Writes the reason
 * as a sentence for logs: "certificate has expired (api.example.com)". Returns false, after the reason, if
 * this server's last failure was reported less than ORIGIN_TLS_REPORT_MS ago.
 */
MUST_USE bool origin_tls_failed(SSL *ssl, uint64_t now_ms, char *out, size_t len);

#endif
