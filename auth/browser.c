#include "browser.h"

static bool is_safe(str_t method)
{
    return str_eq(method, STR("GET")) || str_eq(method, STR("HEAD"));
}

bool browser_is_navigation(const browser_request_t *request)
{
    if (request->upgrade || !is_safe(request->method))
        return false;
    if (request->sec_fetch_mode.n != 0)
        return str_eq(request->sec_fetch_mode, STR("navigate"));
    if (request->x_requested_with.n != 0 || request->accept.n == 0)
        return false;
    return memmem(request->accept.p, request->accept.n, "text/html", 9) != NULL;
}

bool browser_is_embedded(const browser_request_t *request)
{
    if (!str_eq(request->sec_fetch_site, STR("cross-site")) &&
        !str_eq(request->sec_fetch_site, STR("same-site")))
        return false;
    return !str_eq(request->sec_fetch_mode, STR("navigate")) ||
           !str_eq(request->sec_fetch_dest, STR("document")) || request->sec_purpose.n != 0;
}

bool browser_hides_own_origin(const browser_request_t *request)
{
    return str_eq(request->origin, STR("null")) && str_eq(request->sec_fetch_site, STR("same-origin"));
}

bool browser_is_preflight(const browser_request_t *request)
{
    return str_eq(request->method, STR("OPTIONS")) && request->origin.n != 0 &&
           request->access_control_request_method.n != 0 && !request->has_body && !request->upgrade;
}

bool origin_is_allowed(str_t origin, str_t own, str_t allowed)
{
    if (origin.n == 0 || str_ieq(origin, STR("null"))) /* any page may send "null" */
        return false;
    if (str_ieq(origin, own))
        return true;
    while (allowed.n != 0) {
        const char *space = memchr(allowed.p, ' ', allowed.n);
        str_t one = str_make(allowed.p, space != NULL ? (size_t)(space - allowed.p) : allowed.n);
        if (one.n != 0 && str_ieq(origin, one))
            return true;
        allowed = str_from_offset(allowed, space != NULL ? one.n + 1 : one.n);
    }
    return false;
}

bool browser_cookie_suffices(const browser_request_t *request, str_t own, str_t allowed)
{
    if (origin_is_allowed(request->origin, own, allowed) || browser_hides_own_origin(request))
        return true;
    if (request->upgrade)
        return false; /* browsers always send Origin with an upgrade */
    /* In an old browser, a script of another site can send the Accept of a navigation. */
    if (browser_is_navigation(request) && request->sec_fetch_mode.n != 0)
        return true;
    if (request->origin.n != 0)
        return false;
    return request->sec_fetch_site.n == 0 || str_eq(request->sec_fetch_site, STR("same-origin")) ||
           str_eq(request->sec_fetch_site, STR("none"));
}
