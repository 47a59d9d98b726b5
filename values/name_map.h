/*
 * A map of items by a name inside each item: a NUL-terminated array of chars that does not change
 * while the item is in the map. The map is a search tree (tsearch(3)), so names that clients choose
 * cost no more than others. The caller owns the items; the map keeps only pointers. Running out of
 * memory ends the process.
 */
#ifndef BOXEDGE_NAME_MAP_H
#define BOXEDGE_NAME_MAP_H

#include "str.h"

/* The longest name, without its NUL. */
#define NAME_MAP_NAME_MAX 255

typedef struct name_map {
    void *tree;
    size_t count;
    size_t offset; /* of the name in an item */
} name_map_t;

/* An empty map of items of `type` whose name is in `member`. */
#define NAME_MAP(type, member) ((name_map_t){.offset = offsetof(type, member)})

/* Returns NULL if no item has that name. */
void *name_map_find(const name_map_t *map, str_t name);
/* The map must not have an item of that name yet. */
void name_map_add(name_map_t *map, void *item);
/* The item must be in the map; it is not freed. */
void name_map_remove(name_map_t *map, void *item);

/*
 * Calls `each` for every item now in the map, in the order of names, until it returns false. `each`
 * may add items, and may remove its own item, but no other.
 */
void name_map_each(const name_map_t *map, bool (*each)(void *item, void *arg), void *arg);
/* Empties the map, and calls `drop` for each of its items. */
void name_map_clear(name_map_t *map, void (*drop)(void *item));

#endif
