/*
 * A client's connection as every codec sees it: where it came from and over what. http1_server and
 * http2_server embed it as their first member. The worker keeps all of them in a list, for draining and for
 * shedding.
 */
#ifndef BOXEDGE_CLIENT_H
#define BOXEDGE_CLIENT_H

#include <netinet/in.h>

#include "conf.h"
#include "conn.h"
#include "exchange.h"
#include "list.h"

/* Whether the connection's certificate covers the hosts of previews; found out once. */
typedef enum client_covers { CLIENT_COVERS_UNKNOWN, CLIENT_COVERS, CLIENT_COVERS_NOT } client_covers_t;

/* What the worker asks of a codec; `client` may be freed by either, no other one is. */
typedef struct client_codec {
    /* Finish what it has and close: keep-alive off and Connection: close, or GOAWAY. */
    void (*drain)(client_t *client);
    /* End it now: every exchange is ended, the connection closed, the memory freed. */
    void (*destroy)(client_t *client);
    /* Whether it is between two requests, and since when (loop_now). NULL: it never is. */
    bool (*idle_since)(const client_t *client, uint64_t *since_ms);
    /* Ends an idle one now, as its keep-alive timeout would. */
    void (*close_idle)(client_t *client);
    /* Bytes that its exchanges hold which got no further since `before` (relief.h), about. NULL: it has none.
     */
    uint64_t (*stalled)(client_t *client, uint64_t before);
    /* Ends those exchanges; with `box_share` only those whose box holds more. */
    void (*relieve)(client_t *client, uint64_t before, uint64_t box_share);
} client_codec_t;

/* As small as can be, since idle connections are many. */
struct client {
    list_t link; /* in context_t.clients */
    context_t *context;
    conn_t *conn;
    const exchange_step_t *steps; /* what its exchanges go through */
    const client_codec_t *codec;
    struct in6_addr address; /* of the connection; that of an exchange's client: remote_address */
    uint16_t port;           /* the client's */
    uint16_t local_port;     /* the listener's */
    conf_listener_kind_t kind : 8;
    client_covers_t covers : 8;
    bool tls_terminated : 1; /* conf_listener_t.tls_terminated */
    bool local : 1;          /* the admin socket or the demo app: no address, no access line */
    bool counted : 1;        /* in the shared counts of its address and in connections_open */
    bool tls : 1;            /* CONN_TLS_STATE_BYTES are counted (client_keeps) */
    uint64_t covers_api;     /* hash of the API host that its certificate was last found to cover; 0: none */
    account_t account;       /* of what the connection holds; its share is that of the address */
};

/* Called by a codec's _new: copies `accepted` (whose conn it takes over) and enters the worker's list. The
 * codec sets `codec` and the owner of the connection. */
void client_init(client_t *client, const client_t *accepted);
/* The address has become known; nothing is counted to the account yet. */
void client_set_share(client_t *client);
/*
 * What the connection keeps for TLS changes from `before` to `after` bytes: counted to its account and to
 * context_t.connection_bytes. client_init and client_fini do this for an idle one over TLS.
 */
void client_keeps(client_t *client, uint64_t before, uint64_t after);
/*
 * Counts the connection in connections_open and for its address, over all workers. False, with nothing
 * counted: the address has limits.connections_per_client. Only where `limited`; networks of trusted_proxies
 * and health checks have no limit. client_uncount takes it back where it was counted.
 */
MUST_USE bool client_count(client_t *client, bool limited);
#define CLIENT_HAS_MANY "The client has as many as limits.connections_per_client allows."
void client_uncount(client_t *client);
/* Called by a codec's destroy before it frees itself: leaves the worker's list, closes the connection, or
 * leaves it to a farewell (farewell.h). */
void client_fini(client_t *client);
/*
 * Whether the connection is one of a trusted proxy: many clients share it, so that no fault of one of them
 * may end it. remote.h tells the client of an exchange.
 */
MUST_USE bool client_is_proxy(const client_t *client);

/*
 * Makes the codec for an accepted connection (after the TLS handshake and ALPN) from `accepted`, which is
 * copied: takes over its conn and links it into the worker.
 */
void http1_server_new(const client_t *accepted);
void http2_server_new(const client_t *accepted);

#endif
