/*
 * The access step. It gathers the credentials of a request and carries out the verdict on them (verdict.h).
 * For a protected preview it removes the edge's own forms (session cookie, X-Preview-Token, preview_token)
 * and a matching Authorization, so that the box never sees them. Any other Authorization belongs to the app
 * and stays.
 */
#include "access.h"
#include "exchange_browser.h"
#include "exchange_measure.h"

#include <assert.h>
#include <stdatomic.h>

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include "arena.h"
#include "browser.h"
#include "client.h"
#include "cookie.h"
#include "credentials.h"
#include "rate.h"
#include "request_head.h"
#include "session.h"
#include "signin.h"
#include "siphash.h"
#include "verdict.h"
#include "wake_page.h"
#include "worker.h"

/* Preflights of one client for one preview: a burst of PREFLIGHT_BURST, then one every PREFLIGHT_INTERVAL_MS.
 *  */
#define PREFLIGHT_BURST       100
#define PREFLIGHT_INTERVAL_MS 50
#define PREFLIGHT_CELLS       4096
/* Maximum session cookies of one request that are checked. */
#define SESSION_TRIES 8

#define TOKEN_PARAMETER STR("preview_token")

/* Sessions of links whose signature was right, so that the next request of the same browser costs less. A
 * version belongs to one preview, and thus to one host. */
#define SEEN_SESSIONS 64
typedef struct seen_session {
    uint64_t epoch; /* of the keys */
    uint64_t version;
    session_link_t session;
    size_t n; /* 0: empty */
    char text[SESSION_LINK_TEXT_MAX];
} seen_session_t;

struct access {
    store_t *store;
    const _Atomic uint64_t *epoch;
    lockout_t *lockout;
    uint64_t keys_epoch; /* at which `keys` was read */
    bool keys_known;
    store_cookie_keys_t keys;
    uint64_t preflights[PREFLIGHT_CELLS]; /* rate_take cells; clients in one cell share its rate */
    siphash_key_t hash_key;
    seen_session_t seen[SEEN_SESSIONS]; /* by the end of their signature */
};

access_t *access_new(store_t *store, const _Atomic uint64_t *epoch, lockout_t *lockout)
{
    access_t *access = calloc(1, sizeof(*access));
    assert(access != NULL);
    access->store = store;
    access->epoch = epoch;
    access->lockout = lockout;
    access->keys_epoch = UINT64_MAX;
    int made = RAND_bytes((unsigned char *)&access->hash_key, sizeof(access->hash_key));
    assert(made == 1);
    return access;
}

void access_free(access_t **access)
{
    if (*access != NULL)
        OPENSSL_cleanse(*access, sizeof(**access));
    free(*access);
    *access = NULL;
}

/* The current keys that sign cookies. False if the store has none or cannot be read: then no session is
 * valid, and none is made. */
static bool session_keys(access_t *access, session_keys_t *keys)
{
    uint64_t epoch = atomic_load_explicit(access->epoch, memory_order_acquire);
    if (epoch != access->keys_epoch) {
        access->keys_known = store_get_cookie_keys(access->store, &access->keys) == STORE_OK;
        access->keys_epoch = epoch;
    }
    memcpy(keys->current, access->keys.current, sizeof(keys->current));
    memcpy(keys->previous, access->keys.previous, sizeof(keys->previous));
    return access->keys_known;
}

bool access_reads_details(const exchange_t *ex)
{
    bool is_protected = ex->preview->bearer || ex->preview->basic;
    if (is_protected && ex->preflight) /* it passed without credentials */
        return false;
    switch (ex->context->conf->failure_details) {
    case CONF_DETAILS_EVERYONE:
        return true;
    case CONF_DETAILS_AUTHENTICATED:
        return is_protected;
    case CONF_DETAILS_NOBODY:
        break;
    }
    return false;
}

