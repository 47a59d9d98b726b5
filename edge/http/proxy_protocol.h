/*
 * The PROXY protocol, versions 1 and 2 (haproxy's doc/proxy-protocol.txt): the header by which a byte-level
 * proxy names its client. A pure parser; it can be called again with the same bytes and more after them.
 *
 * Strict, because the edge believes the header. Version 1 is printable ASCII with single spaces, addresses
 * without leading zeros and numbers without signs. Version 2 has TLVs that fill the header exactly, and at
 * most one CRC32C, which must be right. Other TLVs are skipped. Of version 2's families, TCP over IPv4 and
 * IPv6 give an address; the other defined ones (UNSPEC, UDP, Unix sockets) do not.
 */
#ifndef BOXEDGE_PROXY_PROTOCOL_H
#define BOXEDGE_PROXY_PROTOCOL_H

#include <netinet/in.h>

#include "str.h"

/* Maximum bytes of a header: 107 in version 1 (its end included). Version 2 could have 65,551, but no proxy
 * sends that many. */
#define PROXY_PROTOCOL_V1_MAX 107
#define PROXY_PROTOCOL_MAX    4096

typedef enum proxy_protocol_result {
    PROXY_PROTOCOL_DONE, /* a whole header */
    PROXY_PROTOCOL_MORE, /* all bytes may belong to a header; it is incomplete */
    PROXY_PROTOCOL_BAD,  /* this cannot become a header */
} proxy_protocol_result_t;

typedef struct proxy_protocol {
    size_t len;              /* of the header; later bytes belong to the connection */
    bool has_client;         /* false (UNKNOWN, LOCAL, UNSPEC...): the connection's own address counts */
    struct in6_addr address; /* the client's; IPv4 as mapped IPv6 */
    uint16_t port;           /* the client's */
} proxy_protocol_t;

/* Parses the start of a connection; sets `out` on DONE. Never returns MORE for PROXY_PROTOCOL_MAX bytes or
 * more. */
MUST_USE proxy_protocol_result_t proxy_protocol_parse(str_t bytes, proxy_protocol_t *out);

/* CRC32C (RFC 4960, appendix B) over `n` bytes, continuing from `crc` (0 at first). */
uint32_t proxy_protocol_crc32c(uint32_t crc, const void *bytes, size_t n);

#endif
