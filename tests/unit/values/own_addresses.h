/* Addresses of this machine, for tests: those of its interfaces except loopback, to which other tests add
 * addresses. Link-local ones are left out, since no box has one. */
#ifndef BOXEDGE_OWN_ADDRESSES_H
#define BOXEDGE_OWN_ADDRESSES_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

/* The text of the address `i`, from 0 to at most 7. False if the machine has no more. */
bool own_fixture(size_t i, char text[INET6_ADDRSTRLEN]);

#endif
