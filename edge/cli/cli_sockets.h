/*
 * Finds the admin socket of the running edge: --socket; else the socket in the configuration of -c FILE; else
 * $BOXEDGE_SOCKET; else the socket in /etc/boxedge/boxedge.yaml, and those of default directories.
 *
 * Default directories depend on the user who started the edge, whom its configuration does not name. So a
 * configuration may stand for two sockets: root's, and the caller's own.
 */
#ifndef BOXEDGE_CLI_SOCKETS_H
#define BOXEDGE_CLI_SOCKETS_H

#include "str.h"

#define CLI_SOCKETS_MAX 4

typedef struct cli_sockets {
    char *paths[CLI_SOCKETS_MAX]; /* owned, distinct, in the order of preference */
    size_t count;                 /* at least 1 */
    const char *conf;             /* -c; NULL: not given */
} cli_sockets_t;

/* `socket` and `conf` (NULL: not given) are the options. False, with nothing to free, after an error on
 * stderr. */
MUST_USE bool cli_sockets_find(cli_sockets_t *sockets, const char *socket, const char *conf);
void cli_sockets_free(cli_sockets_t *sockets);
/* Prints on stderr that no edge runs, and the sockets that were tried. */
void cli_sockets_explain(const cli_sockets_t *sockets);

#endif
