/* One run of `boxedge dev`: its command, its box and preview at the edge, and what it shows. */
#ifndef BOXEDGE_DEV_SESSION_H
#define BOXEDGE_DEV_SESSION_H

#include "box_id.h"
#include "dev_command.h"
#include "dev_edge.h"
#include "dev_ports.h"
#include "dev_show.h"

#define DEV_LEASE_BYTES 33
/* Requests that were shown: more than one answer of the edge has. */
#define DEV_SEEN_MAX 1024
#define DEV_ID_BYTES 33

/* Where the command stands. */
typedef enum dev_state {
    DEV_WAITS, /* it listens on no port yet, or no longer */
    DEV_LIVE,
} dev_state_t;

typedef struct dev_session {
    dev_state_t state;
    dev_edge_t edge;
    dev_command_t command;
    dev_show_t show;
    char id[BOX_ID_MAX + 1];
    char lease[DEV_LEASE_BYTES];
    char domain[256];
    uint16_t wanted; /* --port; 0: any */
    bool open;       /* --public */
    bool can_change; /* the name is not the caller's own choice */
    uint64_t started_ms;
    uint16_t port;       /* of the preview; 0: none was made */
    dev_port_t listens;  /* of DEV_LIVE */
    bool hinted;         /* about the wait */
    bool lost;           /* the edge did not answer last time */
    uint64_t several_ms; /* since when several ports listen; 0: not */
    char seen[DEV_SEEN_MAX][DEV_ID_BYTES];
    size_t seen_count; /* of all, also forgotten ones */
} dev_session_t;

/* ---- the edge's side (dev_session.c) ---- */

/* Claims the name. False after a sentence on stderr. */
MUST_USE bool dev_session_claim(dev_session_t *session);
/* The command listens there: makes the preview, or leads the present one there, and shows it. */
void dev_session_serve(dev_session_t *session, const dev_port_t *port);
/* It listens no more: requests wait. */
void dev_session_lose(dev_session_t *session);
/* Renews the lease; starts the edge again if it has ended. */
void dev_session_renew(dev_session_t *session);
/* Keeps the preview from expiring. */
void dev_session_extend(dev_session_t *session);
/* Shows new requests; `show` false: takes them as seen. Returns their number. */
size_t dev_session_follow(dev_session_t *session, bool show);
/* Deletes preview and box, and leaves the edge. */
void dev_session_leave(dev_session_t *session);

#endif
