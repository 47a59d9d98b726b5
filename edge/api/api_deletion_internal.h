/*
 * What the files of deletions at the API share (api_deletion.c, api_deletion_search.c); nobody else's.
 */
#ifndef BOXEDGE_API_DELETION_INTERNAL_H
#define BOXEDGE_API_DELETION_INTERNAL_H

#include "api_ask.h"
#include "api_search.h"
#include "preview_client.h"

typedef enum stage {
    READING,  /* waits for the body */
    ASKING,   /* the upstream */
    NOTING,   /* the controller records the call before it goes up */
    NOTED,    /* it has it: the call goes up */
    SETTLING, /* the controller records the answer of a GET */
    OVER,     /* nothing is to be told any more */
} stage_t;

typedef struct target {
    str_t name; /* as the path has it, decoded */
    bool found; /* the API has shown the box: */
    char id[BOX_ID_MAX + 1];
} target_t;

/* ex->api->deletion. */
struct api_deletion {
    exchange_t *ex;
    stage_t stage;
    str_t path;  /* of a call for one box, as it came, without its query; empty: of one for many */
    bool listed; /* the upstream has shown, and said so, all boxes of the caller */
    str_t *paths;
    target_t *targets; /* for each path */
    size_t count;
    bool living; /* a box that is there by now was not deleted by an earlier call */
    api_questions_t questions;
    int no_box; /* the status of the first answer that said that there is no such box; 0: none */
    str_t content_type, body;
    preview_asker_t asker;
    deletion_call_t call;
    api_search_t search;
    deletion_call_t *unseen; /* boxes that it names, but does not show; NULL: none that has previews */
    doubt_claim_t claim;     /* for these */
    deletion_call_t maybe;   /* boxes that a name may mean by which none is found */
};

/*
 * What the call names by another name than its id goes up by its id: by the time of the deletion the name
 * could be another box's, whose previews are in place. (api_deletion_ids.c)
 */
void api_deletion_name_by_ids(api_deletion_t *deletion);
/* Finds the boxes with previews that the call names by their ids, but the upstream does not show, and
 * reserves their doubts. False where there is no room for them. */
MUST_USE bool api_deletion_find_unseen(api_deletion_t *deletion);
/* The status says that the path names no box of the caller's. */
bool api_deletion_says_no_box(int status);
/* The call does not go up: its caller gets the upstream's answer. */
void api_deletion_refuse(api_deletion_t *deletion, int status, str_t content_type, str_t body);
/* The upstream has been asked for each path: looks for the boxes that it has not shown, then notes all. */
void api_deletion_search(exchange_t *ex);
/* The upstream has shown all that it shows: the controller notes it, and the call goes up. */
void api_deletion_note(api_deletion_t *deletion);

#endif
