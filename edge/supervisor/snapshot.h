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
    tls_pem_t *origin_pems; /* one for each upstream, empty where it names no files */
    size_t origin_pem_count;
    bool local_authority; /* no certificate is configured: the one PEM comes from the local authority */
    int conf_fd;          /* process_conf_write; read-only for all */
    int pems_fd;          /* process_pems_write */
    int origin_pems_fd;
} snapshot_t;

/*
 * Loads the file at `path`, without keys yet, and makes the state and run directories. On error returns NULL
 * and writes what is wrong to `out`, a line each. `running` is the configuration in use (NULL at the start):
 * keys that cannot change in place must be as they are there.
 */
snapshot_t *snapshot_load(const char *path, const conf_t *running, FILE *out);
/*
 * Reads the certificates, those for origins too, and tries them; where none is configured, makes the local
 * authority and its leaf (the lock is to be held: state_dir is written). False with lines in `out`; one that
 * is out of date at `now_unix` is only warned of.
 */
MUST_USE bool snapshot_load_keys(snapshot_t *snapshot, uint64_t now_unix, FILE *out);
/* For `boxedge check`, of files that are there: adds the errors and warnings of snapshot_load_keys to
 * `errors`. Makes nothing. */
void snapshot_check_keys(const conf_t *conf, uint64_t now_unix, conf_errors_t *errors);
/* For a leaf of the local authority that is about to expire: the same configuration with a new leaf. NULL
 * where the leaf is good for long (nothing in `out`), or on error. */
snapshot_t *snapshot_renew(const snapshot_t *snapshot, uint64_t now_unix, FILE *out);
/* Cleanses the keys, closes, frees and nulls. NULL is allowed. */
void snapshot_free(snapshot_t **snapshot);
/* In a child that needs no keys: cleanses and forgets them. */
void snapshot_forget_keys(snapshot_t *snapshot);

#endif
