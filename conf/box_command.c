#include "box_command.h"

#include <assert.h>
#include <stdlib.h>

#define OWN_VARIABLES 5

char **box_command_argv(const conf_process_t *process)
{
    static char shell[] = "/bin/sh", option[] = "-c";
    assert(process->command_count > 0);
    char **argv = calloc(process->command_count + 3, sizeof(*argv));
    assert(argv != NULL);
    if (process->command_count == 1) {
        argv[0] = shell;
        argv[1] = option;
        argv[2] = process->command[0];
    } else {
        memcpy(argv, process->command, process->command_count * sizeof(*argv));
    }
    return argv;
}

static char *join(const char *name, const char *value)
{
    size_t n = strlen(name) + strlen(value) + 2;
    char *text = malloc(n);
    assert(text != NULL);
    (void)snprintf(text, n, "%s=%s", name, value);
    return text;
}

/* "NAME=.example.com" */
static char *hosts_below(const char *domain)
{
    static const char name[] = BOX_COMMAND_VITE_HOSTS "=.";
    size_t n = sizeof(name) + strlen(domain);
    char *text = malloc(n);
    assert(text != NULL);
    (void)snprintf(text, n, "%s%s", name, domain);
    return text;
}

static bool same_name(const char *a, const char *b)
{
    size_t n = strcspn(a, "=");
    return n == strcspn(b, "=") && memcmp(a, b, n) == 0;
}

/* Takes ownership of `variable`. */
static void put(char **env, size_t *count, char *variable)
{
    for (size_t i = 0; i < *count; i++)
        if (same_name(env[i], variable)) {
            free(env[i]);
            env[i] = variable;
            return;
        }
    env[(*count)++] = variable;
}

char **box_command_env(const conf_process_t *process, const char *home, const char *domain)
{
    size_t count = 0;
    char port[8];
    char **env = calloc(process->environment_count + OWN_VARIABLES + 1, sizeof(*env));
    assert(env != NULL);
    put(env, &count, join("PATH", BOX_COMMAND_PATH));
    put(env, &count, join("HOME", home));
    put(env, &count, join("LANG", "C.UTF-8"));
    put(env, &count, hosts_below(domain));
    if (process->port_count > 0) {
        (void)snprintf(port, sizeof(port), "%u", process->ports[0]);
        put(env, &count, join("PORT", port));
    }
    for (size_t i = 0; i < process->environment_count; i++) {
        char *copy = strdup(process->environment[i]);
        assert(copy != NULL);
        put(env, &count, copy);
    }
    return env;
}

void box_command_free_env(char ***env)
{
    if (*env == NULL)
        return;
    for (char **one = *env; *one != NULL; one++)
        free(*one);
    free(*env);
    *env = NULL;
}

static bool same_texts(char *const *a, size_t a_count, char *const *b, size_t b_count)
{
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++)
        if (strcmp(a[i], b[i]) != 0)
            return false;
    return true;
}

bool box_command_same(const conf_process_t *a, const conf_process_t *b)
{
    return same_texts(a->command, a->command_count, b->command, b->command_count) &&
           same_texts(a->environment, a->environment_count, b->environment, b->environment_count) &&
           strcmp(a->directory, b->directory) == 0 && strcmp(a->user, b->user) == 0 &&
           a->port_count == b->port_count &&
           (a->port_count == 0 || memcmp(a->ports, b->ports, a->port_count * sizeof(*a->ports)) == 0);
}
