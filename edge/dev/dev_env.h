/* The environment of the command of `boxedge dev`: that of the caller, with what dev servers need of the
 * edge. */
#ifndef BOXEDGE_DEV_ENV_H
#define BOXEDGE_DEV_ENV_H

#include "str.h"

/* `domain`: of previews. `port` 0: none is wanted. What the caller has set stays, but for PORT. To be freed
 * with dev_env_free. */
char **dev_env_make(char *const *caller, const char *domain, uint16_t port, bool terminal);
void dev_env_free(char ***env);

#endif
