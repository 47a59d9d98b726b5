/*
 * Questions of a worker to the controller about previews, and the answers: the bytes of
 * PROCESS_PREVIEW and PROCESS_PREVIEW_DONE. Both ends are the same program; the receiver still
 * checks the bytes.
 */
#ifndef BOXEDGE_PREVIEW_MESSAGE_H
#define BOXEDGE_PREVIEW_MESSAGE_H

#include <stddef.h>

#include "preview_make.h"

typedef enum preview_op {
    PREVIEW_CREATE = 1, /* or replace */
    PREVIEW_DELETE,
} preview_op_t;

typedef struct preview_call {
    uint32_t op; /* preview_op_t */
    uint16_t port;
    bool bearer, basic;
    bool dash;          /* an alias for an id with '_' */
    uint64_t deletions; /* store_deletions_version from before the check of the caller's right to the box */
    char id[BOX_ID_MAX + 1];
} preview_call_t;

typedef struct preview_answer {
    int32_t status; /* 200, or the status of an error */
    char code[32];  /* of an error */
    char sentence[PREVIEW_WHY_MAX];
    char alias[BOX_ID_MAX + 1]; /* of a creation; empty: none */
    preview_secrets_t secrets;  /* of a creation; to be cleansed */
} preview_answer_t;

/* Returns false if the bytes are not a valid call. A bool other than 0 or 1 is refused before it is
 * read as a bool. */
static inline bool preview_call_read(str_t bytes, preview_call_t *out)
{
    if (bytes.n != sizeof(*out) || (unsigned char)bytes.p[offsetof(preview_call_t, bearer)] > 1 ||
        (unsigned char)bytes.p[offsetof(preview_call_t, basic)] > 1 ||
        (unsigned char)bytes.p[offsetof(preview_call_t, dash)] > 1)
        return false;
    memcpy(out, bytes.p, sizeof(*out));
    return out->op >= PREVIEW_CREATE && out->op <= PREVIEW_DELETE && out->port != 0 &&
           memchr(out->id, '\0', sizeof(out->id)) != NULL && box_id_valid(str_from(out->id));
}

static inline bool preview_answer_read(str_t bytes, preview_answer_t *out)
{
    if (bytes.n != sizeof(*out))
        return false;
    memcpy(out, bytes.p, sizeof(*out));
    out->code[sizeof(out->code) - 1] = '\0';
    out->sentence[sizeof(out->sentence) - 1] = '\0';
    out->alias[sizeof(out->alias) - 1] = '\0';
    out->secrets.token[SECRET_TEXT_LEN] = '\0';
    out->secrets.password[SECRET_TEXT_LEN] = '\0';
    return out->status >= 200 && out->status <= 599;
}

#endif