bool access_take_preflight(exchange_t *ex)
{
    access_t *access = worker_of(ex->context)->access;
    struct {
        struct in6_addr client;
        uint64_t preview;
    } key = {*remote_address(ex), ex->preview->version};
    uint64_t hash = siphash(&access->hash_key, &key, sizeof(key));
    if (rate_take(&access->preflights[hash % PREFLIGHT_CELLS], loop_now(ex->context->loop),
                  PREFLIGHT_INTERVAL_MS, PREFLIGHT_BURST))
        return true;
    exchange_reply_error(ex, 429, "too_many_preflights", "Too many preflights; try again shortly.", 1);
    return false;
}

/* ---- sessions ---- */

/* The host that sessions are bound to: "<id>-<port>.<domain>". */
static str_t session_host(exchange_t *ex)
{
    return str_format(&ex->arena, "%s-%u.%s", ex->preview->id, ex->preview->port,
                      ex->context->conf->preview_domain);
}

static uint64_t now_unix(const exchange_t *ex)
{
    return loop_wall_us(ex->context->loop) / 1000000;
}

str_t access_session_cookie(exchange_t *ex)
{
    session_keys_t keys;
    char value[SESSION_TEXT_MAX];
    if (!session_keys(worker_of(ex->context)->access, &keys))
        return str_make(NULL, 0);
    size_t n =
        session_make(&keys, session_host(ex), ex->preview->version, now_unix(ex) + SESSION_SECONDS, value);
    return str_format(&ex->arena, "%s=%.*s; Path=/; Secure; HttpOnly; SameSite=None; Partitioned; Max-Age=%d",
                      SESSION_COOKIE, (int)n, value, SESSION_SECONDS);
}

str_t access_link_cookie(exchange_t *ex, session_link_t *session)
{
    session_keys_t keys;
    char value[SESSION_LINK_TEXT_MAX];
    uint64_t now = now_unix(ex), end = now + SESSION_SECONDS;
    if (session->expires > end)
        session->expires = end;
    if (!session_keys(worker_of(ex->context)->access, &keys))
        return str_make(NULL, 0);
    size_t n = session_link_make(&keys, session_host(ex), ex->preview->version, session, value);
    unsigned left = session->expires > now ? (unsigned)(session->expires - now) : 0;
    return str_format(&ex->arena, "%s=%.*s; Path=/; Secure; HttpOnly; SameSite=None; Partitioned; Max-Age=%u",
                      SESSION_LINK_COOKIE, (int)n, value, left);
}

/* Sessions need TLS: their cookie is Secure. */
bool access_own_session(exchange_t *ex)
{
    str_t rest = fields_value(&ex->request.fields, FIELD_COOKIE), value;
    session_keys_t keys;
    if (!remote_is_https(ex) || rest.n == 0)
        return false;
    bool keyed = false;
    for (int tries = 0; tries < SESSION_TRIES && cookie_next(&rest, STR(SESSION_COOKIE), &value); tries++) {
        if (!keyed && !session_keys(worker_of(ex->context)->access, &keys))
            return false;
        keyed = true;
        if (session_valid(&keys, session_host(ex), ex->preview->version, now_unix(ex), value))
            return true;
    }
    return false;
}

static bool read_link_session(exchange_t *ex, const session_keys_t *keys, str_t value, session_link_t *out)
{
    access_t *access = worker_of(ex->context)->access;
    uint64_t tail, version = ex->preview->version, now = now_unix(ex);
    if (value.n < sizeof(tail) || value.n >= SESSION_LINK_TEXT_MAX)
        return false;
    memcpy(&tail, value.p + value.n - sizeof(tail), sizeof(tail));
    seen_session_t *seen = &access->seen[(tail ^ tail >> 32) % SEEN_SESSIONS];
    if (seen->n == value.n && seen->version == version && seen->epoch == access->keys_epoch &&
        CRYPTO_memcmp(seen->text, value.p, value.n) == 0) {
        *out = seen->session;
        return out->expires > now;
    }
    if (!session_link_read(keys, session_host(ex), version, now, value, out))
        return false;
    *seen = (seen_session_t){.epoch = access->keys_epoch, .version = version, .session = *out, .n = value.n};
    memcpy(seen->text, value.p, value.n);
    return true;
}

