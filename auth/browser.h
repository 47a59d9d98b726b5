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
    str_t sec_fetch_dest;
    str_t sec_fetch_site;
    str_t accept;
    str_t x_requested_with;
    str_t access_control_request_method;
    str_t sec_purpose; /* or Purpose, of older browsers */
    bool has_body;
    bool upgrade;
} browser_request_t;

/* A person's browser asks for a page: GET or HEAD, no upgrade, Sec-Fetch-Mode navigate; without that field,
 * Accept with text/html and no X-Requested-With. */
bool browser_is_navigation(const browser_request_t *request);
/* A page of another origin had its browser send this (Sec-Fetch-Site), other than by opening a page of its
 * own in a tab: a frame, an image, a script's request, a page fetched ahead. */
bool browser_is_embedded(const browser_request_t *request);
/* OPTIONS with Origin and Access-Control-Request-Method and no body (Fetch standard, CORS-preflight). */
bool browser_is_preflight(const browser_request_t *request);

/* Whether `origin` is `own` ("https://host[:port]") or on `allowed` (serialized origins, one space between);
 * compared without case. "null" and an empty one never are. */
bool origin_is_allowed(str_t origin, str_t own, str_t allowed);

/* "Origin: null" of a page of the same origin that keeps its referrer back (Fetch standard, "append a request
 * Origin header"): Sec-Fetch-Site, which no script can set, says same-origin. */
bool browser_hides_own_origin(const browser_request_t *request);

/*
 * Whether a request that only the session cookie opens may pass. An allowed Origin is enough for everything,
 * and an upgrade needs one; "null" is one where browser_hides_own_origin. Other requests may not have another
 * Origin, nor a Sec-Fetch-Site but same-origin and none; except for a GET/HEAD that Sec-Fetch-Mode calls a
 * navigation, which passes from anywhere. (One that Accept alone makes a navigation, of a browser without
 * Fetch metadata, has no Origin.)
 */
bool browser_cookie_suffices(const browser_request_t *request, str_t own, str_t allowed);

#endif
