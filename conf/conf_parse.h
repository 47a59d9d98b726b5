/*
 * conf_parse with what it depends on as a parameter, for tests.
 */
#ifndef BOXEDGE_CONF_PARSE_H
#define BOXEDGE_CONF_PARSE_H

#include "conf_derive.h"

conf_t *conf_parse_in(const conf_environment_t *env, const char *path, str_t text, conf_errors_t *errors);

#endif
