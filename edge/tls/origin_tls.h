/*
 * TLS towards servers of an upstream: one SSL_CTX for each server, with the name that its certificate must
 * have. The certificate is verified against the upstream's authorities and that name, on every version; a
 * client certificate is shown where one is configured. Sessions are kept with the server, so that one is only
 * resumed under the name for which it was verified, and only as long as that certificate is valid.
 */
#ifndef BOXEDGE_ORIGIN_TLS_H
#define BOXEDGE_ORIGIN_TLS_H

#include <openssl/ssl.h>

#include "conf.h"
#include "str.h"
#include "tls.h"

typedef struct origin_tls origin_tls_t;

/* Sessions that are kept for a server, and the bytes that one's ticket may have. */
#define ORIGIN_TLS_SESSIONS   4
#define ORIGIN_TLS_TICKET_MAX 4096
/* A server's failures are told at most so often. */
#define ORIGIN_TLS_TELL_MS 10000

/*
 * For all upstreams of a configuration; `pems` has one element for each: what tls_ca, tls_certificate and
 * tls_key name, empty where they name nothing. Where nothing of that differs from `before` (which may be
 * NULL), returns another reference of `before`, with its sessions. NULL with a sentence in `error` where a
 * file is not right.
 */
origin_tls_t *origin_tls_new(const conf_t *conf, const tls_pem_t *pems, origin_tls_t *before, char *error,
                             size_t error_len);
origin_tls_t *origin_tls_acquire(origin_tls_t *tls);
/* Gives a reference back and nulls it; the last one frees, and connections live on. NULL is allowed. */
void origin_tls_release(origin_tls_t **tls);

/* Under which connections to an upstream with TLS are pooled: another name for each change of what they were
 * made with. Lives as long as `tls`. */
str_t origin_tls_pool(const origin_tls_t *tls, size_t upstream);

/*
 * A fresh connection to server `index` of upstream `upstream`, with connect state, SNI (none for an address),
 * the name to be verified, and ALPN ("h2" or "http/1.1" by the upstream's protocol). For conn_start_tls,
 * which frees it. NULL where there is no such server, or it is not reached over TLS: to be refused, never
 * connected to in the clear.
 */
SSL *origin_tls_make(origin_tls_t *tls, size_t upstream, size_t index);

/* After the handshake: whether the server speaks what was asked for. One that chose nothing speaks HTTP/1. */
MUST_USE bool origin_tls_agreed(const SSL *ssl);
/* Whether the server ended the connection with a fatal alert: over TLS 1.3 it judges the edge's certificate
 * when the edge takes the handshake for done. */
MUST_USE bool origin_tls_refused(const SSL *ssl);
/*
 * The handshake failed, or the server refused the connection: its sessions are dropped. Writes why, as a
 * sentence for the log: "certificate has expired (api.example.com)". False where this server's last failure
 * was told less than ORIGIN_TLS_TELL_MS ago.
 */
MUST_USE bool origin_tls_failed(SSL *ssl, uint64_t now_ms, char *out, size_t len);

#endif
