#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Maximum bytes of /proc/self/mountinfo; a machine with thousands of mounts runs without groups. */
#define FILE_BYTES_MAX (256 * 1024)

static bool next_line(str_t *rest, str_t *line)
{
    if (rest->n == 0)
        return false;
    const char *end = memchr(rest->p, '\n', rest->n);
    size_t n = end != NULL ? (size_t)(end - rest->p) : rest->n;
    *line = str_make(rest->p, n);
    *rest = str_from_offset(*rest, n < rest->n ? n + 1 : n);
    return true;
}

static str_t next_word(str_t *rest)
{
    const char *end = rest->n > 0 ? memchr(rest->p, ' ', rest->n) : NULL;
    size_t n = end != NULL ? (size_t)(end - rest->p) : rest->n;
    str_t word = str_make(rest->p, n);
    *rest = str_from_offset(*rest, n < rest->n ? n + 1 : n);
    return word;
}

/* Finds the root and the mount point of the first cgroup2 mount: "ID PARENT DEVICE ROOT PLACE
 * OPTIONS... - TYPE ..." */
static bool find_mount(str_t mountinfo, str_t *root, str_t *place)
{
    str_t line;
    while (next_line(&mountinfo, &line)) {
        for (int i = 0; i < 3; i++)
            (void)next_word(&line);
        *root = next_word(&line);
        *place = next_word(&line);
        while (line.n > 0 && !str_eq(next_word(&line), STR("-")))
            ;
        if (str_eq(next_word(&line), STR("cgroup2")))
            return true;
    }
    return false;
}

bool cgroup_locate(str_t mountinfo, str_t self, char *out, size_t len)
{
    str_t root, place, line;
    if (!find_mount(mountinfo, &root, &place))
        return false;
    while (next_line(&self, &line)) {
        if (!str_starts(line, STR("0::/")))
            continue;
        str_t path = str_from_offset(line, 3);
        if (root.n > 1) { /* only a part of the hierarchy is mounted */
            if (!str_starts(path, root) || (path.n > root.n && path.p[root.n] != '/'))
                return false;
            path = str_from_offset(path, root.n);
        }
        if (path.n == 1)
            path.n = 0;
        /* The path is outside our part of the hierarchy, or has characters that the kernel escaped. */
        if (str_starts(path, STR("/..")) || memchr(place.p, '\\', place.n) != NULL)
            return false;
        int n = snprintf(out, len, "%.*s%.*s", STR_ARG(place), STR_ARG(path));
        return n > 0 && (size_t)n < len;
    }
    return false;
}

static char *read_file(const char *path, str_t *out)
{
    char *bytes = malloc(FILE_BYTES_MAX);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t n = 0;
    while (bytes != NULL && fd >= 0 && n < FILE_BYTES_MAX) {
        ssize_t got = read(fd, bytes + n, FILE_BYTES_MAX - n);
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    if (fd >= 0)
        close(fd);
    *out = str_make(bytes, n);
    return bytes;
}

static bool locate_own(char *out, size_t len)
{
    str_t mountinfo, self;
    char *first = read_file("/proc/self/mountinfo", &mountinfo);
    char *second = read_file("/proc/self/cgroup", &self);
    bool found = mountinfo.n > 0 && self.n > 0 && cgroup_locate(mountinfo, self, out, len);
    free(first);
    free(second);
    return found;
}

static bool write_file(const cgroup_t *group, const char *name, const char *value)
{
    int fd = openat(group->fd, name, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t n = strlen(value);
    bool ok = write(fd, value, n) == (ssize_t)n;
    int saved = errno;
    close(fd);
    errno = saved;
    return ok;
}

/* Writes the path of the group with that name, whether or not it exists. */
static bool take_path(cgroup_t *group, const char *name)
{
    char own[PATH_MAX];
    group->fd = -1;
    return locate_own(own, sizeof(own)) && (size_t)snprintf(group->path, sizeof(group->path), "%s/boxedge.%s",
                                                            own, name) < sizeof(group->path);
}

bool cgroup_make(cgroup_t *group, const char *name)
{
    if (!take_path(group, name))
        return false;
    /* A former process with the same number may have left a group. */
    if (mkdir(group->path, 0755) < 0 &&
        (errno != EEXIST || rmdir(group->path) < 0 || mkdir(group->path, 0755) < 0))
        return false;
    group->fd = open(group->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (group->fd >= 0 && faccessat(group->fd, "cgroup.kill", W_OK, AT_EACCESS) == 0 &&
        faccessat(group->fd, "cgroup.freeze", W_OK, AT_EACCESS) == 0)
        return true;
    (void)rmdir(group->path);
    cgroup_close(group);
    return false;
}

pid_t cgroup_fork(const cgroup_t *group)
{
    struct clone_args args = {
        .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (unsigned)group->fd};
    return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

bool cgroup_freeze(const cgroup_t *group, bool frozen)
{
    return write_file(group, "cgroup.freeze", frozen ? "1" : "0");
}

void cgroup_kill(const cgroup_t *group)
{
    if (!write_file(group, "cgroup.kill", "1")) {
        /* Callers kill the remaining processes. */
    }
}

bool cgroup_remove(cgroup_t *group)
{
    if (group->fd >= 0 && rmdir(group->path) < 0 && errno != ENOENT)
        return false;
    cgroup_close(group);
    return true;
}

bool cgroup_discard(const char *name)
{
    cgroup_t group;
    if (!take_path(&group, name))
        return true;
    group.fd = open(group.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (group.fd < 0)
        return true;
    cgroup_kill(&group);
    bool gone = cgroup_remove(&group);
    cgroup_close(&group);
    return gone;
}

void cgroup_close(cgroup_t *group)
{
    if (group->fd >= 0)
        close(group->fd);
    group->fd = -1;
}
