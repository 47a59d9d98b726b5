/*
 * The answer with the status page (edge/pages/status_page.h), for the admin socket and for the link of
 * `boxedge status --open`.
 */
#ifndef BOXEDGE_STATUS_REPLY_H
#define BOXEDGE_STATUS_REPLY_H

#include "exchange.h"

void status_reply(exchange_t *ex);

#endif
