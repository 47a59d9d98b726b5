/*
 * The arguments and the environment of a process box. They contain nothing of the edge's own
 * environment.
 */
#ifndef BOXEDGE_BOX_COMMAND_H
#define BOXEDGE_BOX_COMMAND_H

#include "conf.h"

/* The PATH of boxes that declare none. */
#define BOX_COMMAND_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The arguments, ended by NULL. The array is freed with free(); the strings belong to `process`. A
 * single word is a command line for /bin/sh. */
char **box_command_argv(const conf_process_t *process);

/* The variable by which Vite 5.4.12 and later (node/server/index.ts, resolveServerOptions) accept further
 * hosts, also in the servers that embed it. A name with a leading dot covers those below it. */
#define BOX_COMMAND_VITE_HOSTS "__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS"

/* "NAME=value", ended by NULL: PATH, HOME, LANG, BOX_COMMAND_VITE_HOSTS (hosts below `domain`) and PORT
 * (the first port), then the declared variables. Of two with one name the later counts. No HOST: the edge
 * reaches servers on either loopback address, where they listen by default. The caller owns all of it:
 * box_command_free_env. */
char **box_command_env(const conf_process_t *process, const char *home, const char *domain);
void box_command_free_env(char ***env);

/* Returns whether both are started the same way, so that a running one need not be replaced by the
 * other. */
bool box_command_same(const conf_process_t *a, const conf_process_t *b);

#endif
