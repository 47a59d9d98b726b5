/*
 * The tree of a file and the key table, brought together: fills the fields of a conf_t, and frees them.
 */
#ifndef BOXEDGE_CONF_BIND_H
#define BOXEDGE_CONF_BIND_H

#include "conf_keys.h"
#include "conf_tree.h"

/*
 * Sets every field of `conf` (all zero before, but for `source`) that has a fixed default, then what the
 * tree says. A list has as many elements as in the file, also where some are wrong; those are zero where
 * they could not be read, and networks have CONF_NETWORK_UNREAD bits. Relative
 * paths become relative to the directory of conf->source, and that to `cwd`.
 */
#define CONF_NETWORK_UNREAD 129
void conf_bind(conf_t *conf, const conf_node_t *root, const char *cwd, conf_errors_t *errors);
/* The directory of a file: an absolute path, as far as `cwd` is one. Owned by the caller. */
char *conf_dir_of(const char *source, const char *cwd);
/* Frees what the fields of the key table hold. */
void conf_unbind(conf_t *conf);

#endif
