/* A small container engine on a Unix socket for tests: a thread for each connection, and containers whose
 * behaviour the test sets. One lock protects all of it; tests hold it with engine_lock. */
#ifndef BOXEDGE_TEST_DOCKER_ENGINE_H
#define BOXEDGE_TEST_DOCKER_ENGINE_H

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ENGINE_CONTAINERS  1200
#define ENGINE_CONNECTIONS 600

typedef struct engine_container {
    char id[65];    /* empty: none */
    char box[64];   /* label; empty: without */
    char more[512]; /* more labels: ",\"boxedge.init\":\"x\"" */
    char status[16];
    char address[64];
    unsigned pid, started, exit_code;
    unsigned acts;     /* unpauses and starts */
    bool ends_at_once; /* when it is started */
    const char *log;   /* NULL: none */
    size_t log_len;    /* 0: up to its zero */
    int log_status;    /* its log answers with this status and a message; 0: 200 */
    bool is_broken;    /* its inspection answers 500 */
    int refuses;       /* unpause and start answer with this status; 0: normally */
} engine_container_t;

typedef struct engine {
    char path[64];
    int listen_fd;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    engine_container_t at[ENGINE_CONTAINERS];
    unsigned count;
    bool holds; /* unpauses and starts wait until it is cleared */
    bool holds_logs;
    bool is_silly; /* listings are not JSON */
    int exec_status;
    unsigned busy, busy_most; /* requests under way, except events */
    unsigned lists, inspects, execs, pauses, streams, strays, logs;
    char last_log[1024]; /* the address of the last log */
    char last_exec[1024];
    int conns[ENGINE_CONNECTIONS]; /* -1: ended */
    bool is_stream[ENGINE_CONNECTIONS];
    pthread_t threads[ENGINE_CONNECTIONS];
    unsigned conn_count;
    bool stopping;
} engine_t;

typedef struct engine_conn {
    engine_t *engine;
    unsigned index;
    int fd;
    size_t got; /* bytes of `head` that belong to the next request */
    char head[8192];
} engine_conn_t;

void engine_lock(engine_t *engine);
void engine_unlock(engine_t *engine);

/* With the lock: an event to all streams. */
void engine_event(engine_t *engine, const engine_container_t *container, const char *action);

/* With the lock: an event of a missing container, to all streams. A client that asks for that container has
 * seen all events before it; `strays` counts the requests. Each stream also begins with such an event, behind
 * the events of all containers. */
void engine_stray(engine_t *engine);

/* With the lock: bytes to all streams, unchanged. */
void engine_stream(engine_t *engine, const char *text);

/* With the lock: a container with that state from now on. */
engine_container_t *engine_add(engine_t *engine, const char *box, const char *status);
void engine_set(engine_t *engine, engine_container_t *container, const char *status, const char *action);
void engine_remove(engine_t *engine, engine_container_t *container);

/* Listens at engine->path; its containers are unchanged. */
void engine_begin(engine_t *engine);

/* Ends like a stopped engine: connections end, and nothing listens any more. */
void engine_end(engine_t *engine);
engine_t *engine_new(void);
void engine_free(engine_t **engine);

#endif
