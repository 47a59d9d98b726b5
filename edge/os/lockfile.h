/*
 * The lock file that keeps a second supervisor out of the same run directory. The lock belongs to
 * the open file: it survives an exec of a new binary and ends with the last process that has the
 * descriptor. Children close it. The file holds the supervisor's process id, for messages only.
 */
#ifndef BOXEDGE_LOCKFILE_H
#define BOXEDGE_LOCKFILE_H

#include <stddef.h>
#include <sys/types.h>

#include "str.h"

typedef enum lockfile_state {
    LOCKFILE_FREE, /* also without a file */
    LOCKFILE_HELD,
    LOCKFILE_UNUSABLE, /* it cannot be opened or locked */
} lockfile_state_t;

/* Takes the lock. Returns the descriptor to keep (close-on-exec), or -1 with a sentence that names
 * the process with the lock. `key`: the configuration's key for the directory. */
int lockfile_acquire(const char *path, const char *key, char *error, size_t error_len);
/*
 * Returns whether lockfile_acquire would take the lock, without making the file. Otherwise writes
 * its sentence, and the process with the lock into *holder (0: the file does not name one). Holds a
 * shared lock for a moment; lockfile_acquire waits for that.
 */
MUST_USE lockfile_state_t lockfile_look(const char *path, const char *key, pid_t *holder, char *error,
                                        size_t error_len);
/* Writes the id of this process into a held lock. */
void lockfile_sign(int fd);

#endif
