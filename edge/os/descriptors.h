/*
 * A reserve of descriptors for messages between processes, because clients can use up the others,
 * and the tests for running out of them.
 *
 * The reserve is the difference between the soft limit (RLIMIT_NOFILE) and the hard one.
 * Connections meet the soft limit; the supervisor's messages are received under the hard one.
 */
#ifndef BOXEDGE_DESCRIPTORS_H
#define BOXEDGE_DESCRIPTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The reserve for messages: all descriptors of one (IPC_FDS_MAX), and a few more. Under a small
 * limit, a quarter of the limit. */
#define DESCRIPTORS_RESERVE 96

/* The number of descriptors, out of `limit`, that a process may use for connections. */
size_t descriptors_usable(size_t limit);
/* The number of client connections that a worker accepts if `wanted` are configured: at most three
 * quarters of the usable descriptors, to leave the rest for origins. */
uint32_t descriptors_for_clients(size_t usable, uint32_t wanted);
/* Sets the reserve aside; returns the number of descriptors left. */
size_t descriptors_keep_reserve(void);
/* Permits the use of the reserve, or ends it. */
void descriptors_use_reserve(bool use);
/* Returns whether `error` means that this process or the machine has no descriptor left. */
bool descriptors_ran_out(int error);
/* The current limit for new descriptors. */
size_t descriptors_limit(void);

#endif
