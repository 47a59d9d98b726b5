/*
 * A control group (version 2) for one process box. It holds every process that the box starts, so
 * the box can be frozen and killed as a whole. A box runs without a group if none can be made: no
 * such hierarchy, no right to it, or a kernel before 5.14.
 */
#ifndef BOXEDGE_CGROUP_H
#define BOXEDGE_CGROUP_H

#include <limits.h>
#include <sys/types.h>

#include "str.h"

typedef struct cgroup {
    int fd; /* of its directory; -1: no group */
    char path[PATH_MAX];
} cgroup_t;

/*
 * Finds the directory of this process's group in the file system, from the texts of
 * /proc/self/mountinfo and /proc/self/cgroup. Returns false if no visible hierarchy of version 2
 * holds the process, or `out` is too small.
 */
MUST_USE bool cgroup_locate(str_t mountinfo, str_t self, char *out, size_t len);

/* Makes the group "boxedge.<name>" below that of the calling process. Returns false, with fd -1, if
 * it cannot be made. */
MUST_USE bool cgroup_make(cgroup_t *group, const char *name);
/*
 * fork() that puts the child into the group from its start, because a later move takes the kernel
 * tens of milliseconds. Returns -1 with errno.
 */
pid_t cgroup_fork(const cgroup_t *group);
MUST_USE bool cgroup_freeze(const cgroup_t *group, bool frozen);
/* Sends SIGKILL to all processes of the group, also frozen ones, if the kernel supports that. */
void cgroup_kill(const cgroup_t *group);
/* Removes the directory, which must have no processes. Returns false with errno if the directory
 * stays. */
MUST_USE bool cgroup_remove(cgroup_t *group);
/* Kills the processes of the group "boxedge.<name>" below that of the calling process, and removes
 * the group. Returns false if the group still exists. */
MUST_USE bool cgroup_discard(const char *name);
/* Closes the descriptor and leaves the group as it is. */
void cgroup_close(cgroup_t *group);

#endif
