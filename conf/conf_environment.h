/*
 * What defaults and relative paths depend on beside the file. It is a plain value without pointers, so that
 * the process that read a configuration can hand it to others together with the text: a worker that has
 * dropped its rights, or is bound to one CPU, would find other defaults by itself.
 */
#ifndef BOXEDGE_CONF_ENVIRONMENT_H
#define BOXEDGE_CONF_ENVIRONMENT_H

#include "conf.h"

#define CONF_ENVIRONMENT_PATH_MAX 1024

typedef struct conf_environment {
    bool root;     /* the effective user is root */
    unsigned cpus; /* that this process may run on, within its CPU quota; at least 1 */
    char host_name[256];
    /* Absolute paths, or "" where there is none (or none that is absolute and fits). */
    char cwd[CONF_ENVIRONMENT_PATH_MAX];
    char home[CONF_ENVIRONMENT_PATH_MAX];            /* $HOME */
    char xdg_state_home[CONF_ENVIRONMENT_PATH_MAX];  /* $XDG_STATE_HOME */
    char xdg_runtime_dir[CONF_ENVIRONMENT_PATH_MAX]; /* $XDG_RUNTIME_DIR */
} conf_environment_t;

/* Looks at this process. */
void conf_environment_read(conf_environment_t *env);

/* conf_parse with what it depends on as a parameter; conf_parse asks this process. */
conf_t *conf_parse_in(const conf_environment_t *env, const char *path, str_t text, conf_errors_t *errors);
/* The same for conf_load. */
conf_t *conf_load_in(const conf_environment_t *env, const char *path, conf_errors_t *errors);

#endif
