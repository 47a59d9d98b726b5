/*
 * The filter of system calls (seccomp) that a worker puts on itself once it has opened all of its files.
 * Code that an attacker runs in a worker can then open no file, start no program, and make no socket
 * but a TCP one that connects. system_calls.c has the allowed calls with their reasons.
 *
 * A refused call returns EPERM and the worker continues; the kernel logs it if its audit log is on. The
 * filter cannot be removed, and later threads inherit it.
 */
#ifndef BOXEDGE_SYSTEM_CALLS_H
#define BOXEDGE_SYSTEM_CALLS_H

#include <stdbool.h>
#include <stddef.h>

#include "str.h"

/*
 * Filters the system calls of this process, in all of its threads, from now on. First it makes the C
 * library and OpenSSL read the files that they would open later: the time zone and OpenSSL's
 * configuration. The process must have no new privileges (privileges_drop). Returns false with a
 * sentence, and filters nothing, if the kernel has no filters or the edge was built without them.
 */
MUST_USE bool system_calls_restrict(char *error, size_t error_len);

#endif
