#include "pages_fixture.h"

#include "arena.h"

arena_t pages_pool;

int pages_set_up(void **state)
{
    arena_init(&pages_pool);
    *state = &pages_pool;
    return 0;
}

int pages_tear_down(void **state)
{
    (void)state;
    arena_clear(&pages_pool);
    return 0;
}

bool page_contains(str_t page, const char *text)
{
    return memmem(page.p, page.n, text, strlen(text)) != NULL;
}
