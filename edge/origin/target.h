/*
 * Where an exchange goes (origin_target_t): filled from a preview and its box, or from a server that was
 * picked.
 */
#ifndef BOXEDGE_TARGET_H
#define BOXEDGE_TARGET_H

#include "balance.h"
#include "exchange.h"
#include "origin_tls.h"

/* The port of ex->preview in ex->box. */
void target_box(exchange_t *ex);
/* The same after the box has changed, for a second attempt: `now` was read at the store's `epoch` or later.
 */
void target_box_again(exchange_t *ex, const store_box_t *now, uint64_t epoch);
/*
 * The box refused the connection. One that the configuration has at 127.0.0.1 or ::1 is this machine, and
 * what listens on `localhost` is at either of the two: true where the target is the other one now. False
 * where there is none, or that one refused too; then the target is what it was.
 */
MUST_USE bool target_other_loopback(exchange_t *ex);
/* The server that was picked of the upstream with that index in `conf`. `tls` (may be NULL) is borrowed; for
 * `elsewhere` see origin_target_t. */
void target_server(exchange_t *ex, const conf_t *conf, origin_tls_t *tls, size_t upstream,
                   const balance_pick_t *pick,
                   bool (*elsewhere)(exchange_t *ex, const resend_facts_t *facts));

/* Sends the request to ex->target, in its protocol. */
void target_start(exchange_t *ex);

/* What goes over a fresh connection to ex->target: *ssl is for conn_start_tls, NULL where it is spoken to in
 * the clear. False: it is to be reached over TLS and cannot be. */
MUST_USE bool target_tls(exchange_t *ex, SSL **ssl);
/* The handshake failed, or the origin refused the connection: says why in the log, now and then. */
void target_tls_failed(context_t *context, SSL *ssl);

#endif
