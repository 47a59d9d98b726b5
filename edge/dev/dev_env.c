#include "dev_env.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define OWN_MAX 8

typedef struct builder {
    char **env;
    size_t count;
} builder_t;

static size_t name_length(const char *variable)
{
    return strcspn(variable, "=");
}

static char **find(const builder_t *b, const char *variable)
{
    size_t n = name_length(variable);
    for (size_t i = 0; i < b->count; i++)
        if (name_length(b->env[i]) == n && memcmp(b->env[i], variable, n) == 0)
            return &b->env[i];
    return NULL;
}

/* Takes ownership of `variable`. */
static void add(builder_t *b, char *variable, bool replace)
{
    assert(variable != NULL);
    char **old = find(b, variable);
    if (old == NULL) {
        b->env[b->count++] = variable;
    } else if (replace) {
        free(*old);
        *old = variable;
    } else {
        free(variable);
    }
}

static char *text_of(const char *name, const char *value)
{
    size_t n = strlen(name) + strlen(value) + 2;
    char *text = malloc(n);
    assert(text != NULL);
    (void)snprintf(text, n, "%s=%s", name, value);
    return text;
}

char **dev_env_make(char *const *caller, const char *domain, uint16_t port, bool terminal)
{
    size_t count = 0;
    char digits[8], hosts[300];
    while (caller[count] != NULL)
        count++;
    builder_t b = {.env = calloc(count + OWN_MAX + 1, sizeof(*b.env))};
    assert(b.env != NULL);
    for (size_t i = 0; i < count; i++) {
        b.env[b.count] = strdup(caller[i]);
        assert(b.env[b.count] != NULL);
        b.count++;
    }
    /* The name that Vite accepts beside localhost. */
    (void)snprintf(hosts, sizeof(hosts), ".%s", domain);
    add(&b, text_of("__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS", hosts), false);
    if (!terminal) /* Python keeps its output back if that is a pipe */
        add(&b, text_of("PYTHONUNBUFFERED", "1"), false);
    if (port != 0) {
        (void)snprintf(digits, sizeof(digits), "%u", port);
        add(&b, text_of("PORT", digits), true);
    }
    return b.env;
}

void dev_env_free(char ***env)
{
    for (char **one = *env; one != NULL && *one != NULL; one++)
        free(*one);
    free(*env);
    *env = NULL;
}
