/*
 * Addresses as text and for sockets. On the hot path of every exchange (access line, X-Forwarded-For), so
 * IPv4 is written by hand.
 */
#ifndef BOXEDGE_ADDRESS_H
#define BOXEDGE_ADDRESS_H

#include <netinet/in.h>

#include "str.h"

/* "192.0.2.1" (IPv4 is kept as an IPv4-mapped IPv6 address) or "2001:db8::1" into `out`, with a NUL after it;
 * the result is a slice of `out`. */
str_t address_text(const struct in6_addr *address, char out[INET6_ADDRSTRLEN]);

/* "192.0.2.1:80" or "[2001:db8::1]:80", with a NUL; returns `out`. */
#define ADDRESS_PORT_BYTES (INET6_ADDRSTRLEN + 8)
const char *address_port_text(const struct in6_addr *address, uint16_t port, char out[ADDRESS_PORT_BYTES]);

/* A socket address of an address (IPv4 as mapped IPv6) and a port; returns its length. */
socklen_t address_make(const struct in6_addr *address, uint16_t port, struct sockaddr_storage *out);

/* 127.0.0.0/8 or ::1. */
bool address_is_loopback(const struct in6_addr *address);

#endif
