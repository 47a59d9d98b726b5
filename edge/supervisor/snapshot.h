/*
 * A configuration with all its parts, loaded and checked as a whole while the supervisor has its
 * rights: certificates and keys in memory, the user's ids, and the memory files for the other
 * processes. The supervisor swaps it in only when it is complete.
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
    tls_pem_t *pems; /* none if no listener does TLS */
    size_t pem_count;
    tls_pem_t *origin_pems; /* one for each upstream, empty if it names no files */
    size_t origin_pem_count;
    bool local_authority; /* no certificate is configured: the one PEM comes from the local authority */
    uint64_t files;       /* signature of the files of keys, from before they were read */
    int conf_fd;          /* process_conf_write; read-only for all */
    int pems_fd;          /* process_pems_write */
    int origin_pems_fd;
} snapshot_t;

/*
 * Loads the file at `path`, without keys yet, and makes the state and run directories. On error
 * returns NULL and writes the errors to `out`, one per line. `running` is the configuration in use
 * (NULL at the start): keys that cannot change in place must equal it.
 */
snapshot_t *snapshot_load(const char *path, const conf_t *running, FILE *out);
/*
 * Reads the certificates, also those for origins, and tries them. If none is configured, makes the
 * local authority and its leaf; the caller must hold the lock, because this writes to state_dir.
 * Returns false with lines in `out`. A certificate outside its validity at `now_unix` only causes a
 * warning.
 */
MUST_USE bool snapshot_load_keys(snapshot_t *snapshot, uint64_t now_unix, FILE *out);
/* For `boxedge check`, for existing files: adds the errors and warnings of snapshot_load_keys to
 * `errors`. Makes nothing. `here`: also of a local authority in state_dir. */
void snapshot_check_keys(const conf_t *conf, bool here, uint64_t now_unix, conf_errors_t *errors);
/* Returns the same configuration with the keys that its files have now; NULL with lines in `out` on
 * error. */
snapshot_t *snapshot_reread(const snapshot_t *snapshot, uint64_t now_unix, FILE *out);
/* For a leaf of the local authority that is about to expire: returns the same configuration with a
 * new leaf. Returns NULL if the leaf is valid for long (nothing in `out`), or on error. */
snapshot_t *snapshot_renew(const snapshot_t *snapshot, uint64_t now_unix, FILE *out);
/* Cleanses the keys, closes, frees and nulls. NULL is allowed. */
void snapshot_free(snapshot_t **snapshot);
/* In a child that needs no keys: cleanses and frees them. */
void snapshot_forget_keys(snapshot_t *snapshot);

#endif
