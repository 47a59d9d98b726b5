#include "link_page.h"

#include "field.h"
#include "page_templates.h"

str_t link_page(arena_t *pool, const link_page_t *page)
{
    link_html_t values = {
        .box = str_from(page->box),
        .port = str_decimal(pool, page->port),
        .label = str_from(page->label),
        .action = str_from(page->action),
        .key = page->key,
    };
    return link_html(pool, &values);
}
