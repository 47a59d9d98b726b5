/*
 * The command line's side of the admin API: one blocking HTTP/1.1 request over the Unix socket.
 */
#ifndef BOXEDGE_ADMIN_CLIENT_H
#define BOXEDGE_ADMIN_CLIENT_H

#include <jansson.h>

#include "str.h"

/* Maximum bytes of an answer. */
#define ADMIN_ANSWER_MAX (16u << 20)

typedef enum admin_client_result {
    ADMIN_CLIENT_OK,          /* an answer with any status */
    ADMIN_CLIENT_NOT_RUNNING, /* nothing listens on the socket */
    ADMIN_CLIENT_FORBIDDEN,   /* this user may not use the socket */
    ADMIN_CLIENT_FAILED,      /* `error` has the reason */
} admin_client_result_t;

typedef struct admin_answer {
    int status;
    json_t *json;    /* NULL if the body is not JSON */
    char *text;      /* the body if it is not JSON; else NULL */
    char error[256]; /* for ADMIN_CLIENT_FAILED */
} admin_answer_t;

/*
 * Sends a request to the edge at `socket_path` and waits for the whole answer, at most `timeout_s` between
 * two pieces. `body` (NULL: none) is JSON. Call admin_answer_fini on the answer for any result.
 */
MUST_USE admin_client_result_t admin_client_request(const char *socket_path, const char *method,
                                                    const char *target, const json_t *body,
                                                    unsigned timeout_s, admin_answer_t *answer);
void admin_answer_fini(admin_answer_t *answer);

#endif
