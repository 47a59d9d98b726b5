/*
 * Writes a tar archive (POSIX.1-1988 ustar) of files that are in memory.
 */
#ifndef BOXEDGE_TAR_H
#define BOXEDGE_TAR_H

#include <stdio.h>

#include "str.h"

/* Maximum bytes of a name. */
#define TAR_NAME_MAX 99
/* Bytes of a header, and the unit of the contents. */
#define TAR_BLOCK 512

/* Adds a file with the mode 0600 and the time `mtime` (Unix seconds). `name` is asserted to fit. Errors of
 * `out` stay in ferror. */
void tar_add(FILE *out, const char *name, str_t content, uint64_t mtime);
/* Ends the archive. */
void tar_end(FILE *out);

#endif
