#include "start_limits.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const conf_place_t nowhere = {0, 0};

/* The largest file that this process may write; RLIM_INFINITY: any. */
static rlim_t largest_file(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_FSIZE, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
}

bool start_limits_files(char *error, size_t len)
{
    rlim_t most = largest_file();
    if (most == RLIM_INFINITY || most >= START_FILE_BYTES)
        return true;
    snprintf(error, len,
             "this process may write files of at most %llu bytes, which is too little for the store; "
             "allowed: %u and more (ulimit -f unlimited, LimitFSIZE=infinity)",
             (unsigned long long)most, (unsigned)START_FILE_BYTES);
    return false;
}

/* Finds the file system of `dir`, which may not exist yet. */
static bool find_room(const char *dir, struct statvfs *room)
{
    char path[PATH_MAX];
    if ((size_t)snprintf(path, sizeof(path), "%s", dir) >= sizeof(path))
        return false;
    while (statvfs(path, room) != 0) {
        char *slash = strrchr(path, '/');
        if (errno != ENOENT || slash == NULL || path[1] == '\0')
            return false;
        slash[slash == path] = '\0';
    }
    return true;
}

static bool is_there(const char *dir, const char *name)
{
    char path[PATH_MAX];
    return (size_t)snprintf(path, sizeof(path), "%s/%s", dir, name) < sizeof(path) && access(path, F_OK) == 0;
}

/* A start makes the store, and the local authority if no certificate is configured. If they exist, it needs
 * no room. */
static void check_room(const conf_t *conf, const char *key, const char *dir, conf_errors_t *errors)
{
    struct statvfs room;
    bool authority = dir == conf->state_dir && conf->certificate_count == 0;
    bool made = is_there(dir, "store/data.mdb") && (!authority || is_there(dir, "ca/leaf.pem"));
    if (made || !find_room(dir, &room))
        return;
    bool root = geteuid() == 0;
    unsigned long long bytes = (unsigned long long)room.f_frsize * (root ? room.f_bfree : room.f_bavail);
    unsigned long long files = root ? room.f_ffree : room.f_favail;
    if (bytes < START_ROOM_BYTES)
        conf_errors_add(errors, CONF_ERROR, conf->source, nowhere, key,
                        "the file system of \"%s\" has %llu bytes left, which is too little for a start; "
                        "needed: %u",
                        dir, bytes, (unsigned)START_ROOM_BYTES);
    else if (room.f_files != 0 && files < START_ROOM_FILES)
        conf_errors_add(errors, CONF_ERROR, conf->source, nowhere, key,
                        "the file system of \"%s\" has room for %llu files, which is too little for a "
                        "start; needed: %u",
                        dir, files, (unsigned)START_ROOM_FILES);
}

void start_limits(const conf_t *conf, size_t descriptors, conf_errors_t *errors)
{
    check_room(conf, "state_dir", conf->state_dir, errors);
    check_room(conf, "run_dir", conf->run_dir, errors);
    size_t needed = START_DESCRIPTORS + conf->workers * (conf->listener_count + 2);
    rlim_t most = largest_file();
    if (most != RLIM_INFINITY && most >= START_FILE_BYTES && most < conf->store_map_bytes)
        conf_errors_add(errors, CONF_WARNING, conf->source, nowhere, "store.map_size",
                        "this process may write files of at most %llu bytes: the edge ends when the store "
                        "grows over that (ulimit -f unlimited, LimitFSIZE=infinity)",
                        (unsigned long long)most);
    if (descriptors < needed)
        conf_errors_add(errors, CONF_ERROR, conf->source, nowhere, "limits.connections",
                        "this process may have %zu descriptors, which is too few for any connection; "
                        "allowed: %zu and more (ulimit -n, LimitNOFILE)",
                        descriptors, needed);
}
