/*
 * Checks whether a process on this machine listens on a port, on the loopback addresses.
 */
#ifndef BOXEDGE_LOOPBACK_LISTENER_H
#define BOXEDGE_LOOPBACK_LISTENER_H

#include <stdint.h>

#define LOOPBACK_LISTENER_V4 1u /* on 127.0.0.1 */
#define LOOPBACK_LISTENER_V6 2u /* on ::1 */

/* Returns the set of addresses; 0: none. Connects and closes again, at most a millisecond for each
 * of the two. A socket with a full queue of connections is not detected. */
unsigned loopback_listener_find(uint16_t port);

#endif
