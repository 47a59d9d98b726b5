/*
 * Files and names on disk. False with errno.
 *
 * A file system that cannot sync directories (EINVAL of fsync(2)) keeps their entries in its own way: that is
 * no failure.
 */
#ifndef BOXEDGE_SYNC_H
#define BOXEDGE_SYNC_H

#include "str.h"

/* Puts a file, or the entries of a directory, on disk. */
MUST_USE bool sync_path(const char *path);
/* Puts the name of a file or directory on disk. Slashes at the end of `path` do not count. */
MUST_USE bool sync_parent(const char *path);

#endif
