/* Preloaded into an edge: while the file $DISK_FAULT begins with an error number (int), writes to the files
 * of stores below $DISK_FAULT_DIR fail with it. The kernel makes no disk read-only on request while a process
 * writes to it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

static int none;
static volatile int *fault = &none;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("DISK_FAULT");
    int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *at = fd >= 0 ? mmap(NULL, sizeof *fault, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (at != MAP_FAILED)
        fault = at;
}

/* Sets errno and returns true if a write to the descriptor fails. */
static int fails(int fd)
{
    char link[64], path[4096] = "";
    const char *dir = getenv("DISK_FAULT_DIR");
    int error = *fault;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (dir == NULL || error == 0 || readlink(link, path, sizeof path - 1) < 0 ||
        strncmp(path, dir, strlen(dir)) != 0)
        return 0;
    errno = error;
    return 1;
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    ssize_t (*real)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite");
    return fails(fd) ? -1 : real(fd, bytes, n, at);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at)
{
    ssize_t (*real)(int, const struct iovec *, int, off_t) = dlsym(RTLD_NEXT, "pwritev");
    return fails(fd) ? -1 : real(fd, parts, count, at);
}

int fdatasync(int fd)
{
    int (*real)(int) = dlsym(RTLD_NEXT, "fdatasync");
    return fails(fd) ? -1 : real(fd);
}
