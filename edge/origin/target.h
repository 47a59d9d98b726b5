/*
 * Fills origin_target_t, the destination of an exchange, from a preview and its box or from a chosen server.
 */
#ifndef BOXEDGE_TARGET_H
#define BOXEDGE_TARGET_H

#include "balance.h"
#include "exchange.h"
#include "origin_tls.h"

/* Targets the port of ex->preview in ex->box. */
void target_box(exchange_t *ex);
/* The same for a second attempt after the box has changed: `now` was read at the store's `epoch` or later. */
void target_box_again(exchange_t *ex, const store_box_t *now, uint64_t epoch);
/*
 * The box refused the connection. A box configured at 127.0.0.1 or ::1 is this machine, where a listener on
 * `localhost` has either address. True: the target is now the other one. False: no other one exists, or it
 * refused too; the target is then the original one.
 */
MUST_USE bool target_other_loopback(exchange_t *ex);
/* Targets the chosen server of the upstream with that index in `conf`. Borrows `tls`, which may be NULL. For
 * `elsewhere` see origin_target_t. */
void target_server(exchange_t *ex, const conf_t *conf, origin_tls_t *tls, size_t upstream,
                   const balance_pick_t *pick,
                   bool (*elsewhere)(exchange_t *ex, const resend_facts_t *facts));

/* Sends the request to ex->target, in its protocol. */
void target_start(exchange_t *ex);

/* Prepares TLS for a new connection to ex->target. *ssl is for conn_start_tls; NULL without TLS. False: the
 * target requires TLS and it is not available. */
MUST_USE bool target_tls(exchange_t *ex, SSL **ssl);
/* The handshake failed, or the origin refused the connection. Writes the reason, and logs it at a limited
 * rate. */
#define TARGET_TLS_REASON_MAX 256
void target_tls_failed(context_t *context, SSL *ssl, char reason[TARGET_TLS_REASON_MAX]);

#endif
