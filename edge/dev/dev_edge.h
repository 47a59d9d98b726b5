/*
 * The edge that `boxedge dev` uses: one that runs as this user already, or one that it starts for itself
 * (dev_place.h). That edge belongs to all `boxedge dev` of this user: each holds a shared lock, and a keeper
 * process waits for the exclusive one, which the kernel grants when the last of them has ended, however it
 * ended. The keeper then ends the edge and removes its files.
 */
#ifndef BOXEDGE_DEV_EDGE_H
#define BOXEDGE_DEV_EDGE_H

#include <jansson.h>
#include <netinet/in.h>

#include "dev_place.h"

typedef struct dev_edge {
    char socket[DEV_PATH_MAX]; /* of the admin API */
    bool own;                  /* that of dev_place.h */
    bool started;              /* by this process */
    dev_place_t place;
    int users_fd; /* holds the shared lock; -1: none */
    const char
        *lan; /* the domain of previews that other machines reach (--lan); NULL: only this machine does */
    char lan_address[INET_ADDRSTRLEN]; /* of this machine, with `lan` */
} dev_edge_t;

/* Finds an edge, or starts one. `socket` and `conf` (NULL: none) name one that must run; with `lan` (NULL:
 * none), one whose previews are below that domain is started. Returns false after a sentence on stderr. */
MUST_USE bool dev_edge_join(dev_edge_t *edge, const char *socket, const char *conf, const char *lan);
/* Fills `out` with the IPv4 address at which the local network reaches this machine. False if it has none. */
MUST_USE bool dev_edge_lan_address(char out[INET_ADDRSTRLEN]);
/* Starts the own edge again after its end. Returns false after a sentence on stderr. */
MUST_USE bool dev_edge_restart(dev_edge_t *edge);
/* Leaves the edge, and waits for its end if no other command uses it. */
void dev_edge_leave(dev_edge_t *edge);

/* Asks the edge, and takes over `body` (NULL: none). Returns the status, or 0 without an answer; *out (may be
 * NULL) is the body, to be released, or NULL. */
int dev_edge_ask(const dev_edge_t *edge, const char *method, const char *target, json_t *body, json_t **out);

#endif
