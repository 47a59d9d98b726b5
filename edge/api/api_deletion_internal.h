/*
 * Shared by api_deletion.c and api_deletion_*.c only.
 */
#ifndef BOXEDGE_API_DELETION_INTERNAL_H
#define BOXEDGE_API_DELETION_INTERNAL_H

#include "api_query.h"
#include "preview_client.h"

typedef enum stage {
    READING,  /* waits for the body */
    QUERYING, /* the upstream gets GETs of the boxes */
    NOTING,   /* the controller records the call before it is forwarded */
    NOTED,    /* recorded: the call is forwarded */
    SETTLING, /* the controller records the answer to a GET */
    OVER,     /* no report is left */
} stage_t;

/* ex->api->deletion. */
struct api_deletion {
    exchange_t *ex;
    stage_t stage;
    str_t path;   /* of a call for one box: raw, without its query; empty: a call for many */
    str_t *paths; /* of the boxes, as the call names them */
    size_t count; /* of `paths` */
    str_t *ids;   /* of the boxes that the upstream shows there; each once after the last answer */
    size_t box_count;
    str_t *by_id;  /* the paths by id of the boxes that the call names otherwise */
    size_t others; /* of `by_id` */
    bool living;   /* a box that still exists was not deleted by an earlier call */
    api_questions_t questions;
    preview_request_t controller_request;
    deletion_call_t call; /* with the boxes among `ids` that can have previews */
};

/* Makes the forwarded request from the parts of the GETs and the ids that they have shown.
 * (api_deletion_request.c) */
void api_deletion_write_request(api_deletion_t *deletion);
/* The GET of `path` has not shown the box: answers with the upstream's answer to it. (api_deletion_refusal.c)
 */
void api_deletion_refuse(api_deletion_t *deletion, str_t path, int status, const fields_t *fields,
                         str_t body);

#endif
