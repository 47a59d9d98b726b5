/*
 * The exchange of a link's secret for a session (docs/access.md, "Links"). The controller counts the session,
 * so that a link that opens once opens once on all workers.
 */
#include <assert.h>

#include "access.h"
#include "arena.h"
#include "client.h"
#include "exchange_measure.h"
#include "form.h"
#include "link_message.h"
#include "link_page.h"
#include "links.h"
#include "list.h"
#include "local.h"
#include "pages.h"
#include "preview_client.h"
#include "signin.h"
#include "step.h"
#include "worker.h"

/* Maximum bytes of the form's body. */
#define FORM_BYTES 1024

/* A link that is being opened, in the exchange's arena. */
typedef struct opening {
    exchange_t *ex;
    preview_request_t request;
    store_link_t link;
} opening_t;

static void add(exchange_t *ex, fields_t *fields, const char *name, str_t value)
{
    fields_add(&ex->arena, fields, field_lookup(str_from(name)), str_from(name), value);
}

static void answer_ended(exchange_t *ex)
{
    exchange_reply_error(
        ex, 404, "link_not_found",
        "The link has ended, was used before, or is not complete. Ask its sender for another one.", 0);
}

static void answer_unavailable(exchange_t *ex)
{
    exchange_reply_error(ex, 503, "store_unavailable", "The edge cannot read its store right now.", 5);
}

static void left(void *arg)
{
    opening_t *opening = arg;
    preview_client_leave(&opening->request);
}

static void on_opened(preview_request_t *request, const preview_answer_t *answer)
{
    opening_t *opening = CONTAINER_OF(opening_t, request, request);
    exchange_t *ex = opening->ex;
    link_answer_t opened;
    local_wait_end(ex);
    if (answer == NULL) {
        exchange_reply_error(
            ex, 503, "controller_unavailable",
            "The edge cannot open links right now. A link that opens once may have been used: if it says so, "
            "ask its sender for another one.",
            5);
    } else if (answer->status == 200 && link_answer_read(answer, &opened)) {
        session_link_t session = {.link = opened.link, .number = opened.number, .expires = opened.expires_at};
        signin_redirect(ex, str_from(opening->link.path), access_link_cookie(ex, &session));
    } else if (answer->status == 404) {
        answer_ended(ex);
    } else {
        const char *code = str_dup(&ex->arena, str_make(answer->code, strlen(answer->code) + 1)).p;
        exchange_reply_error(ex, answer->status, code, answer->sentence, answer->status == 503 ? 1 : 0);
    }
}

static void open_it(exchange_t *ex, const store_link_t *link)
{
    if (!links_take(ex, link->id)) {
        exchange_reply_error(ex, 429, "link_busy", "This link was opened too often; try again shortly.", 1);
        return;
    }
    opening_t *opening = arena_alloc(&ex->arena, sizeof(*opening));
    *opening = (opening_t){.ex = ex, .link = *link};
    link_call_t call = {.op = LINK_OPEN, .link = link->id, .port = link->port};
    memcpy(call.box, link->box, sizeof(call.box));
    local_wait(ex, left, opening);
    preview_client_request_link(worker_of(ex->context)->preview_client, &opening->request, &call, on_opened);
}

/* The page with the button. Its address has the secret, which no Referer may carry; with no-referrer,
 * browsers would send the form with Origin: null. */
static void answer_page(exchange_t *ex, const store_link_t *link, str_t key)
{
    fields_t fields = {0};
    link_page_t page = {.box = link->alias[0] != '\0' ? "" : link->box,
                        .port = link->port,
                        .label = link->label,
                        .action = LINK_PATH,
                        .key = key};
    exchange_add_own_fields(ex, &fields);
    add(ex, &fields, "referrer-policy", STR("strict-origin"));
    add(ex, &fields, "x-content-type-options", STR("nosniff"));
    add(ex, &fields, "content-security-policy", STR(LINK_PAGE_CSP));
    exchange_reply(ex, 200, STR("text/html; charset=utf-8"), &fields, link_page(&ex->arena, &page));
}

