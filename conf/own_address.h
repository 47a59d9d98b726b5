/*
 * Whether an address is this machine's own. The kernel's routes decide: a datagram socket that is connected
 * to an own address has that address as its source. Nothing is sent. getifaddrs(3) knows the same by a
 * netlink socket, which deploy/boxedge.service does not allow, and lacks addresses that only a route of the
 * type `local` makes ours.
 */
#ifndef BOXEDGE_OWN_ADDRESS_H
#define BOXEDGE_OWN_ADDRESS_H

#include <netinet/in.h>

#include "str.h"

/*
 * IPv4 as mapped IPv6. All of 127.0.0.0/8, ::1, 0.0.0.0/8 and :: are this machine's. True, the careful
 * answer, also where the system has no descriptor or memory left to ask it. Three system calls; an address
 * that the machine gets or loses counts from the next call on.
 */
MUST_USE bool own_address(const struct in6_addr *address);

#endif
