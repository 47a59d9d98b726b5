#include "cpu_quota.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

unsigned cpu_quota_parse(str_t text)
{
    uint64_t quota, period;
    if (text.n > 0 && text.p[text.n - 1] == '\n')
        text.n--;
    const char *space = text.n > 0 ? memchr(text.p, ' ', text.n) : NULL;
    if (space == NULL)
        return 0;
    size_t n = (size_t)(space - text.p);
    if (!str_to_uint(str_make(text.p, n), UINT32_MAX, &quota) ||
        !str_to_uint(str_from_offset(text, n + 1), UINT32_MAX, &period) || quota == 0 || period == 0)
        return 0;
    return (unsigned)((quota + period - 1) / period);
}

static unsigned quota_of_group(const char *root, str_t group)
{
    char path[PATH_MAX], text[64];
    int n = snprintf(path, sizeof(path), "%s%.*s/cpu.max", root, STR_ARG(group));
    if (n < 0 || (size_t)n >= sizeof(path))
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t got = read(fd, text, sizeof(text));
    close(fd);
    return got > 0 ? cpu_quota_parse(str_make(text, (size_t)got)) : 0;
}

/* "0::/system.slice/boxedge.service": the version 2 line of /proc/self/cgroup (cgroups(7)). */
static str_t own_group(str_t self)
{
    while (self.n > 0) {
        const char *end = memchr(self.p, '\n', self.n);
        size_t n = end != NULL ? (size_t)(end - self.p) : self.n;
        if (str_starts(str_make(self.p, n), STR("0::/")))
            return str_make(self.p + 3, n - 3);
        self = str_from_offset(self, n < self.n ? n + 1 : n);
    }
    return STR("");
}

static str_t parent(str_t group)
{
    while (group.n > 0 && group.p[group.n - 1] != '/')
        group.n--;
    return str_make(group.p, group.n > 0 ? group.n - 1 : 0);
}

unsigned cpu_quota_apply(const char *root, str_t self, unsigned cpus)
{
    for (str_t group = own_group(self);; group = parent(group)) {
        unsigned quota = quota_of_group(root, group);
        if (quota != 0 && quota < cpus)
            cpus = quota;
        if (group.n == 0)
            return cpus > 0 ? cpus : 1;
    }
}
