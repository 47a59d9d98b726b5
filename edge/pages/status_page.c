#include "status_page.h"

#include "field.h"
#include "page_templates.h"

str_t status_page(arena_t *pool, str_t nonce)
{
    const status_html_t values = {.nonce = nonce};
    return status_html(pool, &values);
}

str_t status_page_policy(arena_t *pool, str_t nonce)
{
    return str_format(
        pool,
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'nonce-%.*s'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        STR_ARG(nonce));
}
