/*
 * What a request says of the browser that sends it, if one does (auth/browser.h judges by it).
 */
#ifndef BOXEDGE_EXCHANGE_BROWSER_H
#define BOXEDGE_EXCHANGE_BROWSER_H

#include "browser.h"
#include "exchange.h"

/* Everything but `sec_purpose`. */
browser_request_t exchange_browser(const exchange_t *ex);
/* Sec-Purpose, or Purpose, of the request; empty: none. */
str_t exchange_purpose(const exchange_t *ex);
/* "https://<authority>": the preview's own origin, as browsers write it. */
str_t exchange_own_origin(exchange_t *ex);

#endif
