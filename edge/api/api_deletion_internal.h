/*
 * Shared by api_deletion.c, api_deletion_ids.c and api_deletion_search.c only.
 */
#ifndef BOXEDGE_API_DELETION_INTERNAL_H
#define BOXEDGE_API_DELETION_INTERNAL_H

#include "api_query.h"
#include "api_search.h"
#include "preview_client.h"

typedef enum stage {
    READING,  /* waits for the body */
    QUERYING, /* the upstream gets GETs of the boxes */
    NOTING,   /* the controller records the call before it goes up */
    NOTED,    /* recorded: the call goes up */
    SETTLING, /* the controller records the answer to a GET */
    OVER,     /* nothing is left to report */
} stage_t;

typedef struct target {
    str_t name; /* from the path or the body, decoded */
    bool found; /* the API has shown the box, with this id: */
    char id[BOX_ID_MAX + 1];
} target_t;

/* ex->api->deletion. */
struct api_deletion {
    exchange_t *ex;
    stage_t stage;
    str_t path;  /* of a call for one box: raw, without its query; empty: a call for many */
    bool listed; /* the upstream has shown a list of all the caller's boxes */
    str_t *paths;
    target_t *targets; /* one per path */
    size_t count;
    bool living; /* a box that still exists was not deleted by an earlier call */
    api_questions_t questions;
    int no_box; /* status of the first answer that denies the box; 0: none */
    str_t content_type, body;
    preview_request_t controller_request;
    deletion_call_t call;
    api_search_t search;
    deletion_call_t *unseen; /* boxes named by id and not shown; NULL: none has previews */
    doubt_claim_t claim;     /* for the boxes of `unseen` */
    deletion_call_t maybe;   /* boxes that a name without a match may mean */
};

/*
 * Replaces names of boxes in the call by their ids before it goes up. By the time of the deletion such a name
 * could be that of another box, whose previews are in place. (api_deletion_ids.c)
 */
void api_deletion_name_by_ids(api_deletion_t *deletion);
/* Finds the boxes with previews that the call names by id and the upstream does not show, and reserves their
 * doubts. False: no room for them. */
MUST_USE bool api_deletion_find_unseen(api_deletion_t *deletion);
/* Whether the status denies that the path names a box of the caller. */
bool api_deletion_is_no_box(int status);
/* Ends the call without sending it up: its caller gets the upstream's answer. */
void api_deletion_refuse(api_deletion_t *deletion, int status, str_t content_type, str_t body);
/* The upstream has answered for each path: searches the boxes that it has not shown, then notes all. */
void api_deletion_search(exchange_t *ex);
/* No more boxes will be shown: the controller notes them, and the call goes up. */
void api_deletion_note(api_deletion_t *deletion);

#endif
