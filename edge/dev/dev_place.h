/*
 * The directories of the edge that `boxedge dev` starts, one for each user: below $XDG_STATE_HOME and
 * $XDG_RUNTIME_DIR. Only the local authority outlives that edge.
 */
#ifndef BOXEDGE_DEV_PLACE_H
#define BOXEDGE_DEV_PLACE_H

#include <stddef.h>

#include "str.h"

/* Previews of this edge; the names resolve to this machine in curl and in browsers (RFC 6761, section 6.3).
 */
#define DEV_DOMAIN "dev.localhost"

#define DEV_PATH_MAX 1024

typedef struct dev_place {
    char state[DEV_PATH_MAX]; /* its directory `ca` stays */
    char run[DEV_PATH_MAX];   /* goes with the edge */
} dev_place_t;

/* Reads the environment. `lan`: of the edge that other machines reach (--lan), whose domain and authority are
 * its own. Returns false with a sentence if it names no directory, or too long a path. */
MUST_USE bool dev_place_find(dev_place_t *place, bool lan, char *error, size_t error_len);
/* Makes both directories and state/ca, for this user only. Returns false with a sentence. */
MUST_USE bool dev_place_make(const dev_place_t *place, char *error, size_t error_len);
/* Makes the authority and its certificate if they are missing. Returns false with a sentence. */
MUST_USE bool dev_place_make_authority(const dev_place_t *place, char *error, size_t error_len);
/* Removes all files of the edge but its authority. No edge may run. */
void dev_place_clear(const dev_place_t *place);

#endif
