/*
 * See privileges.h.
 */
#include "privileges.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

bool privileges_find(const char *user, privileges_t *out, char *error, size_t error_len)
{
    *out = (privileges_t){.drop = false};
    if (geteuid() != 0 || user[0] == '\0')
        return true;
    errno = 0;
    const struct passwd *entry = getpwnam(user);
    if (entry == NULL) {
        snprintf(
            error, error_len,
            "the user \"%s\" does not exist; make it (useradd --system --shell /usr/sbin/nologin %s) or set "
            "`user` to one that does (\"\" keeps root's rights)",
            user, user);
        return false;
    }
    *out = (privileges_t){.drop = entry->pw_uid != 0, .uid = entry->pw_uid, .gid = entry->pw_gid};
    int count = PRIVILEGES_GROUPS_MAX;
    if (getgrouplist(user, entry->pw_gid, out->groups, &count) < 0) {
        snprintf(error, error_len, "the user \"%s\" is in more than %d groups", user, PRIVILEGES_GROUPS_MAX);
        return false;
    }
    out->group_count = (size_t)count;
    return true;
}

void privileges_hide_memory(void)
{
    const struct rlimit none = {0, 0};
    (void)setrlimit(RLIMIT_CORE, &none);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void privileges_before_exit(void)
{
#ifdef BOXEDGE_ASAN
    (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0); /* the leak checker traces the process */
#endif
}

bool privileges_drop(const privileges_t *privileges, pid_t parent)
{
    if (privileges->drop) {
        if (setgroups(privileges->group_count, privileges->groups) < 0 ||
            setresgid(privileges->gid, privileges->gid, privileges->gid) < 0 ||
            setresuid(privileges->uid, privileges->uid, privileges->uid) < 0)
            return false;
        /* Verify by trying: regaining root must fail. */
        if (setresuid(0, 0, 0) == 0 || setresgid(0, 0, 0) == 0) {
            errno = EPERM;
            return false;
        }
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return false;
    privileges_hide_memory();
    /* Set it after the change of ids, which clears it. The parent may have died before that. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
        return false;
    errno = ESRCH;
    return getppid() == parent;
}

size_t privileges_raise_descriptors(void)
{
    struct rlimit limit;
    unsigned long long system_max = 0;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1024;
    FILE *file = fopen("/proc/sys/fs/nr_open", "re");
    if (file != NULL) {
        if (fscanf(file, "%llu", &system_max) != 1)
            system_max = 0;
        fclose(file);
    }
    struct rlimit raised = {limit.rlim_max, limit.rlim_max};
    if (geteuid() == 0 && system_max > limit.rlim_max)
        raised = (struct rlimit){system_max, system_max};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0)
        return raised.rlim_cur;
    raised = (struct rlimit){limit.rlim_max, limit.rlim_max};
    return setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised.rlim_cur : limit.rlim_cur;
}

/* ---- directories ---- */

/* Makes the missing directories above the last part of `path`. */
static bool make_parents(const char *path)
{
    char part[PATH_MAX];
    if ((size_t)snprintf(part, sizeof(part), "%s", path) >= sizeof(part)) {
        errno = ENAMETOOLONG;
        return false;
    }
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0755) < 0 && errno != EEXIST)
            return false;
        *slash = '/';
    }
    return true;
}

/* Makes the user the owner of the open directory `fd`, or checks that this is already so. */
static bool give_dir(int fd, bool made, const char *path, const privileges_t *privileges, char *error,
                     size_t error_len)
{
    struct stat st;
    if (made && fchown(fd, privileges->uid, privileges->gid) < 0) {
        snprintf(error, error_len, "%s cannot be given to the edge's user: %s", path, strerror(errno));
        return false;
    }
    if (fstat(fd, &st) == 0 && st.st_uid != privileges->uid) {
        snprintf(error, error_len,
                 "%s belongs to user %u, but the edge runs as user %u; chown -R it (or set `user`)", path,
                 (unsigned)st.st_uid, (unsigned)privileges->uid);
        return false;
    }
    return true;
}

/* Writes why `path` could not be opened, with its owner if that is another user. */
static void explain_dir(const char *path, int why, char *error, size_t error_len)
{
    struct stat st;
    int n = snprintf(error, error_len, "the directory %s cannot be made or opened: %s", path, strerror(why));
    if (n > 0 && (size_t)n < error_len && stat(path, &st) == 0 && st.st_uid != geteuid())
        snprintf(error + n, error_len - (size_t)n, "; it belongs to user %u, but the edge runs as user %u",
                 (unsigned)st.st_uid, (unsigned)geteuid());
}

bool privileges_make_dir(const char *path, mode_t mode, bool give, const privileges_t *privileges,
                         char *error, size_t error_len)
{
    bool made = false;
    int why = 0; /* errno of the failed mkdir */
    if (make_parents(path)) {
        mode_t mask = umask(0);
        made = mkdir(path, mode) == 0;
        why = errno;
        umask(mask);
    } else {
        why = errno;
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        /* ENOENT explains nothing; the error of mkdir does. */
        explain_dir(path, errno == ENOENT && !made ? why : errno, error, error_len);
        return false;
    }
    bool ok = !give || !privileges->drop || give_dir(fd, made, path, privileges, error, error_len);
    close(fd);
    return ok;
}

bool privileges_look_dir(const char *path, const privileges_t *privileges, char *error, size_t error_len)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return true;
    if (fd < 0) {
        explain_dir(path, errno, error, error_len);
        return false;
    }
    bool ok = !privileges->drop || give_dir(fd, false, path, privileges, error, error_len);
    close(fd);
    return ok;
}
