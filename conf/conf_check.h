/*
 * The rules between keys, and those between the configuration and the edge; no single key shows
 * them.
 */
#ifndef BOXEDGE_CONF_CHECK_H
#define BOXEDGE_CONF_CHECK_H

#include "conf_tree.h"

/* `conf` was filled from `root`. Fields that could not be read are skipped. */
void conf_check(const conf_t *conf, const conf_node_t *root, conf_errors_t *errors);
/* The rules for upstreams, plans and the API (conf_check_api.c). */
void conf_check_api(const conf_t *conf, const conf_node_t *root, conf_errors_t *errors);

#endif
