/*
 * Defaults that depend on other things: on the machine, on the user, on other keys. What they depend on is a
 * parameter, so that it can be tested.
 */
#ifndef BOXEDGE_CONF_DERIVE_H
#define BOXEDGE_CONF_DERIVE_H

#include "conf_tree.h"

typedef struct conf_environment {
    bool root;                   /* the effective user is root */
    const char *home;            /* $HOME; this and the next two may be NULL */
    const char *xdg_state_home;  /* $XDG_STATE_HOME */
    const char *xdg_runtime_dir; /* $XDG_RUNTIME_DIR */
    char host_name[256];
    unsigned cpus; /* that this process may run on, at least 1 */
} conf_environment_t;

/* Looks at the process; the strings belong to its environment. */
void conf_environment_read(conf_environment_t *env);

/*
 * Fills the fields of `conf` that the file left out. Adds errors where a default cannot be had; those of keys
 * that the file has are not repeated.
 */
void conf_derive(conf_t *conf, const conf_node_t *root, const conf_environment_t *env, conf_errors_t *errors);

#endif
