/*
 * A client's connection as every codec sees it: its origin and its transport. http1_server and http2_server
 * embed it as their first member. The worker lists all of them, for draining and for shedding.
 */
#ifndef BOXEDGE_CLIENT_H
#define BOXEDGE_CLIENT_H

#include <netinet/in.h>

#include "conf.h"
#include "conn.h"
#include "exchange.h"
#include "list.h"

/* Whether the connection's certificate covers the hosts of previews; computed once. */
typedef enum client_covers { CLIENT_COVERS_UNKNOWN, CLIENT_COVERS, CLIENT_COVERS_NOT } client_covers_t;

/* The operations of a codec that the worker calls. They may free `client`, but no other client. */
typedef struct client_codec {
    /* Finishes the open exchanges and closes. Over HTTP/1 the next response announces the close, which an
     * idle client has about a second to ask for. Over HTTP/2 it sends GOAWAY. */
    void (*drain)(client_t *client);
    /* Ends every exchange now, closes the connection and frees the memory. */
    void (*destroy)(client_t *client);
    /* Whether the connection is idle between requests, and since when (loop_now). NULL: it never is. */
    bool (*idle_since)(const client_t *client, uint64_t *since_ms);
    /* Closes an idle connection now, as its keep-alive timeout would. */
    void (*close_idle)(client_t *client);
    /* About how many bytes its exchanges hold that have made no progress since `before` (relief.h). NULL: it
     * has no exchanges. */
    uint64_t (*stalled)(client_t *client, uint64_t before);
    /* Ends those exchanges; if `box_share` is not 0, only those whose box holds more. */
    void (*relieve)(client_t *client, uint64_t before, uint64_t box_share);
} client_codec_t;

/* As small as possible, because many connections are idle. */
struct client {
    list_t link; /* in context_t.clients */
    context_t *context;
    conn_t *conn;
    const exchange_step_t *steps; /* for its exchanges */
    const client_codec_t *codec;
    struct in6_addr address; /* of the connection; remote_address has that of an exchange's client */
    uint16_t port;           /* the client's */
    uint16_t local_port;     /* the listener's */
    conf_listener_kind_t kind : 8;
    client_covers_t covers : 8;
    bool tls_terminated : 1; /* conf_listener_t.tls_terminated */
    bool local : 1;          /* the admin socket or the demo app: no address, no access line */
    bool counted : 1;        /* in the shared counts of its address and in connections_open */
    bool tls : 1;            /* CONN_TLS_STATE_BYTES are counted (client_keeps) */
    uint8_t listener;        /* the listener's cell (measures_t.listeners) */
    uint64_t covers_api;     /* hash of the API host that its certificate was last found to cover; 0: none */
    account_t account;       /* the connection's memory; its share is that of the address */
};

/* For a codec's _new: copies `accepted`, takes over its conn, and enters the worker's list. The codec sets
 * `codec` and the owner of the connection. */
void client_init(client_t *client, const client_t *accepted);
/* Sets the share once the address is known, before the account counts anything. */
void client_set_share(client_t *client);
/*
 * Changes the connection's memory for TLS from `before` to `after` bytes, in its account and in
 * context_t.connection_bytes. client_init and client_fini do this for an idle connection over TLS.
 */
void client_keeps(client_t *client, uint64_t before, uint64_t after);
/*
 * Counts the connection in connections_open and, over all workers, for its address. False, with nothing
 * counted: the address has limits.connections_per_client. The limit applies only if `limited`, and not to
 * trusted_proxies or health checks. client_uncount reverts the count, if any.
 */
MUST_USE bool client_count(client_t *client, bool limited);
#define CLIENT_HAS_MANY "The client already has limits.connections_per_client connections."
void client_uncount(client_t *client);
/* For a codec's destroy, before it frees itself: leaves the worker's list and closes the connection, or
 * leaves it to a farewell (farewell.h). */
void client_fini(client_t *client);
/*
 * Whether the connection comes from a trusted proxy. Many clients share it, so a fault of one of them must
 * not end it. remote.h identifies the client of an exchange.
 */
MUST_USE bool client_is_proxy(const client_t *client);

/*
 * Makes the codec for an accepted connection (after the TLS handshake and ALPN). Copies `accepted`, takes
 * over its conn and links it into the worker.
 */
void http1_server_new(const client_t *accepted);
void http2_server_new(const client_t *accepted);

#endif
