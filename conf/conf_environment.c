#include "conf_environment.h"

#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "cpu_quota.h"

/* Relative paths are ignored (XDG Base Directory Specification, "Environment variables"). */
static void take_path(const char *path, char out[CONF_ENVIRONMENT_PATH_MAX])
{
    if (path != NULL && path[0] == '/' && strlen(path) < CONF_ENVIRONMENT_PATH_MAX)
        memcpy(out, path, strlen(path));
}

/* The CPUs that this process may run on, limited by the quota of its control groups. */
static unsigned count_cpus(void)
{
    char self[4096];
    cpu_set_t cpus;
    unsigned count = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? (unsigned)CPU_COUNT(&cpus) : 1;
    int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return count;
    ssize_t n = read(fd, self, sizeof(self));
    close(fd);
    return cpu_quota_apply("/sys/fs/cgroup", str_make(self, n > 0 ? (size_t)n : 0), count);
}

void conf_environment_read(conf_environment_t *env)
{
    memset(env, 0, sizeof(*env));
    env->root = geteuid() == 0;
    env->cpus = count_cpus();
    if (gethostname(env->host_name, sizeof(env->host_name) - 1) != 0)
        env->host_name[0] = '\0';
    if (getcwd(env->cwd, sizeof(env->cwd)) == NULL || env->cwd[0] != '/')
        memset(env->cwd, 0, sizeof(env->cwd));
    take_path(getenv("HOME"), env->home);
    take_path(getenv("XDG_STATE_HOME"), env->xdg_state_home);
    take_path(getenv("XDG_RUNTIME_DIR"), env->xdg_runtime_dir);
}
