/*
 * Connects the tree of a file with the key table: fills the fields of a conf_t, and frees them.
 */
#ifndef BOXEDGE_CONF_BIND_H
#define BOXEDGE_CONF_BIND_H

#include "conf_keys.h"
#include "conf_tree.h"

/*
 * Sets every field of `conf` (all zero before, except `source`) that has a fixed default, then the
 * values of the tree. A list has as many elements as in the file, even if some are wrong.
 * Unreadable elements are zero; unreadable networks have CONF_NETWORK_UNREAD bits. Relative paths
 * become relative to the directory of conf->source, and that directory to `cwd`.
 */
#define CONF_NETWORK_UNREAD 129
void conf_bind(conf_t *conf, const conf_node_t *root, const char *cwd, conf_errors_t *errors);
/* The directory of a file, absolute if `cwd` is. The caller owns it. */
char *conf_dir_of(const char *source, const char *cwd);
/* The key of `name` in the section `section` ("" at the top) of `table`; NULL: none. */
const conf_key_t *conf_bind_find(const conf_table_t *table, str_t section, str_t name);
/* Whether a scalar of this type may have this text. Lists and sections have no scalar. */
MUST_USE bool conf_bind_allows(const conf_key_t *key, str_t text);
/* The same for an element of a list that is no map. */
MUST_USE bool conf_bind_allows_item(const conf_key_t *key, str_t text);
/* Whether keys of this type have a list. */
bool conf_bind_is_list(conf_type_t type);
/* Frees the memory of the key table's fields. */
void conf_unbind(conf_t *conf);

#endif
