#include "signin.h"

#include <assert.h>

#include "access.h"
#include "arena.h"
#include "browser.h"
#include "client.h"
#include "cookie.h"
#include "credentials.h"
#include "exchange_browser.h"
#include "exchange_measure.h"
#include "form.h"
#include "links.h"
#include "local.h"
#include "pages.h"
#include "random_id.h"
#include "session.h"
#include "signin_page.h"
#include "step.h"
#include "worker.h"

#define SIGN_IN_PATH  RESERVED_PATH "sign-in"
#define SIGN_OUT_PATH RESERVED_PATH "sign-out"
#define COOKIE_ENDS   "=; Path=/; Secure; HttpOnly; SameSite=None; Partitioned; Max-Age=0"
/* Maximum bytes of a form's body: token, or user and password, and the next path. */
#define FORM_BYTES 8192
#define NEXT_MAX   4096
/* Hexadecimal digits: 128 bits, as Content Security Policy asks. */
#define NONCE_DIGITS 32

static const char wrong_token[] = "This token is not valid for this preview. It may have been replaced.";
static const char wrong_password[] =
    "This user and password are not valid for this preview. They may have been replaced.";

static str_t path_of(const exchange_t *ex)
{
    str_t target = ex->request.target;
    const char *mark = memchr(target.p, '?', target.n);
    return str_make(target.p, mark != NULL ? (size_t)(mark - target.p) : target.n);
}

/* Whether the path stays on this host. Browsers take "//host" and "/\host" to other hosts. */
static bool is_local_path(str_t path)
{
    if (path.n == 0 || path.n > NEXT_MAX || path.p[0] != '/')
        return false;
    if (path.n > 1 && (path.p[1] == '/' || path.p[1] == '\\'))
        return false;
    for (size_t i = 0; i < path.n; i++)
        if (path.p[i] <= ' ' || path.p[i] > '~' || path.p[i] == '\\')
            return false;
    return true;
}

/* ---- answers ---- */

static void add(exchange_t *ex, fields_t *fields, const char *name, str_t value)
{
    fields_add(&ex->arena, fields, field_lookup(str_from(name)), str_from(name), value);
}

static void redirect(exchange_t *ex, str_t path, str_t set_cookie, str_t and_cookie)
{
    fields_t fields = {0};
    str_t origin = exchange_own_origin(ex);
    if (!is_local_path(path))
        path = STR("/");
    char *location = arena_alloc(&ex->arena, origin.n + path.n);
    memcpy(location, origin.p, origin.n);
    memcpy(location + origin.n, path.p, path.n);
    add(ex, &fields, "location", str_make(location, origin.n + path.n));
    exchange_add_own_fields(ex, &fields);
    add(ex, &fields, "referrer-policy", STR("no-referrer"));
    if (set_cookie.n != 0)
        add(ex, &fields, "set-cookie", set_cookie);
    if (and_cookie.n != 0)
        add(ex, &fields, "set-cookie", and_cookie);
    exchange_reply(ex, 303, STR("text/plain"), &fields, STR("Redirecting...\n"));
}

void signin_redirect(exchange_t *ex, str_t path, str_t set_cookie)
{
    redirect(ex, path, set_cookie, str_make(NULL, 0));
}

void signin_answer_signed_in(exchange_t *ex, str_t path)
{
    signin_redirect(ex, path, access_session_cookie(ex));
}

void signin_answer_redirect(exchange_t *ex, str_t path)
{
    signin_redirect(ex, path, str_make(NULL, 0));
}

/* Only the preview itself and the origins that it allows may frame the page; in other frames it takes no
 * secret. */
static str_t security_policy(exchange_t *ex, str_t nonce)
{
    str_t rest = str_format(&ex->arena, "; form-action 'self'; frame-ancestors 'self'%s%s",
                            ex->preview->allow_origins[0] != '\0' ? " " : "", ex->preview->allow_origins);
    return pages_script_csp(&ex->arena, nonce, rest);
}

static str_t new_nonce(exchange_t *ex)
{
    char *nonce = arena_alloc(&ex->arena, NONCE_DIGITS);
    random_hex(ex->context->random, nonce, NONCE_DIGITS);
    return str_make(nonce, NONCE_DIGITS);
}

