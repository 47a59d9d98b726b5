/*
 * Defaults that depend on other things: on the machine, on the user, on other keys.
 */
#ifndef BOXEDGE_CONF_DERIVE_H
#define BOXEDGE_CONF_DERIVE_H

#include "conf_environment.h"
#include "conf_tree.h"

/*
 * Fills the fields of `conf` that the file left out. Adds errors where a default cannot be had; those of keys
 * that the file has are not repeated.
 */
void conf_derive(conf_t *conf, const conf_node_t *root, const conf_environment_t *env, conf_errors_t *errors);

#endif
