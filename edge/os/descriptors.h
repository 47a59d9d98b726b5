/*
 * Descriptors of a process, which clients can use up: a reserve for those that messages bring, and what is
 * said when they run out.
 *
 * The reserve is the difference between the soft limit (RLIMIT_NOFILE) and the hard one: connections meet the
 * soft limit, and the supervisor's messages are received under the hard one.
 */
#ifndef BOXEDGE_DESCRIPTORS_H
#define BOXEDGE_DESCRIPTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Kept for messages: all descriptors of one (IPC_FDS_MAX), and a few. Of small limits a quarter. */
#define DESCRIPTORS_RESERVE 96

/* Of `limit` descriptors, the number that a process may use for connections. */
size_t descriptors_usable(size_t limit);
/* Client connections that a worker takes where `wanted` are configured: at most three of four usable
 * descriptors, so that the rest is there for origins. */
uint32_t descriptors_for_clients(size_t usable, uint32_t wanted);
/* Sets the reserve aside; returns the number that is left. */
size_t descriptors_keep_reserve(void);
/* The reserve may be used, or no more. */
void descriptors_use_reserve(bool use);
/* Whether `error` says that there is no descriptor left, in this process or on the machine. */
bool descriptors_ran_out(int error);
/* The limit that new descriptors meet now. */
size_t descriptors_limit(void);

#endif
