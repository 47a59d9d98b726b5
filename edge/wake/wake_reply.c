#include "wake_reply.h"

#include <assert.h>

#include "access.h"
#include "arena.h"
#include "exchange_browser.h"
#include "wake_page.h"
#include "worker.h"

#define NONCE_DIGITS 32
/* In seconds: a sleeping box does not change by itself. */
#define ASLEEP_RETRY_S 60

bool wake_reply_is_navigation(const exchange_t *ex)
{
    browser_request_t browser = exchange_browser(ex);
    return browser_is_navigation(&browser);
}

static void add(exchange_t *ex, fields_t *fields, str_t name, str_t value)
{
    fields_add(&ex->arena, fields, field_lookup(name), name, value);
}

static void reply(exchange_t *ex, const char *code, wake_page_t page, unsigned retry_after)
{
    char *nonce = arena_alloc(&ex->arena, NONCE_DIGITS);
    random_hex(ex->context->random, nonce, NONCE_DIGITS);
    page.nonce = str_make(nonce, NONCE_DIGITS);
    page.box = ex->preview->id;
    page.port = ex->preview->port;
    page.request_id = ex->request_id;
    page.has_log = store_keeps_log(ex->box.provider);
    fields_t fields = {0};
    add(ex, &fields, STR("retry-after"), str_decimal(&ex->arena, retry_after));
    add(ex, &fields, STR("content-security-policy"), wake_page_policy(&ex->arena, page.nonce));
    add(ex, &fields, STR("x-content-type-options"), STR("nosniff"));
    /* The page's own requests need access too, and a correct password has just opened a session. */
    if (ex->session_cookie.n != 0)
        add(ex, &fields, STR("set-cookie"), ex->session_cookie);
    exchange_reply_page(ex, 503, code, &fields, wake_page(&ex->arena, &page));
}

void wake_reply_page(exchange_t *ex, wake_stage_t stage, uint64_t elapsed_ms)
{
    wake_page_t page = {.stage = stage, .elapsed_ms = elapsed_ms};
    reply(ex, "waking", page, WAKE_RETRY_AFTER_S);
}

/* The sentence for this client: with the box's output, or without. */
static const char *readable(exchange_t *ex, const char *sentence)
{
    size_t first = strcspn(sentence, (char[]){WAKE_SENTENCE_OUTPUT, '\0'}), whole = strlen(sentence);
    if (first == whole)
        return sentence;
    char *copy = arena_alloc(&ex->arena, whole + 1);
    memcpy(copy, sentence, whole + 1);
    copy[first] = access_reads_details(ex) ? ' ' : '\0';
    return copy;
}

const char *wake_reply_sentence(exchange_t *ex, wake_result_t result, const wake_answer_t *answer)
{
    switch (result) {
    case WAKE_GONE:
        return "There is no preview at this address any more.";
    case WAKE_BUSY:
        return "Too many boxes are being woken; try again in a few seconds.";
    case WAKE_REFUSED:
        return "This box does not expose this port.";
    case WAKE_ASLEEP:
        return "The box is asleep, and no request is waking it.";
    case WAKE_OK:
    case WAKE_FAILED:
    case WAKE_UNAVAILABLE:
        break;
    }
    return answer != NULL && answer->sentence[0] != '\0' ? readable(ex, answer->sentence)
                                                         : "The box could not be woken.";
}

unsigned wake_reply_retry_after(const wake_answer_t *answer)
{
    uint32_t ms = answer != NULL ? answer->retry_after_ms : 0;
    return ms <= 1000 ? 1 : ms / 1000 + (ms % 1000 != 0);
}

void wake_reply_not_exposed(exchange_t *ex)
{
    exchange_reply_error(ex, 502, "port_not_exposed", wake_reply_sentence(ex, WAKE_REFUSED, NULL), 0);
}

void wake_reply_forgotten(exchange_t *ex)
{
    static const char code[] = "box_asleep";
    if (wake_reply_is_navigation(ex)) {
        reply(ex, code,
              (wake_page_t){
                  .stage = WAKE_RESUMING,
                  .asleep = true,
                  .failure =
                      "It has been idle for a while, and an open page has already woken it once by itself."},
              ASLEEP_RETRY_S);
        return;
    }
    exchange_reply_error(ex, 503, code,
                         "The box is asleep, and this page has already woken it once by itself: reload the "
                         "page to wake the box.",
                         ASLEEP_RETRY_S);
}

void wake_reply_failed(exchange_t *ex, wake_result_t result, const wake_answer_t *answer)
{
    unsigned retry_after = wake_reply_retry_after(answer);
    const char *sentence = wake_reply_sentence(ex, result, answer), *code = "wake_failed";
    assert(result != WAKE_OK);
    if (result == WAKE_GONE) {
        exchange_reply_error(ex, 404, "preview_not_found", "There is no preview at this address.", 0);
        return;
    }
    if (result == WAKE_REFUSED) {
        wake_reply_not_exposed(ex);
        return;
    }
    if (result == WAKE_BUSY) {
        code = "too_many_wakes";
        retry_after = WAKE_RETRY_AFTER_S;
    } else if (result == WAKE_UNAVAILABLE) {
        code = "provider_unavailable";
    }
    if (wake_reply_is_navigation(ex)) {
        wake_page_t page = {.stage = WAKE_RESUMING, .failure = sentence, .retry_after = retry_after};
        reply(ex, code, page, retry_after);
    } else {
        exchange_reply_error(ex, 503, code, sentence, retry_after);
    }
}
