/*
 * What a process box is started with: its arguments and its environment. Nothing of the edge's own
 * environment gets into it.
 */
#ifndef BOXEDGE_BOX_COMMAND_H
#define BOXEDGE_BOX_COMMAND_H

#include "conf.h"

/* The PATH of boxes that declare none. */
#define BOX_COMMAND_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* The arguments, ended by NULL; what they point to belongs to `process`. A single word is a command line for
 * /bin/sh. Freed with free(). */
char **box_command_argv(const conf_process_t *process);

/* "NAME=value", ended by NULL: PATH, HOME, LANG and PORT (the first port), then what is declared; of two with
 * one name the later counts. All of it is the caller's: box_command_free_env. */
char **box_command_env(const conf_process_t *process, const char *home);
void box_command_free_env(char ***env);

/* Whether both are started the same way, so that one that runs need not be replaced by the other. */
bool box_command_same(const conf_process_t *a, const conf_process_t *b);

#endif
