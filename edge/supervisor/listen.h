/*
 * Listening sockets. The supervisor opens one per address and worker, all of an address sharing its port by
 * SO_REUSEPORT, and keeps them: connections that wait in the queue of a worker that died are taken by its
 * successor.
 */
#ifndef BOXEDGE_LISTEN_H
#define BOXEDGE_LISTEN_H

#include "conf_errors.h"
#include "shm.h"

/* The sockets of one address, one for each worker. */
typedef struct listen_address {
    conf_address_t address;
    char text[64]; /* conf_listener_t.text */
    unsigned count;
    int fds[SHM_WORKERS_MAX];
} listen_address_t;

/* The sockets of a configuration, in the order of its listeners. */
typedef struct listen_set {
    listen_address_t *at;
    size_t count;
    size_t capacity;
} listen_set_t;

/*
 * Opens the sockets that `conf` asks for. Those that `old` has are dup'ed, so that each set is closed by
 * itself and neither loses anything when the other goes. Where `old` lacks an address, it must be free: a
 * socket of another process is an error even where SO_REUSEPORT would share with it; `patience_ms` is how
 * long to wait for one that is just being closed. NULL with a sentence on error.
 */
listen_set_t *listen_set_open(const conf_t *conf, const listen_set_t *old, uint32_t patience_ms, char *error,
                              size_t error_len);
/*
 * For a configuration of which no edge runs: adds the sentence of listen_set_open for each address that it
 * would not open. Listens nowhere.
 */
void listen_look(const conf_t *conf, uint32_t patience_ms, conf_errors_t *errors);
/* Closes and nulls. NULL is allowed. */
void listen_set_free(listen_set_t **set);

/* An empty set, and a socket that was inherited for it (from the binary that ran before): taken over. Where
 * it is not a listening socket, or there is no room, it is closed and false returned. */
listen_set_t *listen_set_new(size_t addresses);
MUST_USE bool listen_set_adopt(listen_set_t *set, const char *text, unsigned worker, int fd);

/*
 * The admin socket: a Unix socket at `path`, listening, 0660, owned by uid and gid ((uid_t)-1 and (gid_t)-1
 * keep the caller's). A socket that nobody listens on any more is replaced; anything else at that path is an
 * error. Returns the descriptor, or -1 with a sentence.
 */
int listen_unix(const char *path, uid_t uid, gid_t gid, char *error, size_t error_len);
/* Whether listen_unix would listen there; else its sentence. Changes nothing. `made`: directories that a
 * start makes before, up to NULL. */
MUST_USE bool listen_unix_look(const char *path, const char *const made[], char *error, size_t error_len);

#endif
