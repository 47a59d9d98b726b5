/*
 * The CPU quota of a control group (version 2): a container of one and a half CPUs on a machine of 64 sees
 * all 64, and a worker for each of them would only take turns being throttled.
 */
#ifndef BOXEDGE_CPU_QUOTA_H
#define BOXEDGE_CPU_QUOTA_H

#include "str.h"

/*
 * The number of CPUs, rounded up, that a cpu.max file allows ("MAX PERIOD", in microseconds). 0: no limit
 * ("max"), or text of another form.
 */
unsigned cpu_quota_parse(str_t text);

/*
 * `cpus`, or less where a quota is smaller: that of the group which `self` names (the text of
 * /proc/self/cgroup) or of one above it. `root` is the directory at which the hierarchy is mounted. Never
 * below 1. Groups whose files cannot be read have no quota.
 */
unsigned cpu_quota_apply(const char *root, str_t self, unsigned cpus);

#endif
