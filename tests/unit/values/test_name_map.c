/* Items by name: found, each once and in order, removed during a walk over them, and names at their bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "name_map.h"

typedef struct item {
    int number;
    char name[NAME_MAP_NAME_MAX + 1];
} item_t;

static item_t *item(int number)
{
    item_t *made = calloc(1, sizeof(*made));
    assert_non_null(made);
    made->number = number;
    snprintf(made->name, sizeof(made->name), "name-%04d", number);
    return made;
}

static item_t *find(const name_map_t *map, int number)
{
    char name[16];
    snprintf(name, sizeof(name), "name-%04d", number);
    return name_map_find(map, str_from(name));
}

static void items_are_found(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    name_map_t map = NAME_MAP(item_t, name);
    assert_null(find(&map, 0));
    for (int i = 0; i < COUNT; i++)
        name_map_add(&map, item(i * 7 % COUNT));
    assert_int_equal(map.count, COUNT);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(find(&map, i)->number, i);
    assert_null(name_map_find(&map, STR("name-000")));
    assert_null(name_map_find(&map, STR("name-00000")));
    assert_null(name_map_find(&map, STR("")));
    assert_null(name_map_find(&map, str_make(NULL, 0)));
    for (int i = 0; i < COUNT; i += 2) {
        item_t *gone = find(&map, i);
        name_map_remove(&map, gone);
        free(gone);
    }
    assert_int_equal(map.count, COUNT / 2);
    for (int i = 0; i < COUNT; i++)
        assert_int_equal(find(&map, i) != NULL, i % 2);
    name_map_clear(&map, free);
    assert_int_equal(map.count, 0);
    assert_null(find(&map, 1));
    name_map_add(&map, item(1));
    assert_non_null(find(&map, 1));
    name_map_clear(&map, free);
    name_map_clear(&map, free);
}

static void names_at_the_bound(void **state)
{
    (void)state;
    char longer[NAME_MAP_NAME_MAX + 1];
    name_map_t map = NAME_MAP(item_t, name);
    item_t *longest = item(1), *empty = item(2);
    memset(longer, 'x', sizeof(longer));
    memset(longest->name, 'x', NAME_MAP_NAME_MAX);
    empty->name[0] = '\0';
    name_map_add(&map, longest);
    name_map_add(&map, empty);
    assert_ptr_equal(name_map_find(&map, str_make(longer, NAME_MAP_NAME_MAX)), longest);
    assert_null(name_map_find(&map, str_make(longer, NAME_MAP_NAME_MAX - 1)));
    assert_null(name_map_find(&map, str_make(longer, NAME_MAP_NAME_MAX + 1)));
    assert_ptr_equal(name_map_find(&map, STR("")), empty);
    name_map_clear(&map, free);
}

typedef struct walk {
    name_map_t *map;
    int next, last;
} walk_t;

static bool see(void *seen, void *arg)
{
    walk_t *walk = arg;
    item_t *each = seen;
    assert_int_equal(each->number, walk->next++);
    if (each->number % 2 == 0) {
        name_map_remove(walk->map, each);
        free(each);
    } else {
        name_map_add(walk->map, item(1000 + walk->next));
    }
    return walk->next != walk->last;
}

static void they_change_while_they_are_gone_through(void **state)
{
    (void)state;
    name_map_t map = NAME_MAP(item_t, name);
    walk_t walk = {.map = &map, .last = 10};
    name_map_each(&map, see, &walk);
    assert_int_equal(walk.next, 0);
    for (int i = 0; i < 20; i++)
        name_map_add(&map, item(i));
    name_map_each(&map, see, &walk);
    assert_int_equal(walk.next, 10);
    assert_int_equal(map.count, 20);
    name_map_clear(&map, free);
}

static void one_item_a_name(void **state)
{
    (void)state;
    name_map_t map = NAME_MAP(item_t, name);
    item_t *first = item(1), *second = item(1);
    name_map_add(&map, first);
    assert_ptr_equal(find(&map, 1), first);
    name_map_remove(&map, first);
    name_map_add(&map, second);
    assert_ptr_equal(find(&map, 1), second);
    free(first);
    name_map_clear(&map, free);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_found),
        cmocka_unit_test(names_at_the_bound),
        cmocka_unit_test(they_change_while_they_are_gone_through),
        cmocka_unit_test(one_item_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
