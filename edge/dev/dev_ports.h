/* The ports on which the processes of a tree listen, from /proc. */
#ifndef BOXEDGE_DEV_PORTS_H
#define BOXEDGE_DEV_PORTS_H

#include <stddef.h>
#include <sys/types.h>

#include "str.h"

#define DEV_PORTS_MAX 32

/* A plain value. */
typedef struct dev_port {
    uint16_t port;
    bool v6;      /* reached at ::1; else at 127.0.0.1 */
    bool outside; /* only at another address of this machine: the edge cannot reach it */
} dev_port_t;

/* Fills `out` with the listening TCP ports of `root` and all its descendants, in ascending order, each once;
 * an address that the edge reaches comes before others. Returns their number. */
size_t dev_ports_find(pid_t root, dev_port_t out[DEV_PORTS_MAX]);
/* The same from texts in the form of /proc/net/tcp and tcp6, for the sorted inodes. */
size_t dev_ports_parse(const char *tcp, const char *tcp6, const unsigned long *inodes, size_t inode_count,
                       dev_port_t out[DEV_PORTS_MAX]);
/* Whether the port answers a request in HTTP within `timeout_ms`. */
bool dev_ports_speaks_http(const dev_port_t *port, int timeout_ms);
/* Whether any process accepts connections on this port of loopback; fills `out` (NULL: not wanted) if so. */
bool dev_ports_is_taken(uint16_t port, dev_port_t *out);

#endif
