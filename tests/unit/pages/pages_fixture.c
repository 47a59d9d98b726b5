#include "pages_fixture.h"

h2o_mem_pool_t pages_pool;

int pages_set_up(void **state)
{
    h2o_mem_init_pool(&pages_pool);
    *state = &pages_pool;
    return 0;
}

int pages_tear_down(void **state)
{
    (void)state;
    h2o_mem_clear_pool(&pages_pool);
    return 0;
}

bool page_contains(str_t page, const char *text)
{
    return memmem(page.p, page.n, text, strlen(text)) != NULL;
}
