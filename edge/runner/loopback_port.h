/*
 * Whether something on this machine listens on a port, on the loopback addresses.
 */
#ifndef BOXEDGE_LOOPBACK_PORT_H
#define BOXEDGE_LOOPBACK_PORT_H

#include <stdint.h>

#define LOOPBACK_PORT_V4 1u /* on 127.0.0.1 */
#define LOOPBACK_PORT_V6 2u /* on ::1 */

/* Where, as a set; 0: nothing does. Connects and closes again; takes a millisecond at most for each of the
 * two. One whose queue of connections is full is not seen. */
unsigned loopback_port_listens(uint16_t port);

#endif
