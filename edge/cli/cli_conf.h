/*
 * The configuration that a command works on while no edge runs: -c FILE, else the installed one, else the
 * defaults of this user.
 */
#ifndef BOXEDGE_CLI_CONF_H
#define BOXEDGE_CLI_CONF_H

#include "conf.h"

/* NULL after errors on stderr. The caller releases it. */
conf_t *cli_conf_find(const char *path);

#endif
