/*
 * See lockfile.h.
 */
#include "lockfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "str.h"

/* The process id in the file, as text of digits; "unknown" where there is none. */
static void read_holder(int fd, char *out, size_t out_len)
{
    char text[24];
    uint64_t pid;
    ssize_t n = pread(fd, text, sizeof(text), 0);
    str_t s = str_make(text, n > 0 ? (size_t)n : 0);
    while (s.n > 0 && s.p[s.n - 1] == '\n')
        s.n--;
    if (str_to_uint(s, INT32_MAX, &pid))
        snprintf(out, out_len, "%llu", (unsigned long long)pid);
    else
        snprintf(out, out_len, "unknown");
}

int lockfile_acquire(const char *path, const char *key, char *error, size_t error_len)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
        snprintf(error, error_len, "%s cannot be opened: %s", path, strerror(errno));
        return -1;
    }
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        lockfile_sign(fd);
        return fd;
    }
    if (errno == EWOULDBLOCK) {
        char holder[24];
        read_holder(fd, holder, sizeof(holder));
        snprintf(error, error_len,
                 "another boxedge is running with this %s (process %s holds %s); stop it, or give this "
                 "one another %s",
                 key, holder, path, key);
    } else {
        snprintf(error, error_len, "%s cannot be locked: %s", path, strerror(errno));
    }
    close(fd);
    return -1;
}

void lockfile_sign(int fd)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) < 0) {
        /* The lock holds all the same; only the message to a second instance lacks the number. */
    }
}
