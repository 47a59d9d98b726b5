#include "wake_page.h"

#include "arena.h"
#include "field.h"
#include "page_templates.h"
#include "pages.h"

/* Maximum bytes of a sentence. */
#define FAILURE_SHOWN 600

const char *wake_stage_name(wake_stage_t stage)
{
    switch (stage) {
    case WAKE_RESUMING:
        break;
    case WAKE_STARTING:
        return "starting";
    case WAKE_LISTENING:
        return "listening";
    }
    return "resuming";
}

static str_t class_of(const wake_page_t *page, wake_stage_t stage)
{
    if (stage == page->stage)
        return STR("now");
    return stage < page->stage ? STR("done") : STR("");
}

static str_t title_of(const wake_page_t *page)
{
    if (page->asleep)
        return STR("This box is asleep");
    return page->failure != NULL ? STR("This box did not wake") : STR("Waking this box");
}

static str_t state_of(const wake_page_t *page)
{
    if (page->asleep)
        return STR("asleep");
    return page->failure != NULL ? STR("failed") : STR("waiting");
}

str_t wake_page(arena_t *pool, const wake_page_t *page)
{
    wake_html_t values = {
        .title = title_of(page),
        .waiting = template_flag(page->failure == NULL),
        .state = state_of(page),
        .stage = str_from(wake_stage_name(page->stage)),
        .elapsed_ms = str_decimal(pool, page->elapsed_ms),
        .elapsed_s = str_decimal(pool, page->elapsed_ms / 1000),
        .retry_after = str_decimal(pool, page->retry_after),
        .box = str_from(page->box),
        .port = str_decimal(pool, page->port),
        .failure = template_text(str_from(page->failure), FAILURE_SHOWN),
        .resuming = class_of(page, WAKE_RESUMING),
        .resuming_now = template_flag(page->stage == WAKE_RESUMING),
        .starting = class_of(page, WAKE_STARTING),
        .starting_now = template_flag(page->stage == WAKE_STARTING),
        .listening = class_of(page, WAKE_LISTENING),
        .listening_now = template_flag(page->stage == WAKE_LISTENING),
        .again = page->asleep ? STR("Wake it") : STR("Try again"),
        .logs_of = page->has_log && !page->asleep ? str_from(page->box) : STR(""),
        .awake = template_flag(!page->asleep),
        .request_id = str_from(page->request_id),
        .nonce = page->nonce,
    };
    return wake_html(pool, &values);
}

str_t wake_page_policy(arena_t *pool, str_t nonce)
{
    return pages_script_csp(pool, nonce, STR("; connect-src 'self'; form-action 'none'"));
}
