/* For the tests of pages: a pool for each test, and a search in a page. */
#ifndef BOXEDGE_PAGES_FIXTURE_H
#define BOXEDGE_PAGES_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "str.h"

#include "arena.h"

/* Of the test that runs; *state is it too. */
extern arena_t pages_pool;

int pages_set_up(void **state);
int pages_tear_down(void **state);
bool page_contains(str_t page, const char *text);

#endif
