/*
 * A control group (version 2) for one process box: all that a box starts is in it whatever it does, so that
 * it can be frozen and killed as a whole. Where none can be made (no such hierarchy, no right to it, a kernel
 * before 5.14) a box does without.
 */
#ifndef BOXEDGE_CGROUP_H
#define BOXEDGE_CGROUP_H

#include <limits.h>
#include <sys/types.h>

#include "str.h"

typedef struct cgroup {
    int fd; /* of its directory; -1: there is none */
    char path[PATH_MAX];
} cgroup_t;

/*
 * Where the groups of this process lie in the file system, from the texts of /proc/self/mountinfo and
 * /proc/self/cgroup. False where it is in no hierarchy of version 2 that can be seen, or `out` is too small.
 */
MUST_USE bool cgroup_locate(str_t mountinfo, str_t self, char *out, size_t len);

/* Makes the group "boxedge.<name>" below that of the calling process. False: there is none, and fd is -1. */
MUST_USE bool cgroup_make(cgroup_t *group, const char *name);
/*
 * fork() with the child in the group from its first moment: to move a process into one later takes the kernel
 * tens of milliseconds. -1 with errno.
 */
pid_t cgroup_fork(const cgroup_t *group);
MUST_USE bool cgroup_freeze(const cgroup_t *group, bool frozen);
/* SIGKILL to all that is in it, frozen or not, where the kernel takes it. */
void cgroup_kill(const cgroup_t *group);
/* Removes the directory, which must be empty of processes (false with errno, and it stays). */
MUST_USE bool cgroup_remove(cgroup_t *group);
/* Kills what is in the group "boxedge.<name>" below that of the calling process, and removes it. False where
 * it is still there. */
MUST_USE bool cgroup_discard(const char *name);
/* Forgets about it. */
void cgroup_close(cgroup_t *group);

#endif
