#include "conf_environment.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

/* Relative ones do not count (XDG Base Directory Specification, "Environment variables"). */
static void take_path(const char *path, char out[CONF_ENVIRONMENT_PATH_MAX])
{
    if (path != NULL && path[0] == '/' && strlen(path) < CONF_ENVIRONMENT_PATH_MAX)
        memcpy(out, path, strlen(path));
}

void conf_environment_read(conf_environment_t *env)
{
    memset(env, 0, sizeof(*env));
    env->root = geteuid() == 0;
    cpu_set_t cpus;
    env->cpus = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? (unsigned)CPU_COUNT(&cpus) : 1;
    if (gethostname(env->host_name, sizeof(env->host_name) - 1) != 0)
        env->host_name[0] = '\0';
    if (getcwd(env->cwd, sizeof(env->cwd)) == NULL || env->cwd[0] != '/')
        memset(env->cwd, 0, sizeof(env->cwd));
    take_path(getenv("HOME"), env->home);
    take_path(getenv("XDG_STATE_HOME"), env->xdg_state_home);
    take_path(getenv("XDG_RUNTIME_DIR"), env->xdg_runtime_dir);
}
