/*
 * What listens in a box, where the edge can see it: through /proc of a process in the box's network
 * namespace. For sentences that say why a port cannot be reached, and nothing else: the process may have
 * ended, and another may have its number.
 */
#ifndef BOXEDGE_LISTENING_H
#define BOXEDGE_LISTENING_H

#include <stdbool.h>
#include <stdint.h>

/* Something listens on the port, on a loopback address and no other. False also where that is not known
 * (`pid` 0, no rights, no such process). Reads at most 1 MiB. */
bool listening_only_on_loopback(uint32_t pid, uint16_t port);

#endif
