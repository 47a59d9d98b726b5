/*
 * Questions of a worker to the controller about links: the bytes of PROCESS_PREVIEW_LINK. The answer is a
 * preview_answer_t (preview_message.h): `alias` is the link's host label, secrets.token its secret, and
 * `sentence` has the numbers of link_answer_t.
 */
#ifndef BOXEDGE_LINK_MESSAGE_H
#define BOXEDGE_LINK_MESSAGE_H

#include <inttypes.h>
#include <stdio.h>

#include "link_make.h"
#include "preview_message.h"

typedef enum link_op {
    LINK_OPEN = 1, /* begin a session; the worker has checked the secret */
    LINK_NOTE,     /* record `used_at`; no answer */
    LINK_CREATE,
    LINK_REVOKE,
} link_op_t;

typedef struct link_call {
    uint64_t link;    /* its id; LINK_CREATE: 0 */
    uint64_t used_at; /* LINK_NOTE: unix seconds */
    uint32_t op;      /* link_op_t */
    uint32_t seconds; /* LINK_CREATE: lifetime */
    uint16_t port;
    uint8_t once, read_only, allow_websocket, hide_box; /* LINK_CREATE */
    char box[BOX_ID_MAX + 1];
    char label[STORE_LABEL_MAX + 1];
    char path[STORE_LINK_PATH_MAX + 1];
} link_call_t;

typedef struct link_answer {
    uint64_t link;
    uint64_t number;     /* of the session; LINK_CREATE: 0 */
    uint64_t expires_at; /* of the link */
} link_answer_t;

/* Returns false if the bytes are not a valid call. */
static inline bool link_call_read(str_t bytes, link_call_t *out)
{
    if (bytes.n != sizeof(*out))
        return false;
    memcpy(out, bytes.p, sizeof(*out));
    return out->op >= LINK_OPEN && out->op <= LINK_REVOKE && out->port != 0 &&
           memchr(out->box, '\0', sizeof(out->box)) != NULL && box_id_valid(str_from(out->box)) &&
           memchr(out->label, '\0', sizeof(out->label)) != NULL &&
           memchr(out->path, '\0', sizeof(out->path)) != NULL &&
           (out->op != LINK_CREATE ||
            (link_path_valid(str_from(out->path)) && out->seconds != 0 && out->seconds <= LINK_SECONDS_MAX));
}

static inline void link_answer_write(preview_answer_t *answer, const link_answer_t *link)
{
    (void)snprintf(answer->sentence, sizeof(answer->sentence), "%" PRIu64 " %" PRIu64 " %" PRIu64, link->link,
                   link->number, link->expires_at);
}

static inline bool link_answer_read(const preview_answer_t *answer, link_answer_t *out)
{
    uint64_t *const numbers[] = {&out->link, &out->number, &out->expires_at};
    str_t rest = str_from(answer->sentence);
    for (size_t i = 0; i < 3; i++) {
        const char *space = rest.n != 0 ? memchr(rest.p, ' ', rest.n) : NULL;
        str_t number = str_make(rest.p, space != NULL ? (size_t)(space - rest.p) : rest.n);
        if (!str_to_uint(number, UINT64_MAX, numbers[i]))
            return false;
        rest = str_from_offset(rest, number.n + (space != NULL));
    }
    return rest.n == 0;
}

#endif
