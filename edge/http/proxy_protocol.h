/*
 * The PROXY protocol, versions 1 and 2 (haproxy's doc/proxy-protocol.txt): what a proxy that passes on bytes
 * puts in front of them to say who its client is. A pure parser that can be given the same bytes again with
 * more behind them.
 *
 * Strict, because what it says is believed: version 1 in printable ASCII with single spaces, addresses
 * without leading zeros and numbers without signs; version 2 with TLVs that fill the header exactly, and a
 * CRC32C that is right where there is one (two are refused). The other TLVs are skipped. Of version 2's
 * families, TCP over IPv4 and IPv6 give an address; the other defined ones (UNSPEC, UDP, Unix sockets) do
 * not.
 */
#ifndef BOXEDGE_PROXY_PROTOCOL_H
#define BOXEDGE_PROXY_PROTOCOL_H

#include <netinet/in.h>

#include "str.h"

/* The longest header that is taken, in bytes: version 1 knows 107 (its end included); version 2 could have
 * 65,551, but nobody sends so much. */
#define PROXY_PROTOCOL_V1_MAX 107
#define PROXY_PROTOCOL_MAX    4096

typedef enum proxy_protocol_result {
    PROXY_PROTOCOL_DONE, /* a whole header */
    PROXY_PROTOCOL_MORE, /* so far it can be one, and all bytes belong to it */
    PROXY_PROTOCOL_BAD,  /* it cannot become one */
} proxy_protocol_result_t;

typedef struct proxy_protocol {
    size_t len;              /* of the header; what follows belongs to the connection */
    bool has_client;         /* false: UNKNOWN, LOCAL, UNSPEC: the connection speaks for itself */
    struct in6_addr address; /* the client's; IPv4 as mapped IPv6 */
    uint16_t port;           /* the client's */
} proxy_protocol_t;

/* Looks at the beginning of a connection; `out` is set with DONE. With `bytes` of PROXY_PROTOCOL_MAX or more
 * it never says MORE. */
MUST_USE proxy_protocol_result_t proxy_protocol_parse(str_t bytes, proxy_protocol_t *out);

/* CRC32C (RFC 4960, appendix B) over `n` bytes, going on from `crc` (0 at first). */
uint32_t proxy_protocol_crc32c(uint32_t crc, const void *bytes, size_t n);

#endif
