/*
 * Defaults that depend on the machine, the user or other keys.
 */
#ifndef BOXEDGE_CONF_DERIVE_H
#define BOXEDGE_CONF_DERIVE_H

#include "conf_environment.h"
#include "conf_tree.h"

/*
 * Fills the fields of `conf` that the file leaves out. Adds an error if a default cannot be
 * determined, but does not repeat errors of keys in the file.
 */
void conf_derive(conf_t *conf, const conf_node_t *root, const conf_environment_t *env, conf_errors_t *errors);

#endif
