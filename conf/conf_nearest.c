/* Finds the known key that is probably meant by an unknown one. */
#include "conf_keys.h"

#define NAME_MAX_COMPARED 64

static size_t least(size_t a, size_t b, size_t c)
{
    size_t least_ab = a < b ? a : b;
    return least_ab < c ? least_ab : c;
}

size_t conf_keys_distance(str_t a, str_t b)
{
    if (a.n > NAME_MAX_COMPARED || b.n > NAME_MAX_COMPARED)
        return SIZE_MAX;
    /* Rows of the usual table of edit distances between prefixes: the current one and the two above
     * it. */
    size_t rows[3][NAME_MAX_COMPARED + 1];
    for (size_t j = 0; j <= b.n; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a.n; i++) {
        size_t *row = rows[i % 3];
        const size_t *above = rows[(i + 2) % 3];
        const size_t *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b.n; j++) {
            size_t replace = above[j - 1] + (a.p[i - 1] != b.p[j - 1]);
            row[j] = least(above[j] + 1, row[j - 1] + 1, replace);
            bool swapped = i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1];
            if (swapped && two_above[j - 2] + 1 < row[j])
                row[j] = two_above[j - 2] + 1;
        }
    }
    return rows[a.n % 3][b.n];
}

/* "cert" probably means "certificates", and "head" "head_size". */
static bool begins(str_t known, str_t name)
{
    return name.n >= 3 && str_starts(known, name);
}

const char *conf_keys_nearest(const conf_table_t *table, str_t prefix, str_t name)
{
    const conf_key_t *exact = conf_keys_find(table, name);
    if (exact != NULL && strchr(exact->name, '.') != NULL)
        return exact->name; /* the dotted name itself */
    const conf_key_t *best = NULL;
    size_t best_distance = name.n < 7 ? 1 : (name.n + 1) / 4; /* a short name is close to many others */
    for (size_t i = 0; i < table->count; i++) {
        const conf_key_t *key = &table->keys[i];
        str_t leaf = str_from(conf_keys_leaf(key));
        size_t distance = begins(leaf, name) ? 1 : conf_keys_distance(name, leaf);
        if (conf_keys_in(key, prefix) && distance <= best_distance &&
            (best == NULL || distance < best_distance)) {
            best = key;
            best_distance = distance;
        }
    }
    for (size_t i = 0; i < table->count && best == NULL; i++)
        if (str_eq(str_from(conf_keys_leaf(&table->keys[i])), name))
            best = &table->keys[i];
    return best != NULL ? best->name : NULL;
}
