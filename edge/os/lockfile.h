/*
 * The file that keeps a second supervisor out of the same run directory. The lock belongs to the open file,
 * so that it passes over exec to a new binary and ends with the last process that has the descriptor;
 * children close it. The file holds the supervisor's process id, for messages only.
 */
#ifndef BOXEDGE_LOCKFILE_H
#define BOXEDGE_LOCKFILE_H

#include <stddef.h>
#include <sys/types.h>

#include "str.h"

typedef enum lockfile_state {
    LOCKFILE_FREE, /* also where there is no file */
    LOCKFILE_HELD,
    LOCKFILE_UNUSABLE, /* it cannot be opened or locked */
} lockfile_state_t;

/* Takes the lock. Returns the descriptor to keep (close-on-exec), or -1 with a sentence, which names the
 * process that holds it. `key`: how the configuration calls its directory. */
int lockfile_acquire(const char *path, const char *key, char *error, size_t error_len);
/*
 * Whether lockfile_acquire would take the lock, without making the file; where it would not, its sentence,
 * and the process that holds it in *holder (0: the file does not say). Holds the lock, shared, for a moment,
 * over which lockfile_acquire waits.
 */
MUST_USE lockfile_state_t lockfile_look(const char *path, const char *key, pid_t *holder, char *error,
                                        size_t error_len);
/* Writes the id of this process into a lock that is held. */
void lockfile_sign(int fd);

#endif
