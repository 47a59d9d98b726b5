/*
 * Listening sockets that the service manager opened (boxedge.socket). Their queues outlive this process, so
 * that a restart refuses nobody. The supervisor keeps them all, also those without a listener, because a
 * later configuration may want them again: it cannot open such an address itself. All workers accept from
 * the one queue of such a socket.
 */
#ifndef BOXEDGE_PASSED_SOCKETS_H
#define BOXEDGE_PASSED_SOCKETS_H

#include <stdio.h>

#include "conf.h"
#include "process.h"

typedef struct passed_socket {
    int fd;
    conf_address_t address;
    bool ipv4; /* conf_listener_t.ipv4 */
} passed_socket_t;

/* Zero-filled: none. */
typedef struct passed_sockets {
    size_t count;
    passed_socket_t at[PROCESS_LISTENERS_MAX];
} passed_sockets_t;

/* Takes over `fd`, a TCP socket that listens at an address that no other one has. On error closes it and
 * returns false with a sentence, which calls it `name`. */
MUST_USE bool passed_sockets_add(passed_sockets_t *sockets, int fd, const char *name, char *error,
                                 size_t error_len);
/* The same for each socket that the environment names. Removes those variables. */
MUST_USE bool passed_sockets_take(passed_sockets_t *sockets, char *error, size_t error_len);

typedef enum passed_match {
    PASSED_NONE,
    PASSED_FOUND,
    PASSED_OTHER_IPV4, /* the same address, and listeners.ipv4 differs */
} passed_match_t;
/* Looks for the socket of `listener`. PASSED_FOUND: *fd stays the set's. */
MUST_USE passed_match_t passed_sockets_find(const passed_sockets_t *sockets, const conf_listener_t *listener,
                                            int *fd);
/* Writes a line for each socket without a listener in `conf`. */
void passed_sockets_warn(const passed_sockets_t *sockets, const conf_t *conf, FILE *out);
/* Closes all. */
void passed_sockets_close(passed_sockets_t *sockets);

#endif
