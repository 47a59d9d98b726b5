/* A small HTTP server for tests of calls: a thread for each connection. The path selects the answer; under
 * /boxes/ and /v2/box/ and for /activity the test gives it (server_will_answer). */
#ifndef BOXEDGE_TEST_FETCH_SERVER_H
#define BOXEDGE_TEST_FETCH_SERVER_H

#include <assert.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/ssl.h>

#define SERVER_CONNECTIONS 300

typedef struct server server_t;

typedef struct server_conn {
    server_t *server;
    int fd;
    SSL *ssl;
    pthread_t thread;
    char head[131072];
} server_conn_t;

struct server {
    int listen_fd;
    uint16_t port;
    SSL_CTX *tls;
    int go[2];      /* a byte written to [1] lets /steps send its next chunk */
    int answers[2]; /* pointers to texts: its answers, in order; NULL: closed */
    pthread_t thread;
    atomic_uint requests, connections;
    pthread_mutex_t lock;
    char last[256];  /* the start of the last request */
    char body[8192]; /* and its body */
    server_conn_t *conns[SERVER_CONNECTIONS];
};

void server_will_answer(server_t *server, int status, const char *body);

/* Whether each of the answers went to a request: the next one is for later requests. */
bool server_gave_all(server_t *server);

/* On a free port of loopback, or on a Unix socket; over TLS if `tls` is given (borrowed). */
server_t *fetch_server_server_new(SSL_CTX *tls, const char *unix_path);
void server_free(server_t **server);

#endif