bool access_link_session(exchange_t *ex, link_use_t *use)
{
    str_t rest = fields_value(&ex->request.fields, FIELD_COOKIE), value;
    session_keys_t keys;
    session_link_t session;
    if (!remote_is_https(ex) || rest.n == 0 ||
        memmem(rest.p, rest.n, SESSION_LINK_COOKIE, sizeof(SESSION_LINK_COOKIE) - 1) == NULL ||
        !session_keys(worker_of(ex->context)->access, &keys))
        return false;
    for (int tries = 0; tries < SESSION_TRIES && cookie_next(&rest, STR(SESSION_LINK_COOKIE), &value);
         tries++)
        if (read_link_session(ex, &keys, value, &session) && links_judge(ex, &session, use) == LINKS_LIVE)
            return true;
    return false;
}

/* Filter: removes the edge's cookies, and a Cookie field that holds no other. */
static bool keep_other_cookies(field_t *field, void *arg)
{
    exchange_t *ex = arg;
    if (field->id != FIELD_COOKIE || memmem(field->value.p, field->value.n, SESSION_COOKIE, 14) == NULL)
        return true;
    char *out = arena_alloc(request_head_pool(ex, field->value.n), field->value.n);
    field->value = str_make(out, cookie_remove(field->value, STR(SESSION_COOKIE), out, field->value.n));
    if (memmem(field->value.p, field->value.n, SESSION_LINK_COOKIE, sizeof(SESSION_LINK_COOKIE) - 1) != NULL)
        field->value.n = cookie_remove(field->value, STR(SESSION_LINK_COOKIE), out, field->value.n);
    return field->value.n != 0;
}

static void strip_session_cookie(exchange_t *ex)
{
    fields_filter(&ex->request.fields, keep_other_cookies, ex);
}

/* ---- secrets ---- */

static verdict_secrets_t secrets_of(const store_preview_t *preview)
{
    return (verdict_secrets_t){.bearer = preview->bearer ? preview->bearer_sha256 : NULL,
                               .basic = preview->basic ? preview->basic_sha256 : NULL};
}

static verdict_guard_t guard_of(const exchange_t *ex)
{
    browser_request_t browser = exchange_browser(ex);
    browser.sec_purpose = exchange_purpose(ex);
    return (verdict_guard_t){.lockout = worker_of(ex->context)->access->lockout,
                             .lockouts = &exchange_measures(ex)->lockouts,
                             .client = remote_address(ex),
                             .preview = ex->preview->version,
                             .embedded = browser_is_embedded(&browser),
                             .now_ms = loop_now(ex->context->loop)};
}

secret_check_t access_check_bearer(const exchange_t *ex, str_t token, unsigned *retry_after)
{
    verdict_guard_t guard = guard_of(ex);
    return secret_check(&guard, token, secrets_of(ex->preview).bearer, retry_after);
}

secret_check_t access_check_basic(const exchange_t *ex, str_t user_password, unsigned *retry_after)
{
    verdict_guard_t guard = guard_of(ex);
    return secret_check(&guard, user_password, secrets_of(ex->preview).basic, retry_after);
}

secret_check_t access_check_link(const exchange_t *ex, str_t secret, const uint8_t *sha256,
                                 unsigned *retry_after)
{
    verdict_guard_t guard = guard_of(ex);
    return secret_check(&guard, secret, sha256, retry_after);
}

static bool is_other(field_t *field, void *arg)
{
    return field->id != *(const field_id_t *)arg;
}

static void remove_fields(exchange_t *ex, field_id_t id)
{
    fields_filter(&ex->request.fields, is_other, &id);
}

static void look_at_authorization(exchange_t *ex, verdict_shown_t *shown)
{
    const field_t *field = fields_find(&ex->request.fields, FIELD_AUTHORIZATION);
    if (field == NULL)
        return;
    char *out = arena_alloc(request_head_pool(ex, field->value.n), field->value.n + 1);
    str_t secret;
    authorization_scheme_t scheme = authorization_parse(field->value, out, field->value.n + 1, &secret);
    if (scheme == AUTHORIZATION_BEARER && ex->preview->bearer) {
        shown->authorization = secret;
    } else if (scheme == AUTHORIZATION_BASIC && ex->preview->basic) {
        shown->authorization = secret;
        shown->basic = true;
    }
}

