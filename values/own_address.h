/*
 * Tests whether an address belongs to this machine. The kernel's routes decide: a datagram socket
 * that is connected to an own address has that address as its source. The test sends nothing.
 * getifaddrs(3) needs a netlink socket, which deploy/boxedge.service forbids, and misses addresses
 * that only a route of type `local` gives to the machine.
 */
#ifndef BOXEDGE_OWN_ADDRESS_H
#define BOXEDGE_OWN_ADDRESS_H

#include <netinet/in.h>

#include "str.h"

/*
 * IPv4 as mapped IPv6. All of 127.0.0.0/8, ::1, 0.0.0.0/8 and :: belong to this machine. Returns
 * true, the safe answer, if the system has no descriptor or memory left. Makes three system calls.
 * Each call sees the machine's current addresses.
 */
MUST_USE bool own_address(const struct in6_addr *address);

#endif
