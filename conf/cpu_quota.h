/*
 * The CPU quota of a control group (version 2). A container with one and a half CPUs on a machine
 * of 64 sees all 64; a worker for each of them would only be throttled in turn.
 */
#ifndef BOXEDGE_CPU_QUOTA_H
#define BOXEDGE_CPU_QUOTA_H

#include "str.h"

/*
 * The number of CPUs, rounded up, that a cpu.max file allows ("MAX PERIOD", in microseconds). 0: no
 * limit ("max"), or malformed text.
 */
unsigned cpu_quota_parse(str_t text);

/*
 * Returns `cpus`, or a smaller quota: that of the group in `self` (the text of /proc/self/cgroup)
 * or of a group above it. `root` is the mount point of the hierarchy. Never below 1. Groups with
 * unreadable files have no quota.
 */
unsigned cpu_quota_apply(const char *root, str_t self, unsigned cpus);

#endif
