/*
 * What no key shows alone: the rules between keys, and those between the configuration and the edge.
 */
#ifndef BOXEDGE_CONF_CHECK_H
#define BOXEDGE_CONF_CHECK_H

#include "conf_tree.h"

/* `conf` was filled from `root` and may have fields that could not be read; those are passed over. */
void conf_check(const conf_t *conf, const conf_node_t *root, conf_errors_t *errors);
/* The part of it that is about upstreams, plans and the API (conf_check_api.c). */
void conf_check_api(const conf_t *conf, const conf_node_t *root, conf_errors_t *errors);

#endif
