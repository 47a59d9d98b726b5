#include "cli_sockets.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "conf_environment.h"

#define DEFAULT_CONF "/etc/boxedge/boxedge.yaml"

static void add(cli_sockets_t *sockets, const char *path)
{
    for (size_t i = 0; i < sockets->count; i++)
        if (strcmp(sockets->paths[i], path) == 0)
            return;
    if (sockets->count == CLI_SOCKETS_MAX)
        return;
    sockets->paths[sockets->count] = strdup(path);
    assert(sockets->paths[sockets->count] != NULL);
    sockets->count++;
}

/* Adds the socket of an edge with the configuration at `path` (NULL: with the defaults), started by root, or
 * else by the caller. False if the configuration has errors, which are then in `errors`. */
static bool add_conf(cli_sockets_t *sockets, const char *path, bool root, conf_errors_t *errors)
{
    static const char nothing[] = "preview_domain: preview.example\n"
                                  "listeners: [{address: \"127.0.0.1:8443\", kind: tls}]\n";
    conf_environment_t env;
    conf_environment_read(&env);
    env.root = root;
    conf_t *conf = path != NULL ? conf_load_in(&env, path, errors)
                                : conf_parse_in(&env, "defaults", str_from(nothing), errors);
    if (conf == NULL)
        return false;
    add(sockets, conf->admin_socket);
    conf_release(&conf);
    return true;
}

/* Like add_conf, but drops errors. */
static void try_conf(cli_sockets_t *sockets, const char *path, bool root)
{
    conf_errors_t *errors = conf_errors_new();
    (void)add_conf(sockets, path, root, errors);
    conf_errors_free(&errors);
}

/* Adds the sockets of a named configuration, and prints its errors. */
static bool add_named(cli_sockets_t *sockets, const char *path)
{
    conf_errors_t *errors = conf_errors_new();
    (void)add_conf(sockets, path, geteuid() == 0, errors);
    try_conf(sockets, path, true);
    bool ok = sockets->count > 0;
    if (!ok) {
        conf_errors_print(errors, stderr);
        fprintf(stderr, "boxedge: these errors hide the edge's admin socket; name it with --socket PATH\n");
    }
    conf_errors_free(&errors);
    return ok;
}

/* An edge of the caller's own comes first; root's is the installed one, with its configuration. */
static void add_defaults(cli_sockets_t *sockets)
{
    if (geteuid() != 0)
        try_conf(sockets, NULL, false);
    if (access(DEFAULT_CONF, R_OK) == 0)
        try_conf(sockets, DEFAULT_CONF, true);
    try_conf(sockets, NULL, true);
}

bool cli_sockets_find(cli_sockets_t *sockets, const char *socket, const char *conf)
{
    const char *environment = getenv("BOXEDGE_SOCKET");
    *sockets = (cli_sockets_t){.conf = conf};
    if (socket != NULL)
        add(sockets, socket);
    else if (conf != NULL)
        return add_named(sockets, conf);
    else if (environment != NULL && environment[0] != '\0')
        add(sockets, environment);
    else
        add_defaults(sockets);
    return true;
}

void cli_sockets_free(cli_sockets_t *sockets)
{
    for (size_t i = 0; i < sockets->count; i++)
        free(sockets->paths[i]);
    *sockets = (cli_sockets_t){0};
}

void cli_sockets_explain(const cli_sockets_t *sockets)
{
    fprintf(stderr, "boxedge: the edge is not running: nothing listens on ");
    for (size_t i = 0; i < sockets->count; i++)
        fprintf(stderr, "%s%s", i > 0 ? ", nor on " : "", sockets->paths[i]);
    fputc('\n', stderr);
    if (sockets->conf != NULL) {
        fprintf(stderr, "Start it with: boxedge run -c %s\n", sockets->conf);
        return;
    }
    if (access(DEFAULT_CONF, R_OK) != 0 && errno == EACCES)
        fprintf(stderr, "You may not read " DEFAULT_CONF ", which names its socket: use sudo.\n");
    fprintf(stderr, "Start it with `boxedge run -c FILE`; if it runs with another configuration, name "
                    "that with -c FILE.\n");
}
