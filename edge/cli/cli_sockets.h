/*
 * Where a command looks for the admin socket of the running edge: at --socket, else where the configuration
 * of -c FILE says, else at $BOXEDGE_SOCKET, else where /etc/boxedge/boxedge.yaml says and where edges with
 * default directories have it.
 *
 * Default directories depend on the user whom an edge was started as, which its configuration does not say.
 * So a configuration may stand for two sockets: root's, and the caller's own.
 */
#ifndef BOXEDGE_CLI_SOCKETS_H
#define BOXEDGE_CLI_SOCKETS_H

#include "str.h"

#define CLI_SOCKETS_MAX 4

typedef struct cli_sockets {
    char *paths[CLI_SOCKETS_MAX]; /* owned; no two are the same; to be tried in this order */
    size_t count;                 /* at least 1 */
    const char *conf;             /* -c; NULL: not given */
} cli_sockets_t;

/* `socket` and `conf` (NULL: not given) are those options. False after saying on stderr what is wrong;
 * nothing is left to be freed then. */
MUST_USE bool cli_sockets_find(cli_sockets_t *sockets, const char *socket, const char *conf);
void cli_sockets_free(cli_sockets_t *sockets);
/* Says on stderr that no edge is there, and where it was looked for. */
void cli_sockets_explain(const cli_sockets_t *sockets);

#endif
