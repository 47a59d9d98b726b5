#include "sync.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATH_BYTES 4096

static bool is_directory(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

bool sync_path(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool ok = fsync(fd) == 0;
    int error = errno;
    if (!ok && error == EINVAL)
        ok = is_directory(fd);
    close(fd);
    errno = error;
    return ok;
}

bool sync_parent(const char *path)
{
    char parent[PATH_BYTES];
    const char *end = path + strlen(path);
    while (end > path + 1 && end[-1] == '/')
        end--;
    while (end > path && end[-1] != '/')
        end--;
    int n = end > path ? snprintf(parent, sizeof(parent), "%.*s", (int)(end - path), path)
                       : snprintf(parent, sizeof(parent), ".");
    if (n < 0 || (size_t)n >= sizeof(parent)) {
        errno = ENAMETOOLONG;
        return false;
    }
    return sync_path(parent);
}
