/*
 * Calls to a container engine over its Unix socket: at most DOCKER_CALLS_MAX under way, the others wait in
 * order. Those that somebody waits for go first; those of a listing always have a share, and those of logs
 * never more than theirs.
 */
#ifndef BOXEDGE_DOCKER_CALLS_H
#define BOXEDGE_DOCKER_CALLS_H

#include "fetch.h"

#include "list.h"

#define DOCKER_CALLS_MAX 16
/* Of these, calls of a listing: never more than so many, and always this many where that many wait. */
#define DOCKER_BACKGROUND_MAX 8
#define DOCKER_BACKGROUND_MIN 2
/* And of logs, which may be long. */
#define DOCKER_LOGS_MAX 4
/* The most bytes of an answer to anything but a listing. */
#define DOCKER_ANSWER_MAX (1u << 20)
#define DOCKER_LIST_MAX   (8u << 20)

typedef struct docker_engine docker_engine_t;

/* A text of any length, to be freed. */
char *docker_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

docker_engine_t *docker_engine_new(fetcher_t *fetcher, const char *socket);
/* All calls are cancelled before it. Nulls. */
void docker_engine_free(docker_engine_t **engine);
/* For calls that begin from here on. */
void docker_engine_set_socket(docker_engine_t *engine, const char *socket);
const char *docker_engine_socket(const docker_engine_t *engine);
/* Why the socket cannot be connected to, now; NULL: it can be. */
const char *docker_engine_fault(const docker_engine_t *engine);
/* Calls under way. */
unsigned docker_engine_busy(const docker_engine_t *engine);

typedef enum docker_class {
    DOCKER_URGENT, /* somebody waits */
    DOCKER_BACKGROUND,
    DOCKER_LOG,
} docker_class_t;
#define DOCKER_CLASSES 3

/* Embedded in what it belongs to. Zero-filled is a valid one that is not begun. */
typedef struct docker_call {
    list_t link;
    docker_engine_t *engine; /* NULL: neither waits nor is under way */
    fetch_t *fetch;          /* NULL: waits */
    docker_class_t class;
    const char *method;
    char *path; /* as in a URL; owned */
    char *body; /* JSON; owned; NULL: none */
    uint32_t timeout_ms;
    size_t most;
    /* It leaves the queue; NULL: does not matter. */
    void (*sent)(struct docker_call *call);
    /* Bytes of a 2xx body as they come, without a bound; NULL: collected for `done`, as other bodies are. */
    void (*data)(struct docker_call *call, str_t bytes);
    /* The end, once; the call can be begun again from it. */
    void (*done)(struct docker_call *call, const fetch_result_t *result);
} docker_call_t;

/*
 * Begins what the fields from `class` on say (method is a literal; path and body are taken over). Never
 * calls back from within.
 */
void docker_call_begin(docker_engine_t *engine, docker_call_t *call);
bool docker_call_busy(const docker_call_t *call);
/* Not called back any more; harmless where it is not begun. */
void docker_call_cancel(docker_call_t *call);

#endif
