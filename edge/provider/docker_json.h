/*
 * Reads answers of a container engine (Docker Engine API, which podman serves too) for the docker provider.
 * Pure: bytes in, values out. Refuses any unexpected shape. An unreadable label never opens more than a
 * readable one.
 */
#ifndef BOXEDGE_DOCKER_JSON_H
#define BOXEDGE_DOCKER_JSON_H

#include "provider.h"

#define DOCKER_ID_MAX      64  /* hex digits of a container's id */
#define DOCKER_EXEC_MAX    128 /* characters of an exec instance's id */
#define DOCKER_INIT_MAX    4096
#define DOCKER_MESSAGE_MAX 200

typedef enum docker_state {
    DOCKER_RUNNING,
    DOCKER_PAUSED,
    DOCKER_STOPPED,  /* created or exited: can be started */
    DOCKER_CHANGING, /* stopping, restarting: a transient state */
    DOCKER_GONE,     /* being removed */
} docker_state_t;

/* A container that is a box. */
typedef struct docker_container {
    char id[DOCKER_ID_MAX + 1];
    uint64_t created_ns; /* unix; 0: unknown */
    uint64_t started_ns; /* unix, of the last start; 0: never */
    docker_state_t state;
    int exit_code;
    char *init;         /* command to run in it after a start; NULL: none; owned */
    const char *doubt;  /* a sentence about an unreadable label; NULL: none */
    provider_box_t box; /* from the labels and the network, without `renewed` */
} docker_container_t;

typedef enum docker_read {
    DOCKER_OK,
    DOCKER_NOT_A_BOX, /* without the label, or its value is no box id */
    DOCKER_MALFORMED,
} docker_read_t;

/*
 * GET /containers/{id}/json. `label` is the prefix of the labels; `idle_ms` is for containers without an idle
 * label. Call docker_container_fini on `out` for any result.
 */
MUST_USE docker_read_t docker_read_container(str_t json, const char *label, uint32_t idle_ms,
                                             docker_container_t *out);
/* Idempotent; zero-filled is allowed. */
void docker_container_fini(docker_container_t *container);

/* GET /containers/json: calls `each` for every id. False, without a call, if it is not a whole listing. */
MUST_USE bool docker_read_list(str_t json, void (*each)(void *owner, const char *id), void *owner);

typedef struct docker_event {
    char container[DOCKER_ID_MAX + 1]; /* its container; empty: none */
    bool labelled;                     /* the event has the id label */
    bool passing;                      /* without effect on the state (exec, health checks) */
} docker_event_t;

/* A line of GET /events. */
MUST_USE bool docker_read_event(str_t line, const char *label, docker_event_t *out);

/* The answer to POST /containers/{id}/exec. */
MUST_USE bool docker_read_exec(str_t json, char out[DOCKER_EXEC_MAX + 1]);

/* The message of an error, printable and cut; "" without one. */
void docker_read_message(str_t json, char out[DOCKER_MESSAGE_MAX + 1]);

/* An RFC 3339 time with up to 9 digits of a fraction, as ns since 1970; 0 if malformed, or earlier. */
uint64_t docker_read_time(str_t text);

/* 12 to 64 lower-case hex digits. */
bool docker_id_valid(str_t id);

#endif
