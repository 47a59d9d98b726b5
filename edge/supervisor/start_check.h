/*
 * For `boxedge check`: the reasons outside the configuration's file for which `boxedge run` of it would
 * refuse to start on this machine, as this user, each in the words of the start. Makes nothing and changes
 * nothing.
 */
#ifndef BOXEDGE_START_CHECK_H
#define BOXEDGE_START_CHECK_H

#include "conf_errors.h"

/*
 * Adds an error for each reason: the user, the directories, their locks, the store, the listeners, the admin
 * socket. Where an edge runs with both state_dir and run_dir, as before a reload, the result is its process,
 * and what that edge holds is no error: its locks, its store and its sockets. Else 0. `places`: state_dir and
 * run_dir are there or can be made (conf_check_files), so that it makes sense to look into them.
 */
pid_t start_check(const conf_t *conf, bool places, conf_errors_t *errors);

#endif