/* In previews with a bearer token the edge owns the parameter, and cuts it from every request. */
static void take_query_token(exchange_t *ex, verdict_shown_t *shown, bool navigation)
{
    str_t target = ex->request.target;
    if (!ex->preview->bearer || memchr(target.p, '?', target.n) == NULL)
        return;
    char *out = arena_alloc(request_head_pool(ex, target.n), target.n);
    char *value = arena_alloc(&ex->arena, SECRET_PRESENTED_MAX + 1);
    size_t out_len, value_len;
    if (!query_take(target, TOKEN_PARAMETER, out, &out_len, value, SECRET_PRESENTED_MAX, &value_len))
        return;
    ex->request.target = str_make(out, out_len);
    if (navigation && remote_is_https(ex))
        shown->query = str_make(value, value_len);
}

/* ---- answers ---- */

static step_result_t answer_locked(exchange_t *ex, unsigned retry_after)
{
    exchange_reply_error(ex, 429, "locked",
                         "Too many wrong credentials came from this address. Wait before the next try.",
                         retry_after);
    return STEP_DONE;
}

static step_result_t answer_unauthorized(exchange_t *ex, bool navigation, const char *problem)
{
    if (navigation && ex->preview->bearer && remote_is_https(ex)) {
        signin_answer_page(ex, problem);
        return STEP_DONE;
    }
    fields_t fields = {0};
    str_t host = session_host(ex);
    if (ex->preview->basic)
        fields_add(&ex->arena, &fields, FIELD_OTHER, STR("www-authenticate"),
                   str_format(&ex->arena, "Basic realm=\"%.*s\", charset=\"UTF-8\"", STR_ARG(host)));
    if (ex->preview->bearer && !navigation)
        fields_add(&ex->arena, &fields, FIELD_OTHER, STR("www-authenticate"),
                   str_format(&ex->arena, "Bearer realm=\"%.*s\"", STR_ARG(host)));
    if (problem == NULL)
        problem = navigation && ex->preview->bearer
                      ? "This preview asks for a token. Open it over https to sign in."
                      : "This preview asks for credentials.";
    exchange_reply_error_with(ex, 401, "unauthorized", problem, &fields);
    return STEP_DONE;
}

static step_result_t answer_cross_site(exchange_t *ex)
{
    exchange_reply_error(
        ex, 403, "cross_site",
        "Requests from other sites need more than a session. Send the token, or allow the origin.", 0);
    return STEP_DONE;
}

/* ---- the step ---- */

/* A preflight carries no credentials by design (Fetch standard): it passes without them, and the edge removes
 * any. An app that ignores methods answers it like a GET; access_judge_head keeps that body back. */
static step_result_t pass_preflight(exchange_t *ex)
{
    if (!access_take_preflight(ex))
        return STEP_DONE;
    remove_fields(ex, FIELD_AUTHORIZATION);
    remove_fields(ex, FIELD_COOKIE);
    remove_fields(ex, FIELD_X_PREVIEW_TOKEN);
    ex->preflight = true;
    return STEP_NEXT;
}

static verdict_t judge(exchange_t *ex, const verdict_shown_t *shown, const browser_request_t *browser,
                       bool session)
{
    verdict_secrets_t secrets = secrets_of(ex->preview);
    if (session)
        return verdict_of_session(shown, &secrets, browser, exchange_own_origin(ex),
                                  str_from(ex->preview->allow_origins));
    verdict_guard_t guard = guard_of(ex);
    return verdict_of_secrets(shown, &secrets, &guard);
}

