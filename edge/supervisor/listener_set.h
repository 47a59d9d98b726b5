/*
 * Listening sockets. The supervisor opens one per address and worker and keeps all of them; the
 * sockets of an address share its port by SO_REUSEPORT. The successor of a dead worker accepts the
 * connections in its queue. A socket that was passed to the edge (passed_sockets.h) has one queue, and each
 * worker a duplicate.
 */
#ifndef BOXEDGE_LISTENER_SET_H
#define BOXEDGE_LISTENER_SET_H

#include "conf_errors.h"
#include "passed_sockets.h"
#include "shm.h"

/* The sockets of one address: one for each worker, or a single one that the controller serves. */
typedef struct listener_address {
    conf_address_t address;
    char text[64]; /* conf_listener_t.text */
    bool ipv4;     /* conf_listener_t.ipv4 */
    unsigned count;
    int fds[SHM_WORKERS_MAX];
} listener_address_t;

/* The sockets of a configuration, in the order of its listeners. */
typedef struct listener_set {
    listener_address_t *at;
    size_t count;
    size_t of_workers; /* the first ones; the controller serves the rest (conf_worker_listeners) */
    size_t capacity;
} listener_set_t;

/* Sockets that are open already; NULL: none. */
typedef struct listener_sources {
    const passed_sockets_t *passed; /* come before those of `old` */
    const listener_set_t *old;
} listener_sources_t;

/*
 * Opens the sockets for `conf`. Sockets of `from` are dup'ed: each set can be closed independently of the
 * other. An address that `from` lacks must be free. A socket of another process is an error even if
 * SO_REUSEPORT would share with it; `patience_ms` is the wait for one that is being closed. Returns NULL with
 * a sentence on error.
 */
listener_set_t *listener_set_open(const conf_t *conf, const listener_sources_t *from, uint32_t patience_ms,
                                  char *error, size_t error_len);
/* Sets the edge's options on a bound TCP socket, and makes it listen. Returns false with errno. */
MUST_USE bool listener_socket_prepare(int fd);
/*
 * For a configuration without a running edge: adds the sentence of listener_set_open for each address
 * that it could not open. Does not listen.
 */
void listener_set_check(const conf_t *conf, uint32_t patience_ms, conf_errors_t *errors);
/* Closes and nulls. NULL is allowed. */
void listener_set_free(listener_set_t **set);

/* listener_set_new makes an empty set. listener_set_adopt adds a socket inherited from the previous
 * binary, and takes it over. If it is not a listening socket, or the set is full, it is closed and
 * false returned. */
listener_set_t *listener_set_new(size_t addresses);
MUST_USE bool listener_set_adopt(listener_set_t *set, const char *text, unsigned worker, int fd);

/*
 * Opens the admin socket: a Unix socket at `path`, listening, 0660, owned by uid and gid ((uid_t)-1
 * and (gid_t)-1 keep the caller's). A socket without a listener is replaced; anything else at that
 * path is an error. Returns the descriptor, or -1 with a sentence.
 */
int listener_unix_open(const char *path, uid_t uid, gid_t gid, char *error, size_t error_len);
/* Returns whether listener_unix_open would listen at `path`; otherwise writes its sentence. Changes
 * nothing. `made`: directories that a start makes first, ended by NULL. */
MUST_USE bool listener_unix_check(const char *path, const char *const made[], char *error, size_t error_len);

#endif
