/*
 * See sd_listen.h.
 */
#include "sd_listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool refuse(const char *name, const char *value, const char *what, char *error, size_t error_len)
{
    snprintf(error, error_len, "the sockets that were passed cannot be used: %s=%.40s %s", name, value, what);
    return false;
}

bool sd_listen_count(const sd_listen_env_t *env, pid_t self, unsigned most, unsigned *count, char *error,
                     size_t error_len)
{
    uint64_t pid, fds;
    *count = 0;
    if (env->pid == NULL || env->fds == NULL)
        return true;
    if (!str_to_uint(str_from(env->pid), INT32_MAX, &pid) || pid == 0)
        return refuse("LISTEN_PID", env->pid, "is not the number of a process", error, error_len);
    if (pid != (uint64_t)self)
        return true;
    if (!str_to_uint(str_from(env->fds), INT32_MAX, &fds))
        return refuse("LISTEN_FDS", env->fds, "is not a number", error, error_len);
    if (fds > most)
        return refuse("LISTEN_FDS", env->fds, "is more than an edge can have", error, error_len);
    *count = (unsigned)fds;
    return true;
}

str_t sd_listen_name(const char *names, unsigned index)
{
    const char *at = names != NULL ? names : "";
    for (; index > 0; index--) {
        at += strcspn(at, ":");
        at += *at == ':';
    }
    return str_make(at, strcspn(at, ":"));
}

bool sd_listen_take(unsigned most, unsigned *count, char *error, size_t error_len)
{
    const sd_listen_env_t env = {
        .pid = getenv("LISTEN_PID"), .fds = getenv("LISTEN_FDS"), .names = getenv("LISTEN_FDNAMES")};
    if (!sd_listen_count(&env, getpid(), most, count, error, error_len))
        return false;
    for (unsigned i = 0; i < *count; i++) {
        if (fcntl(SD_LISTEN_FIRST + (int)i, F_SETFD, FD_CLOEXEC) == 0)
            continue;
        snprintf(error, error_len, "LISTEN_FDS=%s, and descriptor %u cannot be used: %s", env.fds,
                 SD_LISTEN_FIRST + i, strerror(errno));
        return false;
    }
    return true;
}

void sd_listen_forget(void)
{
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
}
