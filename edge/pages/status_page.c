#include "status_page.h"

#include "page_templates.h"
#include "pages.h"

str_t status_page(arena_t *pool, str_t nonce)
{
    const status_html_t values = {.nonce = nonce};
    return status_html(pool, &values);
}

str_t status_page_policy(arena_t *pool, str_t nonce)
{
    return pages_script_csp(pool, nonce,
                            STR("; connect-src 'self'; form-action 'none'; frame-ancestors 'none'"));
}
