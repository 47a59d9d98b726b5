/*
 * Children of the calling process: how they ended, and the end of those that it did not start itself (orphans
 * that the kernel gave to it, PR_SET_CHILD_SUBREAPER).
 */
#ifndef BOXEDGE_CHILDREN_H
#define BOXEDGE_CHILDREN_H

#include <stddef.h>
#include <sys/types.h>

/* SIGKILL to every child of the calling process but those in `spare`. Returns how many there were. Reads all
 * of /proc. */
size_t children_kill(const pid_t *spare, size_t spare_count);

/* "killed by signal 9 (Killed)", "exit status 1" for a status of waitpid. */
const char *children_end_text(int status, char out[64]);

#endif
