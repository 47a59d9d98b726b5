#include "conf_net.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>

#include "address.h"

#define MAPPED_BITS 96 /* of the prefix ::ffff:0:0/96 for IPv4 */

static const struct sockaddr_in *v4_of(const conf_address_t *address)
{
    return (const struct sockaddr_in *)&address->sa;
}

static const struct sockaddr_in6 *v6_of(const conf_address_t *address)
{
    return (const struct sockaddr_in6 *)&address->sa;
}

/* inet_pton for a slice: no scope, no leading zeros, no surrounding text. */
static bool read_number(int family, str_t text, void *out)
{
    char buffer[INET6_ADDRSTRLEN];
    if (text.n == 0 || text.n >= sizeof(buffer) || memchr(text.p, '\0', text.n) != NULL)
        return false;
    memcpy(buffer, text.p, text.n);
    buffer[text.n] = '\0';
    return inet_pton(family, buffer, out) == 1;
}

static bool read_port(str_t text, uint16_t *port)
{
    uint64_t value;
    if (text.n == 0 || text.p[0] == '0' || !str_to_uint(text, UINT16_MAX, &value))
        return false;
    *port = (uint16_t)value;
    return true;
}

/* Splits "host:port" or "[host]:port"; *port is empty if absent. */
static const char *split(str_t text, str_t *host, str_t *port, bool *bracketed)
{
    *bracketed = text.n != 0 && text.p[0] == '[';
    const char *colon = text.n != 0 ? memchr(text.p, ':', text.n) : NULL;
    *port = str_make(NULL, 0);
    if (*bracketed) {
        const char *end = memchr(text.p, ']', text.n);
        if (end == NULL)
            return "has no closing bracket";
        *host = str_make(text.p + 1, (size_t)(end - text.p) - 1);
        str_t rest = str_from_offset(text, (size_t)(end - text.p) + 1);
        if (rest.n == 0)
            return NULL;
        *port = str_from_offset(rest, 1);
        return rest.p[0] == ':' ? NULL : "has text after its bracket that is not a port";
    }
    *host = colon != NULL ? str_make(text.p, (size_t)(colon - text.p)) : text;
    if (colon == NULL)
        return NULL;
    *port = str_from_offset(text, host->n + 1);
    return memchr(port->p, ':', port->n) == NULL ? NULL : "needs brackets around an IPv6 address";
}

static const char *read_host(str_t host, bool bracketed, uint16_t port, conf_address_t *out)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (bracketed && read_number(AF_INET6, host, &v6)) {
        if (address_is_v4(&v6))
            return "is an IPv4 address in IPv6 notation (write it as IPv4)";
        struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = v6};
        memcpy(&out->sa, &sa, sizeof(sa));
        out->len = sizeof(sa);
        return NULL;
    }
    if (!bracketed && read_number(AF_INET, host, &v4)) {
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = v4};
        memcpy(&out->sa, &sa, sizeof(sa));
        out->len = sizeof(sa);
        return NULL;
    }
    if (host.n == 0)
        return "has no address before the port (0.0.0.0 and [::] mean all addresses)";
    return "is not a numeric address (names are not looked up)";
}

const char *conf_net_read_address(str_t text, bool port_needed, conf_address_t *out)
{
    *out = (conf_address_t){0};
    str_t host;
    str_t port_text;
    bool bracketed;
    const char *why = split(text, &host, &port_text, &bracketed);
    if (why != NULL)
        return why;
    uint16_t port = 0;
    if (port_text.p != NULL && !read_port(port_text, &port))
        return "has a port that is not a number from 1 to 65535";
    if ((why = read_host(host, bracketed, port, out)) != NULL)
        return why;
    return port_needed && port_text.p == NULL ? "has no port" : NULL;
}

/* Returns whether bits after the first `bits` are set. */
static bool has_bits_after(const struct in6_addr *address, unsigned bits)
{
    for (unsigned i = bits; i < 128; i++)
        if (address->s6_addr[i / 8] & (0x80u >> (i % 8)))
            return true;
    return false;
}

