/*
 * Limits under which the edge cannot work: those of this process (getrlimit(2)), and the room for a
 * new store. The start and `boxedge check` both call this, so that they have the same words.
 */
#ifndef BOXEDGE_START_LIMITS_H
#define BOXEDGE_START_LIMITS_H

#include "conf_errors.h"

/* The size that a file may have at least: the store of an edge without previews, and its log. */
#define START_FILE_BYTES (1024 * 1024)
/* The room for a new store: it and the local authority take 100 KiB in 20 files. */
#define START_ROOM_BYTES (1024 * 1024)
#define START_ROOM_FILES 32
/* Descriptors of a process before any client: the store, pipes, messages. Those of each worker and
 * its listeners come on top in the supervisor. */
#define START_DESCRIPTORS 64

/* Returns whether files may be large enough; otherwise writes a sentence. The kernel kills a process
 * that writes more (SIGXFSZ), so a start asks before it makes anything. */
MUST_USE bool start_limits_files(char *error, size_t len);
/* Adds an error if `descriptors`, as of privileges_raise_descriptors, are too few, or if a missing store
 * has no room. Adds a warning if the store cannot grow to store.map_size. */
void start_limits(const conf_t *conf, size_t descriptors, conf_errors_t *errors);

#endif
