#include "name_map.h"

#include <assert.h>
#include <search.h>
#include <stdlib.h>

/* The tree holds the names; an item begins `offset` bytes before its name. */
static char *name_of(const name_map_t *map, void *item)
{
    return (char *)item + map->offset;
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

void *name_map_find(const name_map_t *map, str_t name)
{
    char key[NAME_MAP_NAME_MAX + 1];
    if (name.n > NAME_MAP_NAME_MAX)
        return NULL;
    if (name.n != 0)
        memcpy(key, name.p, name.n);
    key[name.n] = '\0';
    char *const *found = tfind(key, &map->tree, compare);
    return found != NULL ? *found - map->offset : NULL;
}

void name_map_add(name_map_t *map, void *item)
{
    char *name = name_of(map, item);
    assert(strnlen(name, NAME_MAP_NAME_MAX + 1) <= NAME_MAP_NAME_MAX);
    char *const *placed = tsearch(name, &map->tree, compare);
    if (placed == NULL)
        abort();
    assert(*placed == name);
    map->count++;
}

void name_map_remove(name_map_t *map, void *item)
{
    const char *name = name_of(map, item);
    char *const *found = tfind(name, &map->tree, compare);
    assert(found != NULL && *found == name);
    (void)tdelete(name, &map->tree, compare);
    map->count--;
}

/* ---- iteration ---- */

static void collect(const void *node, VISIT visit, void *closure)
{
    char ***at = closure;
    if (visit == postorder || visit == leaf)
        *(*at)++ = *(char *const *)node;
}

/* Returns the names, to be freed by the caller, so that the map may change during the iteration. */
static char **names_of(const name_map_t *map)
{
    char **names = calloc(map->count + 1, sizeof(*names)), **at = names;
    if (names == NULL)
        abort();
    twalk_r(map->tree, collect, &at);
    assert((size_t)(at - names) == map->count);
    return names;
}

void name_map_each(const name_map_t *map, bool (*each)(void *item, void *arg), void *arg)
{
    char **names = names_of(map);
    for (size_t i = 0; names[i] != NULL && each(names[i] - map->offset, arg); i++)
        continue;
    free(names);
}

static void keep(void *name)
{
    (void)name;
}

void name_map_clear(name_map_t *map, void (*drop)(void *item))
{
    char **names = names_of(map);
    tdestroy(map->tree, keep);
    map->tree = NULL;
    map->count = 0;
    for (size_t i = 0; names[i] != NULL; i++)
        drop(names[i] - map->offset);
    free(names);
}
