/*
 * The paths that the edge makes for itself: its directories, their locks, its store, its authority.
 * None may have a second use, because one use would spoil the other.
 */
#ifndef BOXEDGE_OWN_PATHS_H
#define BOXEDGE_OWN_PATHS_H

#include "conf_errors.h"

/* The locks of run_dir and state_dir, which may be one directory. */
#define RUN_LOCK   "boxedge.lock"
#define STATE_LOCK "boxedge-state.lock"

/* Adds an error for each of admin.socket, log.access, run_dir and state_dir that is a path of the
 * edge's own, as far as symbolic links are known. */
void own_paths_check(const conf_t *conf, conf_errors_t *errors);

#endif
