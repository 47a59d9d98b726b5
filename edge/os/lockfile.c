/*
 * See lockfile.h.
 */
#include "lockfile.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* Wait of lockfile_acquire for a lock that lockfile_look may hold. */
#define PATIENCE_MS 200
#define RETRY_MS    20

/* Returns the process id in the file; 0 for none. */
static pid_t read_holder(int fd)
{
    char text[24];
    uint64_t pid;
    ssize_t n = pread(fd, text, sizeof(text), 0);
    str_t s = str_make(text, n > 0 ? (size_t)n : 0);
    while (s.n > 0 && s.p[s.n - 1] == '\n')
        s.n--;
    return str_to_uint(s, INT32_MAX, &pid) ? (pid_t)pid : 0;
}

static void explain_held(const char *path, const char *key, pid_t holder, char *error, size_t error_len)
{
    char number[24] = "unknown";
    if (holder != 0)
        snprintf(number, sizeof(number), "%d", (int)holder);
    snprintf(error, error_len,
             "another boxedge is running with this %s (process %s holds %s); stop it, or give this "
             "one another %s",
             key, number, path, key);
}

/* Locks with `how`, without waiting. */
static lockfile_state_t try_lock(int fd, int how, const char *path, const char *key, pid_t *holder,
                                 char *error, size_t error_len)
{
    if (flock(fd, how | LOCK_NB) == 0)
        return LOCKFILE_FREE;
    if (errno != EWOULDBLOCK) {
        snprintf(error, error_len, "%s cannot be locked: %s", path, strerror(errno));
        return LOCKFILE_UNUSABLE;
    }
    *holder = read_holder(fd);
    explain_held(path, key, *holder, error, error_len);
    return LOCKFILE_HELD;
}

static void explain_unopened(const char *path, char *error, size_t error_len)
{
    snprintf(error, error_len, "%s cannot be opened: %s", path, strerror(errno));
}

int lockfile_acquire(const char *path, const char *key, char *error, size_t error_len)
{
    pid_t holder;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
        explain_unopened(path, error, error_len);
        return -1;
    }
    lockfile_state_t state = try_lock(fd, LOCK_EX, path, key, &holder, error, error_len);
    for (int waited = 0; state == LOCKFILE_HELD && waited < PATIENCE_MS; waited += RETRY_MS) {
        (void)poll(NULL, 0, RETRY_MS);
        state = try_lock(fd, LOCK_EX, path, key, &holder, error, error_len);
    }
    if (state == LOCKFILE_FREE) {
        lockfile_sign(fd);
        return fd;
    }
    close(fd);
    return -1;
}

lockfile_state_t lockfile_look(const char *path, const char *key, pid_t *holder, char *error,
                               size_t error_len)
{
    *holder = 0;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return LOCKFILE_FREE;
    if (fd < 0) {
        explain_unopened(path, error, error_len);
        return LOCKFILE_UNUSABLE;
    }
    lockfile_state_t state = try_lock(fd, LOCK_SH, path, key, holder, error, error_len);
    close(fd);
    return state;
}

void lockfile_sign(int fd)
{
    char text[24];
    int n = snprintf(text, sizeof(text), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)n, 0) < 0) {
        /* The lock still holds; only the message to a second instance lacks the number. */
    }
}
