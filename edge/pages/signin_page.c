#include "signin_page.h"

#include "arena.h"
#include "field.h"
#include "page_templates.h"

str_t signin_page_form(arena_t *pool, const signin_page_t *page)
{
    signin_html_t values = {
        .box = str_from(page->box),
        .port = str_decimal(pool, page->port),
        .label = str_from(page->label),
        .problem = str_from(page->problem != NULL ? page->problem : ""),
        .first = template_flag(page->problem == NULL),
        .action = str_from(page->action),
        .next = page->next,
        .password = template_flag(page->basic),
        .nonce = page->nonce,
    };
    return signin_html(pool, &values);
}

str_t signin_page_open_tab(arena_t *pool, const signin_page_t *page)
{
    signin_tab_html_t values = {
        .box = str_from(page->box),
        .port = str_decimal(pool, page->port),
        .label = str_from(page->label),
        .next = page->next,
        .nonce = page->nonce,
    };
    return signin_tab_html(pool, &values);
}

str_t signin_page_sign_out(arena_t *pool, const char *box, uint16_t port, const char *action)
{
    signout_html_t values = {
        .box = str_from(box),
        .port = str_decimal(pool, port),
        .action = str_from(action),
    };
    return signout_html(pool, &values);
}