/* The link of a key whose secret is right, which may have ended. False: answered. */
static bool find_link(exchange_t *ex, str_t key, store_link_t *link)
{
    uint64_t id;
    str_t secret;
    unsigned retry_after = 0;
    if (!link_key_read(key, &id, &secret)) {
        answer_ended(ex);
        return false;
    }
    store_result_t result =
        store_get_link(worker_of(ex->context)->store, str_from(ex->preview->id), ex->preview->port, id, link);
    if (result != STORE_OK && result != STORE_NOT_FOUND) {
        answer_unavailable(ex);
        return false;
    }
    switch (access_check_link(ex, secret, result == STORE_OK ? link->sha256 : NULL, &retry_after)) {
    case SECRET_RIGHT:
        return true;
    case SECRET_WRONG:
        exchange_measure_access(ex, MEASURE_ACCESS_wrong);
        answer_ended(ex);
        break;
    case SECRET_LOCKED:
        exchange_measure_access(ex, MEASURE_ACCESS_locked);
        exchange_reply_error(ex, 429, "locked",
                             "Too many wrong credentials came from this address. Wait before the next try.",
                             retry_after);
        break;
    }
    return false;
}

/* Whether this browser needs no new session: the preview's own is stronger, and one of the link is enough. */
static bool has_session(exchange_t *ex, const store_link_t *link)
{
    link_use_t use;
    return access_own_session(ex) || (access_link_session(ex, &use) && use.id == link->id);
}

static bool has_ended(const exchange_t *ex, const store_link_t *link)
{
    return !store_link_lives(link, ex->preview->version, loop_wall_us(ex->context->loop) / 1000000);
}

static void on_form(exchange_t *ex, str_t body, void *arg)
{
    char key[LINK_KEY_LEN + 1];
    size_t len = 0;
    store_link_t link;
    (void)arg;
    if (!form_value(body, STR("key"), key, LINK_KEY_LEN, &len))
        len = 0;
    if (!find_link(ex, str_make(key, len), &link))
        return;
    if (has_ended(ex, &link))
        answer_ended(ex);
    else if (has_session(ex, &link))
        signin_redirect(ex, str_from(link.path), str_make(NULL, 0));
    else
        open_it(ex, &link);
}

static void answer_get(exchange_t *ex)
{
    str_t key = ex->request.target, before = STR(LINK_PATH "?key=");
    bool head = str_eq(ex->request.method, STR("HEAD"));
    store_link_t link;
    key = str_starts(key, before) ? str_from_offset(key, before.n) : str_make(NULL, 0);
    if (!find_link(ex, key, &link))
        return;
    if (has_ended(ex, &link))
        answer_ended(ex);
    else if (has_session(ex, &link))
        signin_redirect(ex, str_from(link.path), str_make(NULL, 0));
    else if (link.once && link.opened != 0)
        answer_ended(ex);
    else if (link.once)
        answer_page(ex, &link, key);
    else if (head)
        signin_redirect(ex, str_from(link.path), str_make(NULL, 0));
    else
        open_it(ex, &link);
}

void links_answer(exchange_t *ex)
{
    str_t method = ex->request.method;
    if (str_eq(method, STR("POST"))) {
        if (signin_takes_form(ex))
            local_collect(ex, FORM_BYTES, on_form, NULL);
    } else if (str_eq(method, STR("GET")) || str_eq(method, STR("HEAD"))) {
        answer_get(ex);
    } else {
        signin_answer_method(ex);
    }
}

/* ---- links for reading ---- */

/* Fields by which a client asks an app to take a request for one of another method. */
static bool names_no_method(field_t *field, void *arg)
{
    static const str_t names[] = {
        {"x-http-method-override", 22}, {"x-http-method", 13}, {"x-method-override", 17}};
    (void)arg;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (str_ieq(field->name, names[i]))
            return false;
    return true;
}

bool links_refuse(exchange_t *ex)
{
    str_t method = ex->request.method;
    if (ex->link == NULL || !ex->link->read_only)
        return false;
    fields_filter(&ex->request.fields, names_no_method, NULL);
    if (ex->request.websocket) {
        if (ex->link->allow_websocket)
            return false;
        exchange_reply_error(ex, 403, "link_reads_only", "The link to this preview opens no WebSockets.", 0);
        return true;
    }
    if (str_eq(method, STR("GET")) || str_eq(method, STR("HEAD")) || str_eq(method, STR("OPTIONS")))
        return false;
    fields_t fields = {0};
    add(ex, &fields, "allow", STR("GET, HEAD, OPTIONS"));
    exchange_reply_error_with(ex, 405, "link_reads_only",
                              "The link to this preview is for reading: it allows GET, HEAD and OPTIONS.",
                              &fields);
    return true;
}