static void answer_html(exchange_t *ex, int status, str_t policy, str_t page)
{
    fields_t fields = {0};
    exchange_add_own_fields(ex, &fields);
    /* With no-referrer, browsers would send the form with Origin: null. */
    add(ex, &fields, "referrer-policy", STR("same-origin"));
    add(ex, &fields, "x-content-type-options", STR("nosniff"));
    add(ex, &fields, "content-security-policy", policy);
    exchange_reply(ex, status, STR("text/html; charset=utf-8"), &fields, page);
}

/* Whether a page of another site may show the form in a frame. Only Referer names that site; without it, the
 * browser decides by the form's policy. */
static bool may_be_framed(exchange_t *ex)
{
    str_t allowed = str_from(ex->preview->allow_origins);
    str_t referer = fields_value(&ex->request.fields, FIELD_REFERER);
    size_t n = 0;
    for (int slashes = 0; n < referer.n; n++) /* "https://host:port", without the path */
        if (referer.p[n] == '/' && ++slashes == 3)
            break;
    return allowed.n != 0 &&
           (referer.n == 0 || origin_is_allowed(str_make(referer.p, n), exchange_own_origin(ex), allowed));
}

/* Whether a site that is not allowed frames the page, which then offers to open its own tab and takes no
 * secret. */
static bool in_foreign_frame(exchange_t *ex)
{
    str_t dest = fields_value(&ex->request.fields, FIELD_SEC_FETCH_DEST);
    str_t site = fields_value(&ex->request.fields, FIELD_SEC_FETCH_SITE);
    return (str_eq(dest, STR("iframe")) || str_eq(dest, STR("frame"))) &&
           (str_eq(site, STR("cross-site")) || str_eq(site, STR("same-site"))) && !may_be_framed(ex);
}

static void answer_page(exchange_t *ex, int status, str_t next, const char *problem)
{
    signin_page_t page = {
        .box = ex->preview->id,
        .port = ex->preview->port,
        .label = ex->preview->label,
        .action = SIGN_IN_PATH,
        .next = is_local_path(next) ? next : STR("/"),
        .bearer = ex->preview->bearer,
        .basic = ex->preview->basic,
        .problem = problem,
        .nonce = new_nonce(ex),
    };
    if (in_foreign_frame(ex))
        answer_html(ex, status, pages_script_csp(&ex->arena, page.nonce, STR("")),
                    signin_page_open_tab(&ex->arena, &page));
    else
        answer_html(ex, status, security_policy(ex, page.nonce), signin_page_form(&ex->arena, &page));
}

void signin_answer_page(exchange_t *ex, const char *problem)
{
    ex->local_code = "unauthorized";
    answer_page(ex, 401, ex->request.target, problem);
}

/* ---- the form ---- */

static str_t form_text(exchange_t *ex, str_t body, str_t name, size_t cap)
{
    char *out = arena_alloc(&ex->arena, cap);
    size_t len;
    return form_value(body, name, out, cap, &len) ? str_make(out, len) : str_make(NULL, 0);
}

static secret_check_t check_form(exchange_t *ex, str_t body, unsigned *retry_after, const char **problem)
{
    str_t token = form_text(ex, body, STR("token"), SECRET_PRESENTED_MAX);
    if (token.n != 0) {
        *problem = wrong_token;
        return access_check_bearer(ex, str_trim(token), retry_after);
    }
    str_t user = form_text(ex, body, STR("username"), SECRET_PRESENTED_MAX / 2);
    str_t password = form_text(ex, body, STR("password"), SECRET_PRESENTED_MAX / 2);
    *problem = wrong_password;
    if (user.n == 0 && password.n == 0) {
        *problem = "Enter the token that came with the address of this preview.";
        return SECRET_WRONG;
    }
    str_t both = str_format(&ex->arena, "%.*s:%.*s", STR_ARG(user), STR_ARG(password));
    return access_check_basic(ex, both, retry_after);
}

static void on_form(exchange_t *ex, str_t body, void *arg)
{
    (void)arg;
    unsigned retry_after = 0;
    const char *problem;
    str_t next = form_text(ex, body, STR("next"), NEXT_MAX);
    switch (check_form(ex, body, &retry_after, &problem)) {
    case SECRET_RIGHT:
        signin_answer_signed_in(ex, next);
        break;
    case SECRET_WRONG:
        exchange_measure_access(ex, MEASURE_ACCESS_wrong);
        ex->local_code = "unauthorized";
        answer_page(ex, 401, next, problem);
        break;
    case SECRET_LOCKED:
        exchange_measure_access(ex, MEASURE_ACCESS_locked);
        exchange_reply_error(ex, 429, "locked",
                             "Too many wrong credentials came from this address. Wait before the next try.",
                             retry_after);
        break;
    }
}