const char *conf_net_read_network(str_t text, conf_network_t *out)
{
    *out = (conf_network_t){0};
    const char *slash = text.n != 0 ? memchr(text.p, '/', text.n) : NULL;
    str_t host = slash != NULL ? str_make(text.p, (size_t)(slash - text.p)) : text;
    struct in_addr v4;
    unsigned most = 128;
    if (read_number(AF_INET, host, &v4)) {
        most = 32;
        out->address = address_from_v4(&v4);
    } else if (!read_number(AF_INET6, host, &out->address)) {
        return "is not a numeric address or network";
    } else if (address_is_v4(&out->address)) {
        return "is an IPv4 network in IPv6 notation (write it as IPv4)";
    }
    uint64_t bits = most;
    if (slash != NULL) {
        str_t digits = str_from_offset(text, host.n + 1);
        if ((digits.n > 1 && digits.p[0] == '0') || !str_to_uint(digits, most, &bits))
            return most == 32 ? "has a prefix length that is not 0 to 32"
                              : "has a prefix length that is not 0 to 128";
    }
    out->bits = (unsigned)bits + (most == 32 ? MAPPED_BITS : 0);
    return has_bits_after(&out->address, out->bits) ? "has bits set after its prefix (the rest must be 0)"
                                                    : NULL;
}

static bool network_holds(const conf_network_t *network, const struct in6_addr *address)
{
    unsigned bits = network->bits, bytes = bits / 8;
    /* A short IPv6 prefix such as ::/0 also covers ::ffff:0:0/96, but does not mean IPv4. */
    if ((address_is_v4(address) && bits < MAPPED_BITS) || memcmp(address, &network->address, bytes) != 0)
        return false;
    unsigned mask = 0xff00u >> (bits % 8) & 0xff;
    return bits % 8 == 0 || ((address->s6_addr[bytes] ^ network->address.s6_addr[bytes]) & mask) == 0;
}

bool conf_network_has(const conf_network_t *networks, size_t count, const struct in6_addr *address)
{
    for (size_t i = 0; i < count; i++)
        if (network_holds(&networks[i], address))
            return true;
    return false;
}

const conf_proxy_t *conf_trusted_proxy(const conf_t *conf, const struct in6_addr *address)
{
    for (size_t i = 0; i < conf->trusted_count; i++)
        if (network_holds(&conf->trusted[i].network, address))
            return &conf->trusted[i];
    return NULL;
}

void conf_net_print(const conf_address_t *address, char out[64])
{
    char host[INET6_ADDRSTRLEN];
    bool v6 = address->sa.ss_family == AF_INET6;
    const void *number = v6 ? (const void *)&v6_of(address)->sin6_addr : &v4_of(address)->sin_addr;
    const char *printed = inet_ntop(v6 ? AF_INET6 : AF_INET, number, host, sizeof(host));
    assert(printed != NULL);
    uint16_t port = conf_net_port(address);
    int n = snprintf(out, 64, v6 ? "[%s]" : "%s", host);
    if (port != 0)
        snprintf(out + n, 64 - (size_t)n, ":%u", port);
}

void conf_net_print_network(const conf_network_t *network, char out[64])
{
    char host[INET6_ADDRSTRLEN];
    bool v4 = network->bits >= MAPPED_BITS && address_is_v4(&network->address);
    const char *printed = v4 ? inet_ntop(AF_INET, address_v4(&network->address), host, sizeof(host))
                             : inet_ntop(AF_INET6, &network->address, host, sizeof(host));
    assert(printed != NULL);
    snprintf(out, 64, "%s/%u", host, v4 ? network->bits - MAPPED_BITS : network->bits);
}

