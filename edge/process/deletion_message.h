/*
 * Messages from a worker to the controller about API calls that delete boxes: the bytes of
 * PROCESS_DELETION. The answer is a preview_answer_t without secrets (PROCESS_PREVIEW_DONE).
 */
#ifndef BOXEDGE_DELETION_MESSAGE_H
#define BOXEDGE_DELETION_MESSAGE_H

#include <stddef.h>

#include "ipc.h"
#include "store.h"

/* After a call without an outcome, the API may still carry it out for this time: until then, a box that
 * exists settles nothing. */
#define DELETION_LIVING_MS 10000u

typedef enum deletion_op {
    DELETION_BEGIN = 1, /* the call is about to be forwarded: hide the boxes' previews from now on */
    DELETION_END,       /* the call has ended */
    DELETION_SETTLE,    /* an owner's GET shows the box's state after a call with an unknown outcome */
} deletion_op_t;

typedef enum deletion_outcome {
    DELETION_DONE = 1, /* the boxes are gone */
    DELETION_REFUSED,  /* the boxes still exist */
    DELETION_UNKNOWN,
} deletion_outcome_t;

typedef struct deletion_call {
    uint32_t op;              /* deletion_op_t */
    uint32_t outcome;         /* deletion_outcome_t, of END and SETTLE */
    uint64_t call;            /* the call's number; 0 for DELETION_SETTLE */
    uint64_t requested_at_ms; /* unix ms by the worker's clock when the call begins; for DELETION_SETTLE, that
                             of the box's earliest deletion */
    uint32_t pid;             /* of the worker */
    uint32_t birth;           /* process_birth of the worker */
    uint32_t count;
    uint8_t key_sha256[32];
    char ids[STORE_DELETIONS_AT_ONCE][BOX_ID_MAX + 1];
} deletion_call_t;

_Static_assert(sizeof(deletion_call_t) <= IPC_BYTES_MAX, "it is one message");

/* The bytes of the message, which ends after the last id. */
static inline str_t deletion_call_bytes(const deletion_call_t *call)
{
    return str_make((const char *)call, offsetof(deletion_call_t, ids) + call->count * sizeof(call->ids[0]));
}

/* Returns false if the bytes are not a valid call. */
static inline bool deletion_call_read(str_t bytes, deletion_call_t *out)
{
    if (bytes.n < offsetof(deletion_call_t, ids) || bytes.n > sizeof(*out))
        return false;
    memset(out, 0, sizeof(*out));
    memcpy(out, bytes.p, bytes.n);
    if (out->op < DELETION_BEGIN || out->op > DELETION_SETTLE || out->count == 0 ||
        out->count > STORE_DELETIONS_AT_ONCE || bytes.n != deletion_call_bytes(out).n ||
        out->pid > INT32_MAX ||
        (out->op != DELETION_BEGIN && (out->outcome < DELETION_DONE || out->outcome > DELETION_UNKNOWN)))
        return false;
    for (uint32_t i = 0; i < out->count; i++)
        if (memchr(out->ids[i], '\0', sizeof(out->ids[i])) == NULL || !box_id_valid(str_from(out->ids[i])))
            return false;
    return true;
}

#endif
