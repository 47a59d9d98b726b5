/*
 * Reads of a file's map that may fail. A page that is behind the end of the file, or that the disk
 * cannot deliver, raises SIGBUS; a damaged page can lead LMDB to an address without memory, SIGSEGV.
 * Both would end the process. Inside a guard they end the read.
 *
 * Guarded code only reads: it takes no lock and no memory that its end would leave behind. The guard
 * in force is of its thread, and the handlers are of the process: the only state of store/ that is
 * not in a struct, because signals have no argument.
 */
#ifndef BOXEDGE_READ_GUARD_H
#define BOXEDGE_READ_GUARD_H

#include <stdbool.h>

#include "str.h"

/* Installs the handlers; no-op if they are in force. Faults outside of guards go to the handlers from before.
 */
void read_guard_install(void);
/* Calls `read`. Returns false if it did not end, because it met a fault. */
MUST_USE bool read_guard(void (*read)(void *arg), void *arg);
/* Ends the present guarded read as a fault does; returns if none is under way. */
void read_guard_fail(void);

#endif
