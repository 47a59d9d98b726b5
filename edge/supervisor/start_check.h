/*
 * For `boxedge check`: the reasons outside of the configuration file for which `boxedge run` would
 * refuse to start on this machine, as this user. Each has the words of the start. The check makes
 * and changes nothing.
 */
#ifndef BOXEDGE_START_CHECK_H
#define BOXEDGE_START_CHECK_H

#include "conf_errors.h"

/*
 * Adds an error for each reason: the user, the limits of this process, the directories, their locks, the
 * store, the listeners, the admin socket. If an edge runs with both state_dir and run_dir, as before a
 * reload, the result is its process. Its locks, its store and its sockets are then no errors. Otherwise
 * returns 0. `places`: state_dir and run_dir exist or can be made (conf_check_places), so that their contents
 * can be checked.
 */
pid_t start_check(const conf_t *conf, bool places, conf_errors_t *errors);

#endif
