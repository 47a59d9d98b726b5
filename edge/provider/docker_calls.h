/*
 * Calls to a container engine over its Unix socket: at most DOCKER_CALLS_MAX under way, the others in queues.
 * Urgent calls go first, a listing always has a share, and logs never more than theirs.
 */
#ifndef BOXEDGE_DOCKER_CALLS_H
#define BOXEDGE_DOCKER_CALLS_H

#include "fetch.h"

#include "list.h"

#define DOCKER_CALLS_MAX 16
/* Maximum calls of a listing under way, and its share while that many wait. */
#define DOCKER_BACKGROUND_MAX 8
#define DOCKER_BACKGROUND_MIN 2
/* Maximum calls of logs under way, which may be long. */
#define DOCKER_LOGS_MAX 4
/* Maximum bytes of an answer, and of a listing. */
#define DOCKER_ANSWER_MAX (1u << 20)
#define DOCKER_LIST_MAX   (8u << 20)

typedef struct docker_engine docker_engine_t;

/* Formats a text of any length. The caller frees it. */
char *docker_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

docker_engine_t *docker_engine_new(fetcher_t *fetcher, const char *socket);
/* Cancel all calls first. Nulls. */
void docker_engine_free(docker_engine_t **engine);
/* For calls sent from here on. */
void docker_engine_set_socket(docker_engine_t *engine, const char *socket);
const char *docker_engine_socket(const docker_engine_t *engine);
/* Why a connection to the socket fails now; NULL: it does not. */
const char *docker_engine_fault(const docker_engine_t *engine);
/* Number of calls under way. */
unsigned docker_engine_busy(const docker_engine_t *engine);

typedef enum docker_class {
    DOCKER_URGENT, /* a request waits for it */
    DOCKER_BACKGROUND,
    DOCKER_LOG,
} docker_class_t;
#define DOCKER_CLASSES 3

/* Embedded in its owner. Zero-filled is valid and not begun. */
typedef struct docker_call {
    list_t link;
    docker_engine_t *engine; /* NULL: not begun */
    fetch_t *fetch;          /* NULL: in a queue */
    docker_class_t class;
    const char *method;
    char *path; /* as in a URL; owned */
    char *body; /* JSON; owned; NULL: none */
    uint32_t timeout_ms;
    size_t most;
    /* The call leaves the queue; may be NULL. */
    void (*sent)(struct docker_call *call);
    /* Bytes of a 2xx body as they come, unbounded. NULL: `done` gets the whole body, as it gets other bodies.
     */
    void (*data)(struct docker_call *call, str_t bytes);
    /* The end, once; may begin the call again. */
    void (*done)(struct docker_call *call, const fetch_result_t *result);
} docker_call_t;

/*
 * Begins the call that the fields from `class` on describe (method is a literal; takes over path and body).
 * Never calls back from within.
 */
void docker_call_begin(docker_engine_t *engine, docker_call_t *call);
bool docker_call_busy(const docker_call_t *call);
/* Ends the call without `done`. No-op if not begun. */
void docker_call_cancel(docker_call_t *call);

#endif
