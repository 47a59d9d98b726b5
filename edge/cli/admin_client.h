/*
 * The command line's side of the admin API: one blocking HTTP/1.1 request over the Unix socket.
 */
#ifndef BOXEDGE_ADMIN_CLIENT_H
#define BOXEDGE_ADMIN_CLIENT_H

#include <jansson.h>

#include "str.h"

/* The most that an answer may have, in bytes. */
#define ADMIN_ANSWER_MAX (16u << 20)

typedef enum admin_client_result {
    ADMIN_CLIENT_OK,          /* there is an answer, whatever its status */
    ADMIN_CLIENT_NOT_RUNNING, /* nobody listens there */
    ADMIN_CLIENT_FORBIDDEN,   /* the socket may not be used by this user */
    ADMIN_CLIENT_FAILED,      /* the sentence says why */
} admin_client_result_t;

typedef struct admin_answer {
    int status;
    json_t *json;    /* NULL where the body is not JSON */
    char error[256]; /* of ADMIN_CLIENT_FAILED */
} admin_answer_t;

/*
 * Sends a request to the edge at `socket_path` and waits for the whole answer, at most `timeout_s` between
 * two pieces of it. `body` (NULL: none) is JSON. Release the answer with admin_answer_fini in any case.
 */
MUST_USE admin_client_result_t admin_client_request(const char *socket_path, const char *method,
                                                    const char *target, const json_t *body,
                                                    unsigned timeout_s, admin_answer_t *answer);
void admin_answer_fini(admin_answer_t *answer);

#endif
