/*
 * The client of an exchange: its address, and whether it speaks https. Every limit, block, log line and
 * X-Forwarded-For uses these answers. They are those of the connection, unless it comes from a proxy in
 * trusted_proxies: then the proxy names the client (docs/access.md, "Where clients come from").
 */
#ifndef BOXEDGE_REMOTE_H
#define BOXEDGE_REMOTE_H

#include <netinet/in.h>
#include <stdbool.h>

#include "str.h"

typedef struct client client_t;
typedef struct exchange exchange_t;

typedef struct remote {
    struct in6_addr address; /* IPv4 as mapped IPv6 */
    bool trusted;            /* the connection comes from a trusted proxy */
    bool named;              /* the proxy named another address than its own */
    bool https;
    bool counted; /* in the shared counts of `address`, if it was named */
} remote_t;

/* The client by the connection alone. */
remote_t remote_of_connection(const client_t *client);
/* Finds the client; needs the complete head of the request. */
void remote_find(exchange_t *ex);
/* Copies the client of another exchange, for which this one is made. */
void remote_inherit(exchange_t *ex, const exchange_t *from);

const struct in6_addr *remote_address(const exchange_t *ex);
/* Whether the client speaks TLS, to the edge or to the proxy in front. Only then may the edge set cookies or
 * ask for secrets. */
bool remote_is_https(const exchange_t *ex);
/* Whether the edge honours the request's X-Forwarded-* and X-Request-Id. */
bool remote_is_trusted(const exchange_t *ex);

/*
 * Counts a request from a trusted proxy as a connection of the client that the proxy names, until
 * remote_uncount. False, with nothing counted: the client has limits.connections_per_client.
 */
__attribute__((warn_unused_result)) bool remote_count(exchange_t *ex);
void remote_uncount(exchange_t *ex);

/* Whether to keep an inbound request id: only from a trusted proxy, and only 1-36 letters, digits, '-', '_',
 * '.'. */
bool remote_gives_id(const exchange_t *ex, str_t id);

#endif
