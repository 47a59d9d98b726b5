/*
 * IPv6 addresses, and IPv4 addresses in IPv4-mapped form (RFC 4291 section 2.5.5.2), the only form
 * that the edge keeps. No other file knows how IPv4 is mapped. Every exchange formats addresses
 * (access line, X-Forwarded-For), so IPv4 is formatted without snprintf.
 */
#ifndef BOXEDGE_ADDRESS_H
#define BOXEDGE_ADDRESS_H

#include <netinet/in.h>
#include <string.h>

#include "str.h"

static inline bool address_is_v4(const struct in6_addr *address)
{
    return IN6_IS_ADDR_V4MAPPED(address);
}

/* The four bytes of an IPv4 address, in network order. */
static inline const uint8_t *address_v4(const struct in6_addr *address)
{
    return &address->s6_addr[12];
}

/* Makes an address from four bytes in network order: a struct in_addr, or bytes of a message. */
struct in6_addr address_from_v4(const void *four_bytes);

/* Parses "192.0.2.1" or "2001:db8::1", as inet_pton(3) does. On false, `out` is unchanged. */
MUST_USE bool address_parse(const char *text, struct in6_addr *out);

/* Takes the address and port of a socket address. Returns false, and sets nothing, if the family is
 * neither IPv4 nor IPv6. */
bool address_take(const struct sockaddr *from, struct in6_addr *address, uint16_t *port);

/*
 * The number of leading bytes that identify the owner: all 16 for IPv4, 8 for IPv6. A client with
 * one address of an IPv6 /64 has all of them.
 */
static inline size_t address_owner_bytes(const struct in6_addr *address)
{
    return address_is_v4(address) ? 16 : 8;
}

/* Returns whether two addresses have the same owner. */
static inline bool address_same_owner(const struct in6_addr *a, const struct in6_addr *b)
{
    return memcmp(a, b, address_owner_bytes(a)) == 0;
}

/* Writes "192.0.2.1" or "2001:db8::1" and a NUL into `out`. The result is a slice of `out`. */
str_t address_text(const struct in6_addr *address, char out[INET6_ADDRSTRLEN]);

/* "192.0.2.1:80" or "[2001:db8::1]:80", with a NUL; returns `out`. */
#define ADDRESS_PORT_BYTES (INET6_ADDRSTRLEN + 8)
const char *address_port_text(const struct in6_addr *address, uint16_t port, char out[ADDRESS_PORT_BYTES]);

/* Makes a socket address from an address (IPv4 as mapped IPv6) and a port; returns its length. */
socklen_t address_make(const struct in6_addr *address, uint16_t port, struct sockaddr_storage *out);

/* 127.0.0.0/8 or ::1. */
bool address_is_loopback(const struct in6_addr *address);
/* 0.0.0.0/8 or ::, which no host has. */
bool address_is_nowhere(const struct in6_addr *address);
/* 169.254.0.0/16 or fe80::/10. */
bool address_is_link_local(const struct in6_addr *address);

#endif