static void sign_out(exchange_t *ex, str_t body, void *arg)
{
    (void)body;
    (void)arg;
    str_t rest = fields_value(&ex->request.fields, FIELD_COOKIE), value;
    bool link = cookie_next(&rest, STR(SESSION_LINK_COOKIE), &value);
    redirect(ex, STR("/"), STR(SESSION_COOKIE COOKIE_ENDS),
             link ? STR(SESSION_LINK_COOKIE COOKIE_ENDS) : str_make(NULL, 0));
}

/* Accepts forms only from pages of this preview. Other previews are same-site, so the site is not enough. */
static bool comes_from_here(exchange_t *ex)
{
    browser_request_t browser = exchange_browser(ex);
    str_t origin = browser.origin, site = browser.sec_fetch_site;
    if (origin.n != 0 && !browser_hides_own_origin(&browser) &&
        !origin_is_allowed(origin, exchange_own_origin(ex), str_make(NULL, 0)))
        return false;
    return site.n == 0 || str_eq(site, STR("same-origin")) || str_eq(site, STR("none"));
}

static bool is_form(const exchange_t *ex)
{
    str_t type = fields_value(&ex->request.fields, FIELD_CONTENT_TYPE);
    str_t form = STR("application/x-www-form-urlencoded");
    return type.n >= form.n && str_ieq(str_make(type.p, form.n), form) &&
           (type.n == form.n || type.p[form.n] == ';' || type.p[form.n] == ' ');
}

bool signin_takes_form(exchange_t *ex)
{
    if (!comes_from_here(ex))
        exchange_reply_error(ex, 403, "cross_site", "This form is accepted only from the preview's own page.",
                             0);
    else if (!is_form(ex))
        exchange_reply_error(ex, 415, "unsupported_media_type",
                             "Send the form as application/x-www-form-urlencoded.", 0);
    else
        return true;
    return false;
}

static void answer_post(exchange_t *ex, local_handler_t handler)
{
    if (handler == on_form && !signin_takes_form(ex))
        return;
    if (!comes_from_here(ex))
        exchange_reply_error(ex, 403, "cross_site", "This form is accepted only from the preview's own page.",
                             0);
    else
        local_collect(ex, FORM_BYTES, handler, NULL);
}

void signin_answer_method(exchange_t *ex)
{
    fields_t fields = {0};
    add(ex, &fields, "allow", STR("GET, HEAD, POST"));
    exchange_reply_error_with(ex, 405, "method_not_allowed", "Use GET, HEAD or POST.", &fields);
}

void signin_answer_reserved(exchange_t *ex)
{
    bool in = str_eq(path_of(ex), STR(SIGN_IN_PATH)), out = str_eq(path_of(ex), STR(SIGN_OUT_PATH));
    bool get = str_eq(ex->request.method, STR("GET")) || str_eq(ex->request.method, STR("HEAD"));
    bool link = str_eq(path_of(ex), STR(LINK_PATH)), is_private = ex->preview->bearer || ex->preview->basic;
    bool here = (in && ex->preview->bearer) || ((out || link) && is_private);
    if (!here || ex->request.websocket) {
        exchange_reply_error(ex, 404, "not_found", RESERVED_NOTHING, 0);
    } else if (!remote_is_https(ex)) {
        exchange_reply_error(ex, 403, "tls_required", "Sign in over https.", 0);
    } else if (link) {
        links_answer(ex);
    } else if (str_eq(ex->request.method, STR("POST"))) {
        answer_post(ex, in ? on_form : sign_out);
    } else if (!get) {
        signin_answer_method(ex);
    } else if (in) {
        answer_page(ex, 200, STR("/"), NULL);
    } else {
        answer_html(ex, 200, security_policy(ex, new_nonce(ex)),
                    signin_page_sign_out(&ex->arena, ex->preview->id, ex->preview->port, SIGN_OUT_PATH));
    }
}
