/*
 * What browsers say about who asks (Fetch metadata, Origin), and what follows for requests that a cookie
 * opens: other previews are same-site, so the cookie alone proves little (docs/access.md, "What the cookie
 * opens").
 */
#ifndef BOXEDGE_BROWSER_H
#define BOXEDGE_BROWSER_H

#include "str.h"

/* The fields that are looked at; empty: absent. */
typedef struct browser_request {
    str_t method;
    str_t origin;
    str_t sec_fetch_mode;
    str_t sec_fetch_site;
    str_t accept;
    str_t x_requested_with;
    str_t access_control_request_method;
    bool has_body;
    bool upgrade;
} browser_request_t;

/* A person's browser asks for a page: GET or HEAD, no upgrade, Sec-Fetch-Mode navigate; without that field,
 * Accept with text/html and no X-Requested-With. */
bool browser_is_navigation(const browser_request_t *request);
/* OPTIONS with Origin and Access-Control-Request-Method and no body (Fetch standard, CORS-preflight). */
bool browser_is_preflight(const browser_request_t *request);

/* Whether `origin` is `own` ("https://host[:port]") or on `allowed` (serialized origins, one space between);
 * compared without case. */
bool origin_is_allowed(str_t origin, str_t own, str_t allowed);

/*
 * Whether a request that only the session cookie opens may pass. An upgrade needs an allowed Origin. Anything
 * but a GET/HEAD navigation is refused where Origin is present and not allowed, or Sec-Fetch-Site is
 * same-site or cross-site and Origin is not an allowed one.
 */
bool browser_cookie_suffices(const browser_request_t *request, str_t own, str_t allowed);

#endif
