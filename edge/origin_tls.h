/*
 * TLS towards servers of an upstream: one SSL_CTX for each name that is checked. The certificate is verified
 * against the upstream's authorities and the name, on every version, resumed sessions included; a client
 * certificate is shown where one is configured.
 */
#ifndef BOXEDGE_ORIGIN_TLS_H
#define BOXEDGE_ORIGIN_TLS_H

#include <openssl/ssl.h>

#include "conf.h"

typedef struct origin_tls origin_tls_t;

/* For all upstreams with `tls` of a configuration; NULL with a sentence in `error` where a file is not right.
 */
origin_tls_t *origin_tls_new(const conf_t *conf, char *error, size_t error_len);
void origin_tls_free(origin_tls_t **tls);
/*
 * A fresh connection to server `index` of upstream `upstream`, with connect state, SNI (none for an address),
 * the name to be verified, and ALPN ("h2" or "http/1.1" by the upstream's protocol). For conn_start_tls,
 * which frees it.
 */
SSL *origin_tls_make(origin_tls_t *tls, size_t upstream, size_t index);
/* Why the handshake failed, as one sentence for the log: "certificate has expired (api.example.com)". Returns
 * `out`. */
const char *origin_tls_reason(SSL *ssl, char *out, size_t len);

#endif
