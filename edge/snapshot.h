/*
 * A configuration with everything that it brings along, loaded and checked as a whole by the supervisor while
 * it has its rights: certificates and keys in memory, the user's ids, and the files in memory that carry it
 * to the other processes. Nothing is swapped before all of it is there.
 */
#ifndef BOXEDGE_SNAPSHOT_H
#define BOXEDGE_SNAPSHOT_H

#include <stdio.h>

#include "conf.h"
#include "privileges.h"
#include "tls.h"

typedef struct snapshot {
    conf_t *conf; /* one reference */
    privileges_t privileges;
    tls_pem_t *pems; /* none where no listener does TLS */
    size_t pem_count;
    bool local_authority; /* no certificate is configured: the one PEM comes from the local authority */
    int conf_fd;          /* process_conf_write; read-only for all */
    int pems_fd;          /* process_pems_write */
} snapshot_t;

/*
 * Loads the file at `path`. Makes the state and run directories and, where no certificate is configured, the
 * local authority and its leaf. On error returns NULL and writes what is wrong to `out`, a line each. `now`
 * is the configuration that runs (NULL at the start): keys that cannot change in place must be as they are
 * there.
 */
snapshot_t *snapshot_load(const char *path, const conf_t *now, FILE *out);
/* Cleanses the keys, closes, frees and nulls. NULL is allowed. */
void snapshot_free(snapshot_t **snapshot);
/* In a child that needs no keys: cleanses and forgets them. */
void snapshot_forget_keys(snapshot_t *snapshot);

#endif
