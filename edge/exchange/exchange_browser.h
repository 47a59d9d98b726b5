/*
 * The fields by which a browser describes its request (auth/browser.h judges them).
 */
#ifndef BOXEDGE_EXCHANGE_BROWSER_H
#define BOXEDGE_EXCHANGE_BROWSER_H

#include "browser.h"
#include "exchange.h"

/* All but `sec_purpose`. */
browser_request_t exchange_browser(const exchange_t *ex);
/* The request's Sec-Purpose, or Purpose; empty: none. */
str_t exchange_purpose(const exchange_t *ex);
/* "https://<authority>": the preview's own origin, as browsers write it. */
str_t exchange_own_origin(exchange_t *ex);

#endif
