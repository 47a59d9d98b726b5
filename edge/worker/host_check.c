#include "host_check.h"

#include "arena.h"
#include "context.h"
#include "exchange_browser.h"
#include "host_signature.h"
#include "shm.h"
#include "target.h"
#include "withheld.h"

/* Whether no mode was asked for, or the one that tries. */
static bool is_open(const exchange_t *ex)
{
    host_header_t asked = ex->preview->host_header;
    return (asked == HOST_HEADER_DEFAULT || asked == HOST_HEADER_AUTO) && ex->routed && ex->target.is_box;
}

static void note(exchange_t *ex, host_mode_t mode)
{
    shm_t *shm = ex->context->shm;
    if (shm != NULL)
        host_modes_put(shm_host_modes(shm),
                       shm_host_key(shm, str_from(ex->box.id), ex->box.generation, ex->preview->port), mode);
}

/* Sends the request again, with `mode`. */
static void try_mode(exchange_t *ex, host_mode_t mode)
{
    ex->tries_host = true;
    ex->host_mode = mode;
    target_box(ex);
    target_start(ex);
}

/* ---- the page ---- */

/* "boxedge preview update BOX PORT --host-header …"; a visitor who knows only the alias gets no id. */
static str_t command(exchange_t *ex)
{
    const char *box = ex->preview->alias[0] == '\0' ? ex->preview->id : "BOX";
    return str_format(&ex->arena, "boxedge preview update %s %u --host-header localhost", box,
                      ex->preview->port);
}

static void answer(exchange_t *ex, const host_signature_t *signature, str_t body)
{
    char quote[HOST_SIGNATURE_QUOTE];
    str_t said = host_signature_quote(signature, body, quote);
    host_remedy_t remedy = host_signature_remedy(signature);
    const char *domain = remedy.after != NULL ? ex->context->conf->preview_domain : "";
    str_t sentence =
        str_format(&ex->arena, "The app in the box (%s) accepts no requests for this host name.%c",
                   host_signature_server(signature), '\0');
    str_t advice =
        ex->tries_host || ex->host_mode != HOST_MODE_PUBLIC
            ? STR("The edge has tried localhost, too.")
            : str_format(&ex->arena, "Or let the edge name it localhost: %.*s.", STR_ARG(command(ex)));
    str_t detail =
        str_format(&ex->arena, "It said: \"%.*s\". In %s: %s%s%s. %.*s%c", STR_ARG(said), remedy.file,
                   remedy.before, domain, remedy.after != NULL ? remedy.after : "", STR_ARG(advice), '\0');
    ex->detail = detail.p;
    exchange_reply_error(ex, 403, "host_refused", sentence.p, 0);
}

/* ---- the verdict ---- */

/* The next mode to try; HOST_MODE_PUBLIC: none. */
static host_mode_t next_mode(const exchange_t *ex)
{
    if (!store_tries_hosts(ex->preview, ex->box.provider))
        return HOST_MODE_PUBLIC;
    switch (ex->host_mode) {
    case HOST_MODE_PUBLIC:
        return HOST_MODE_LOCALHOST;
    case HOST_MODE_LOCALHOST:
        return HOST_MODE_BARE;
    case HOST_MODE_BARE:
        break;
    }
    return HOST_MODE_PUBLIC;
}

static withheld_verdict_t judge(exchange_t *ex, str_t begin, bool whole)
{
    const host_signature_t *found;
    switch (host_signature_match(&ex->response, begin, whole, &found)) {
    case HOST_MATCH_MORE:
        return WITHHELD_MORE;
    case HOST_MATCH_NONE:
        if (ex->tries_host)
            note(ex, ex->host_mode);
        return WITHHELD_PASSES;
    case HOST_MATCH_FOUND:
        break;
    }
    host_mode_t next = next_mode(ex);
    if (next != HOST_MODE_PUBLIC) {
        withheld_give_up(ex);
        try_mode(ex, next);
        return WITHHELD_TAKEN;
    }
    if (ex->host_mode != HOST_MODE_PUBLIC) /* the next navigation begins anew */
        note(ex, HOST_MODE_PUBLIC);
    answer(ex, found, begin);
    return WITHHELD_TAKEN;
}

bool host_check_judge_head(exchange_t *ex)
{
    if (!is_open(ex))
        return true;
    if (host_signature_possible(&ex->response)) {
        browser_request_t browser = exchange_browser(ex);
        host_header_t mode = store_host_header(ex->preview, ex->box.provider);
        bool known = mode == HOST_HEADER_AUTO || store_keeps_log(ex->box.provider);
        if (known && browser_is_navigation(&browser) && !ex->request.has_body) {
            withheld_begin(ex, HOST_SIGNATURE_BYTES, judge);
            return true;
        }
    }
    if (ex->tries_host && (ex->response.tunnel || !ex->request.websocket))
        note(ex, ex->host_mode);
    return true;
}

bool host_check_origin_left(exchange_t *ex, const origin_failure_t *failure)
{
    if (failure == NULL || *failure != ORIGIN_BAD_RESPONSE || !ex->request.websocket ||
        ex->state != EXCHANGE_ORIGIN || !is_open(ex) || ex->host_mode != HOST_MODE_PUBLIC ||
        !store_tries_hosts(ex->preview, ex->box.provider) ||
        !host_signature_of_handshake(ex->request.target, ex->odd_answer))
        return true;
    ex->detail = ex->cause = NULL; /* the first answer was no fault of the app */
    /* Its server actions compare X-Forwarded-Host with the origin, which is localhost then. */
    try_mode(ex, HOST_MODE_BARE);
    return false;
}
