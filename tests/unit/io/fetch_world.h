/* Calls to a server that the test plays (fetch_server.h), and the events of their handlers. */
#ifndef BOXEDGE_FETCH_WORLD_H
#define BOXEDGE_FETCH_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>

#include "fetch.h"
#include "fetch_server.h"

typedef struct world {
    loop_t *loop;
    fetcher_t *fetcher;
    server_t *server;
} world_t;

/* A call, with the events and actions of its handlers. */
typedef struct call {
    fetch_t *fetch;
    world_t *world;
    unsigned dones, heads, datas;
    int status, head_status;
    uint32_t retry_after;
    char error[512];
    char *body;
    size_t body_len, streamed;
    enum { CANCEL_NEVER, CANCEL_IN_HEAD, CANCEL_IN_DATA, CANCEL_IN_DONE } cancels;
    struct call *cancels_other;
    bool says_go;        /* lets the server send its next chunk */
    struct call *starts; /* started from `done` */
    const char *starts_path;
} call_t;

extern const fetch_handlers_t collecting;
extern const fetch_handlers_t streaming;
void start_request(call_t *call, world_t *world, const fetch_request_t *request,
                   const fetch_handlers_t *handlers);

/* "http://127.0.0.1:port<path>" in a buffer of the caller's. */
const char *url_of(const world_t *world, const char *path, char *url, size_t len);
void start_with(call_t *call, world_t *world, const char *path, const fetch_handlers_t *handlers);
void start(call_t *call, world_t *world, const char *path);

/* Turns until `call` ended; a generous bound ends a test that would hang. */
void wait_for(world_t *world, const call_t *call);
call_t get(world_t *world, const char *path);
int fetch_world_setup(void **state);
int fetch_world_teardown(void **state);

#endif
