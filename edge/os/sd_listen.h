/*
 * Sockets from the service manager (sd_listen_fds(3)): $LISTEN_FDS descriptors from 3 on, for the process
 * $LISTEN_PID, with names in $LISTEN_FDNAMES.
 */
#ifndef BOXEDGE_SD_LISTEN_H
#define BOXEDGE_SD_LISTEN_H

#include <sys/types.h>

#include "str.h"

/* The first descriptor. */
#define SD_LISTEN_FIRST 3

/* The values of the variables; NULL: not set. */
typedef struct sd_listen_env {
    const char *pid, *fds, *names;
} sd_listen_env_t;

/* Sets *count to the number of descriptors for the process `self`; 0: none, or they are another process's.
 * False, with a sentence, if a variable is malformed, or more than `most` were passed. */
MUST_USE bool sd_listen_count(const sd_listen_env_t *env, pid_t self, unsigned most, unsigned *count,
                              char *error, size_t error_len);
/* The name of descriptor SD_LISTEN_FIRST + `index`, a slice of `names`; empty: none. `names`: NULL allowed.
 */
str_t sd_listen_name(const char *names, unsigned index);

/* Reads the environment of this process as sd_listen_count does. On success each descriptor is open and
 * closes on exec; the caller owns them. */
MUST_USE bool sd_listen_take(unsigned most, unsigned *count, char *error, size_t error_len);
/* Removes the variables: no child must take them for its own. */
void sd_listen_forget(void);

#endif
