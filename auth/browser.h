/*
 * Fetch metadata and Origin: the browser's statement about the page that sends a request. A cookie
 * alone proves little, because other previews are same-site. These rules decide which requests it
 * may open (docs/access.md, "What the cookie opens").
 */
#ifndef BOXEDGE_BROWSER_H
#define BOXEDGE_BROWSER_H

#include "str.h"

/* The request fields that these rules read; empty: absent. */
typedef struct browser_request {
    str_t method;
    str_t origin;
    str_t sec_fetch_mode;
    str_t sec_fetch_dest;
    str_t sec_fetch_site;
    str_t accept;
    str_t x_requested_with;
    str_t access_control_request_method;
    str_t sec_purpose; /* or Purpose, from older browsers */
    bool has_body;
    bool upgrade;
} browser_request_t;

/* A browser opens a page for a person: GET or HEAD, no upgrade, Sec-Fetch-Mode: navigate. Without
 * that field, Accept has text/html and X-Requested-With is absent. */
bool browser_is_navigation(const browser_request_t *request);
/* A page of another origin made the browser send this request (Sec-Fetch-Site): a frame, an image, a script's
 * request or a prefetch. Opening a page in a separate tab does not count. */
bool browser_is_embedded(const browser_request_t *request);
/* OPTIONS with Origin and Access-Control-Request-Method and no body (Fetch standard,
 * CORS-preflight). */
bool browser_is_preflight(const browser_request_t *request);

/* Returns whether `origin` equals `own` ("https://host[:port]") or an entry of `allowed`
 * (serialized origins, separated by one space). Case is ignored. "null" and the empty origin are
 * never allowed. */
bool origin_is_allowed(str_t origin, str_t own, str_t allowed);

/* "Origin: null" from a page of the same origin that withholds its referrer (Fetch standard, "append a
 * request Origin header"). Sec-Fetch-Site, which no script can set, is then same-origin. */
bool browser_hides_own_origin(const browser_request_t *request);

/*
 * Returns whether the session cookie alone suffices for a request. An allowed Origin suffices for
 * every request, and an upgrade needs one. "null" counts as allowed if browser_hides_own_origin.
 *
 * Every other request must have no Origin, and its Sec-Fetch-Site must be absent, same-origin or
 * none. The exception is a GET or HEAD whose Sec-Fetch-Mode is navigate: it passes from any site. A
 * browser without Fetch metadata sends no Origin with a navigation, so Accept alone needs no
 * exception.
 */
bool browser_cookie_suffices(const browser_request_t *request, str_t own, str_t allowed);

#endif
