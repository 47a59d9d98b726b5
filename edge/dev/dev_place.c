#include "dev_place.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "local_ca.h"

/* Descriptors of a walk over a directory. */
#define WALK_FDS 16
/* Maximum length of the directory of a socket. */
#define SOCKET_DIR_MAX 90

/* Relative paths are ignored (XDG Base Directory Specification). */
static const char *absolute(const char *name)
{
    const char *path = getenv(name);
    return path != NULL && path[0] == '/' ? path : NULL;
}

static bool join(char out[DEV_PATH_MAX], const char *dir, const char *rest)
{
    int n = snprintf(out, DEV_PATH_MAX, "%s%s", dir, rest);
    return n > 0 && n < DEV_PATH_MAX;
}

bool dev_place_find(dev_place_t *place, bool lan, char *error, size_t error_len)
{
    const char *state = absolute("XDG_STATE_HOME"), *home = absolute("HOME");
    const char *run = absolute("XDG_RUNTIME_DIR");
    bool ok = state != NULL || home != NULL;
    (void)snprintf(error, error_len, "%s",
                   ok ? "the path of $XDG_STATE_HOME, $HOME or $XDG_RUNTIME_DIR is too long"
                      : "neither HOME nor XDG_STATE_HOME is set to a directory");
    ok = ok && (state != NULL ? join(place->state, state, lan ? "/boxedge/dev-lan" : "/boxedge/dev")
                              : join(place->state, home,
                                     lan ? "/.local/state/boxedge/dev-lan" : "/.local/state/boxedge/dev"));
    /* $XDG_RUNTIME_DIR of another user, as sudo may leave it, is not ours. */
    struct stat st;
    bool ours = run != NULL && stat(run, &st) == 0 && st.st_uid == geteuid();
    ok = ok && (ours ? join(place->run, run, lan ? "/boxedge-dev-lan" : "/boxedge-dev")
                     : join(place->run, place->state, "/run"));
    if (ok && strlen(place->run) > SOCKET_DIR_MAX) /* a socket's path is at most 107 bytes */
        (void)snprintf(place->run, DEV_PATH_MAX, "/tmp/boxedge-dev%s-%u", lan ? "-lan" : "",
                       (unsigned)geteuid());
    return ok;
}

/* Makes the directory and missing parents. */
static bool make_dirs(const char *path)
{
    char part[DEV_PATH_MAX];
    for (const char *slash = strchr(path + 1, '/');; slash = strchr(slash + 1, '/')) {
        size_t n = slash != NULL ? (size_t)(slash - path) : strlen(path);
        memcpy(part, path, n);
        part[n] = '\0';
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return false;
        if (slash == NULL)
            return true;
    }
}

/* Refuses a directory of another user, or that others may write to. */
static bool make_own(const char *path, char *error, size_t error_len)
{
    struct stat st;
    if (!make_dirs(path) || lstat(path, &st) != 0) {
        (void)snprintf(error, error_len, "%s cannot be made: %s", path, strerror(errno));
        return false;
    }
    if (S_ISDIR(st.st_mode) && st.st_uid == geteuid() && (st.st_mode & 0022) == 0)
        return true;
    (void)snprintf(error, error_len, "%s is not a directory that only this user may write to", path);
    return false;
}

bool dev_place_make(const dev_place_t *place, char *error, size_t error_len)
{
    char ca[DEV_PATH_MAX];
    if (!join(ca, place->state, "/ca")) {
        (void)snprintf(error, error_len, "%s is too long a path", place->state);
        return false;
    }
    return make_own(place->state, error, error_len) && make_own(ca, error, error_len) &&
           make_own(place->run, error, error_len);
}

bool dev_place_make_authority(const dev_place_t *place, char *error, size_t error_len)
{
    tls_pem_t leaf = {0};
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (!dev_place_make(place, error, error_len) ||
        !local_ca_ensure(place->state, DEV_DOMAIN, NULL, 0, (uint64_t)now.tv_sec, &leaf, error, error_len))
        return false;
    tls_pem_fini(&leaf);
    return true;
}

/* ---- the end ---- */

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    /* The state directory itself and its `ca` stay. */
    if (at->level > 0)
        (void)remove(path);
    return 0;
}

static int remove_but_authority(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    if (at->level == 0)
        return FTW_CONTINUE;
    const char *name = path + at->base;
    if (at->level == 1 && (strcmp(name, "ca") == 0 || (strcmp(name, "run") == 0 && kind == FTW_D)))
        return FTW_SKIP_SUBTREE;
    if (kind == FTW_D) {
        (void)nftw(path, remove_one, WALK_FDS, FTW_PHYS | FTW_DEPTH);
        (void)rmdir(path);
        return FTW_SKIP_SUBTREE;
    }
    (void)unlink(path);
    return FTW_CONTINUE;
}

void dev_place_clear(const dev_place_t *place)
{
    (void)nftw(place->state, remove_but_authority, WALK_FDS, FTW_PHYS | FTW_ACTIONRETVAL);
    /* Last: while it is there, a command waits for the end of the edge. */
    (void)nftw(place->run, remove_one, WALK_FDS, FTW_PHYS | FTW_DEPTH);
    (void)rmdir(place->run);
}
