#include "children.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "str.h"

/* Returns the parent of a process and sets its state; 0 if the process does not exist. */
static pid_t parent_of(pid_t pid, char *state)
{
    char path[32], text[512];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    /* "PID (NAME) STATE PARENT ...": the name may contain parentheses */
    const char *end = strrchr(text, ')');
    int parent = 0;
    return end != NULL && sscanf(end + 1, " %c %d", state, &parent) == 2 ? (pid_t)parent : 0;
}

static bool is_spared(pid_t pid, const pid_t *spare, size_t spare_count)
{
    for (size_t i = 0; i < spare_count; i++)
        if (spare[i] == pid)
            return true;
    return false;
}

/* Uses a descriptor and checks again, because another process may have taken the number. */
static bool kill_child(pid_t pid)
{
    char state = 'Z';
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (fd < 0)
        return false;
    bool ours = parent_of(pid, &state) == getpid() && state != 'Z';
    if (ours)
        (void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
    close(fd);
    return ours;
}

size_t children_kill(const pid_t *spare, size_t spare_count)
{
    const struct dirent *entry;
    size_t count = 0;
    DIR *proc = opendir("/proc");
    if (proc == NULL)
        return 0;
    while ((entry = readdir(proc)) != NULL) {
        uint64_t number;
        char state = 'Z';
        if (!str_to_uint(str_from(entry->d_name), INT32_MAX, &number))
            continue;
        pid_t pid = (pid_t)number;
        if (parent_of(pid, &state) == getpid() && state != 'Z' && !is_spared(pid, spare, spare_count))
            count += kill_child(pid);
    }
    closedir(proc);
    return count;
}

const char *children_end_text(int status, char out[64])
{
    if (WIFSIGNALED(status))
        snprintf(out, 64, "killed by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(out, 64, "exit status %d", WEXITSTATUS(status));
    return out;
}
