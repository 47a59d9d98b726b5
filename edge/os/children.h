/*
 * Children of the calling process: their exit status as text, and the end of orphans that the
 * kernel gave to the process (PR_SET_CHILD_SUBREAPER).
 */
#ifndef BOXEDGE_CHILDREN_H
#define BOXEDGE_CHILDREN_H

#include <stddef.h>
#include <sys/types.h>

/* Sends SIGKILL to every child of the calling process except those in `spare`. Returns their
 * number. Reads all of /proc. */
size_t children_kill(const pid_t *spare, size_t spare_count);

/* Text for a status of waitpid: "killed by signal 9 (Killed)", "exit status 1". */
const char *children_end_text(int status, char out[64]);

#endif