uint16_t conf_net_port(const conf_address_t *address)
{
    return ntohs(address->sa.ss_family == AF_INET6 ? v6_of(address)->sin6_port : v4_of(address)->sin_port);
}

bool conf_net_equal(const conf_address_t *a, const conf_address_t *b)
{
    if (a->sa.ss_family != b->sa.ss_family || conf_net_port(a) != conf_net_port(b))
        return false;
    if (a->sa.ss_family == AF_INET6)
        return IN6_ARE_ADDR_EQUAL(&v6_of(a)->sin6_addr, &v6_of(b)->sin6_addr);
    return v4_of(a)->sin_addr.s_addr == v4_of(b)->sin_addr.s_addr;
}

/* All addresses of the machine: 0.0.0.0 or [::]. */
bool conf_net_is_any(const conf_address_t *address)
{
    if (address->sa.ss_family == AF_INET6)
        return IN6_IS_ADDR_UNSPECIFIED(&v6_of(address)->sin6_addr);
    return v4_of(address)->sin_addr.s_addr == htonl(INADDR_ANY);
}

bool conf_net_overlap(const conf_address_t *a, const conf_address_t *b)
{
    return a->sa.ss_family == b->sa.ss_family && conf_net_port(a) == conf_net_port(b) &&
           (conf_net_is_any(a) || conf_net_is_any(b) || conf_net_equal(a, b));
}

static bool is_loopback(const conf_address_t *address)
{
    if (address->sa.ss_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&v6_of(address)->sin6_addr);
    return ntohl(v4_of(address)->sin_addr.s_addr) >> 24 == 127;
}

const char *conf_net_not_for_boxes(const conf_address_t *address)
{
    if (address->sa.ss_family == AF_INET6) {
        const struct in6_addr *v6 = &v6_of(address)->sin6_addr;
        if (IN6_IS_ADDR_UNSPECIFIED(v6))
            return "the unspecified address";
        if (IN6_IS_ADDR_LINKLOCAL(v6))
            return "a link-local address";
        return IN6_IS_ADDR_MULTICAST(v6) ? "a multicast address" : NULL;
    }
    uint32_t v4 = ntohl(v4_of(address)->sin_addr.s_addr);
    if (v4 >> 24 == 0)
        return "in 0.0.0.0/8, which is no host's address";
    if (v4 >> 16 == 0xa9fe)
        return "a link-local address";
    if (v4 >> 28 == 0xe)
        return "a multicast address";
    return v4 == UINT32_MAX ? "the broadcast address" : NULL;
}

/* Turns IPv4-mapped addresses, which dual-stack sockets use, into IPv4. */
static conf_address_t unmapped(const struct sockaddr *address)
{
    conf_address_t out = {0};
    if (address->sa_family == AF_INET) {
        out.len = sizeof(struct sockaddr_in);
        memcpy(&out.sa, address, out.len);
        return out;
    }
    assert(address->sa_family == AF_INET6);
    struct sockaddr_in6 v6;
    memcpy(&v6, address, sizeof(v6));
    if (!address_is_v4(&v6.sin6_addr)) {
        out.len = sizeof(v6);
        memcpy(&out.sa, &v6, sizeof(v6));
        return out;
    }
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = v6.sin6_port};
    memcpy(&v4.sin_addr, address_v4(&v6.sin6_addr), sizeof(v4.sin_addr));
    out.len = sizeof(v4);
    memcpy(&out.sa, &v4, sizeof(v4));
    return out;
}

bool conf_listens_on(const conf_t *conf, const struct sockaddr *address)
{
    conf_address_t a = unmapped(address);
    for (size_t i = 0; i < conf->listener_count; i++) {
        const conf_address_t *own = &conf->listeners[i].address;
        if (own->len == 0 || conf_net_port(own) != conf_net_port(&a))
            continue;
        if (conf_net_equal(own, &a) || (conf_net_is_any(own) && (is_loopback(&a) || conf_net_is_any(&a))))
            return true;
    }
    return false;
}
