#include "subprocess.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static _Noreturn void become(const char *const *argv, int output_fd)
{
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    (void)setsid();
    if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(output_fd, STDOUT_FILENO) < 0 ||
        dup2(output_fd, STDERR_FILENO) < 0)
        _exit(126);
    (void)execvp(argv[0], (char *const *)(const void *)argv);
    _exit(127);
}

static void read_all(int fd, subprocess_end_t *end)
{
    char rest[4096];
    for (;;) {
        bool full = end->len == SUBPROCESS_OUTPUT_MAX;
        ssize_t n = full ? read(fd, rest, sizeof(rest))
                         : read(fd, end->output + end->len, SUBPROCESS_OUTPUT_MAX - end->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        end->len += full ? 0 : (size_t)n;
    }
    end->output[end->len] = '\0';
}

void subprocess_run(const char *const *argv, subprocess_end_t *end)
{
    int pipe_fds[2], status;
    *end = (subprocess_end_t){.status = 126};
    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        return;
    pid_t pid = fork();
    if (pid == 0)
        become(argv, pipe_fds[1]);
    close(pipe_fds[1]);
    if (pid > 0) {
        read_all(pipe_fds[0], end);
        while (waitpid(pid, &status, 0) < 0)
            assert(errno == EINTR);
        end->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    close(pipe_fds[0]);
}

bool subprocess_exists(const char *name)
{
    const char *path = getenv("PATH");
    for (str_t rest = str_from(path != NULL ? path : ""); rest.n > 0;) {
        char file[4096];
        const char *colon = memchr(rest.p, ':', rest.n);
        size_t n = colon != NULL ? (size_t)(colon - rest.p) : rest.n;
        int len = snprintf(file, sizeof(file), "%.*s/%s", (int)n, rest.p, name);
        if (n > 0 && len > 0 && (size_t)len < sizeof(file) && access(file, X_OK) == 0)
            return true;
        rest = str_from_offset(rest, colon != NULL ? n + 1 : n);
    }
    return false;
}