static step_result_t carry_out(exchange_t *ex, const verdict_t *verdict, bool navigation)
{
    if (verdict->own_authorization)
        remove_fields(ex, FIELD_AUTHORIZATION);
    switch (verdict->kind) {
    case VERDICT_PASS:
        return STEP_NEXT;
    case VERDICT_SIGN_IN:
        signin_answer_signed_in(ex, ex->request.target);
        return STEP_DONE;
    case VERDICT_DROP_TOKEN:
        signin_answer_redirect(ex, ex->request.target);
        return STEP_DONE;
    case VERDICT_CROSS_SITE:
        exchange_measure_access(ex, MEASURE_ACCESS_cross_site);
        return answer_cross_site(ex);
    case VERDICT_MISSING:
        exchange_measure_access(ex, MEASURE_ACCESS_missing);
        return answer_unauthorized(ex, navigation, NULL);
    case VERDICT_WRONG:
        exchange_measure_access(ex, MEASURE_ACCESS_wrong);
        return answer_unauthorized(ex, navigation, "These credentials are not valid for this preview.");
    case VERDICT_LOCKED:
        exchange_measure_access(ex, MEASURE_ACCESS_locked);
        return answer_locked(ex, verdict->retry_after);
    }
    return STEP_DONE;
}

/* A link's session opens the preview, unless the request shows stronger credentials. */
static bool begin_link(exchange_t *ex)
{
    link_use_t use;
    if (!access_link_session(ex, &use))
        return false;
    ex->link = arena_alloc(&ex->arena, sizeof(use));
    *ex->link = use;
    return true;
}

static step_result_t open_protected(exchange_t *ex)
{
    browser_request_t browser = exchange_browser(ex);
    bool navigation = browser_is_navigation(&browser);
    verdict_shown_t shown = {0};
    take_query_token(ex, &shown, navigation);
    if (browser_is_preflight(&browser))
        return pass_preflight(ex);
    if (ex->preview->bearer)
        shown.token = fields_value(&ex->request.fields, FIELD_X_PREVIEW_TOKEN);
    look_at_authorization(ex, &shown);
    bool own = access_own_session(ex), session = own || begin_link(ex);
    strip_session_cookie(ex);
    remove_fields(ex, FIELD_X_PREVIEW_TOKEN);
    verdict_t verdict = judge(ex, &shown, &browser, session);
    if (verdict.by_secret) /* stronger than a link */
        ex->link = NULL;
    if (verdict.kind == VERDICT_PASS && links_refuse(ex))
        return STEP_DONE;
    /* A navigation with a right password begins a session. */
    if (!own && ex->link == NULL && verdict.kind == VERDICT_PASS && navigation && shown.basic &&
        remote_is_https(ex))
        ex->session_cookie = access_session_cookie(ex);
    return carry_out(ex, &verdict, navigation);
}

bool access_is_events_request(const exchange_t *ex)
{
    str_t target = ex->request.target, path = STR(WAKE_EVENTS_PATH);
    return str_starts(target, path) && (target.n == path.n || target.p[path.n] == '?');
}

step_result_t step_access(exchange_t *ex)
{
    bool is_protected = ex->preview->bearer || ex->preview->basic;
    if (str_starts(ex->request.target, STR(RESERVED_PATH)) && !access_is_events_request(ex)) {
        signin_answer_reserved(ex);
        return STEP_DONE;
    }
    if (is_protected)
        return open_protected(ex);
    strip_session_cookie(ex);
    return STEP_NEXT;
}

bool access_judge_head(exchange_t *ex)
{
    if (!ex->preflight || ex->response.bodyless)
        return true;
    fields_t fields = ex->response.fields;
    exchange_reply(ex, ex->response.status, STR(""), &fields, STR(""));
    return false;
}

void access_response_head(exchange_t *ex)
{
    if (ex->session_cookie.n == 0)
        return;
    fields_add(&ex->arena, &ex->response.fields, FIELD_SET_COOKIE, STR("set-cookie"), ex->session_cookie);
    /* Regardless of the app's caching policy: no cache may give one person's session to others. */
    fields_add(&ex->arena, &ex->response.fields, FIELD_OTHER, STR("cache-control"), STR("private"));
}
