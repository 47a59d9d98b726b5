/* Looks keys up in a table of conf_keys.h. */
#include "conf_keys.h"

const conf_key_t *conf_keys_find(const conf_table_t *table, str_t name)
{
    for (size_t i = 0; i < table->count; i++)
        if (str_eq(str_from(table->keys[i].name), name))
            return &table->keys[i];
    return NULL;
}

const char *conf_keys_leaf(const conf_key_t *key)
{
    const char *dot = strrchr(key->name, '.');
    return dot != NULL ? dot + 1 : key->name;
}

bool conf_keys_in(const conf_key_t *key, str_t prefix)
{
    str_t section = str_make(key->name, (size_t)(conf_keys_leaf(key) - key->name));
    if (section.n != 0)
        section.n--; /* the dot */
    return str_eq(section, prefix);
}
