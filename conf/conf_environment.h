/*
 * The inputs of defaults and relative paths beside the file. It is a plain value without pointers,
 * so that the process that read a configuration can pass it on together with the text. A worker
 * without rights, or bound to one CPU, would find other defaults.
 */
#ifndef BOXEDGE_CONF_ENVIRONMENT_H
#define BOXEDGE_CONF_ENVIRONMENT_H

#include "conf.h"

#define CONF_ENVIRONMENT_PATH_MAX 1024

typedef struct conf_environment {
    bool root;     /* the effective user is root */
    unsigned cpus; /* CPUs that this process may run on, within its CPU quota; at least 1 */
    char host_name[256];
    /* Absolute paths, or "" if unset, relative or too long. */
    char cwd[CONF_ENVIRONMENT_PATH_MAX];
    char home[CONF_ENVIRONMENT_PATH_MAX];            /* $HOME */
    char xdg_state_home[CONF_ENVIRONMENT_PATH_MAX];  /* $XDG_STATE_HOME */
    char xdg_runtime_dir[CONF_ENVIRONMENT_PATH_MAX]; /* $XDG_RUNTIME_DIR */
} conf_environment_t;

/* Reads the environment of this process. */
void conf_environment_read(conf_environment_t *env);

/* conf_parse with its environment as a parameter; conf_parse uses this process's. */
conf_t *conf_parse_in(const conf_environment_t *env, const char *path, str_t text, conf_errors_t *errors);
/* conf_load with its environment as a parameter. */
conf_t *conf_load_in(const conf_environment_t *env, const char *path, conf_errors_t *errors);

#endif
