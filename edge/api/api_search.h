/*
 * Finds the boxes that the API may delete by a name although it finds none by it. Searches a list of the
 * caller's boxes, or each box that has previews, as the API shows them to the caller. A box that shows one of
 * the names is meant. If no box shows a name at all, each of the caller's boxes may be meant.
 */
#ifndef BOXEDGE_API_SEARCH_H
#define BOXEDGE_API_SEARCH_H

#include <jansson.h>

#include "deletion_message.h"
#include "str.h"

/* Maximum previews that are read to find the boxes with previews. */
#define API_SEARCH_PREVIEWS 4096

typedef struct api_search {
    store_t *store;
    deletion_call_t *meant; /* gets the boxes that are meant */
    deletion_call_t *maybe; /* gets the others with previews that may be meant */
    str_t names[STORE_DELETIONS_AT_ONCE];
    bool matched[STORE_DELETIONS_AT_ONCE]; /* a box shows it */
    size_t name_count;
    bool unreadable;             /* readers differ about one of them: a box's other name rules nothing out */
    bool shown;                  /* a box shows a name */
    bool meant_full, maybe_full; /* more boxes than a call may have */
} api_search_t;

/* Adds a name, once. An empty one is `unreadable`. */
void api_search_add(api_search_t *search, str_t name);
/* Takes a box that the caller sees. False: not a box. */
MUST_USE bool api_search_take(api_search_t *search, const json_t *box);
/*
 * Takes a list of the caller's boxes: an array, or an object with one. True: the list is marked as complete.
 * Any other list proves only the boxes in it, since a server may cut a list silently.
 */
MUST_USE bool api_search_take_list(api_search_t *search, str_t body);
/* Whether every name was matched. */
bool api_search_matched(const api_search_t *search);
/* Ends the search: drops boxes that cannot be meant. False: too many boxes. */
MUST_USE bool api_search_end(api_search_t *search);

/* Writes the boxes with previews that are not meant yet into `ids`, and returns their number. More than
 * STORE_DELETIONS_AT_ONCE if more exist, or may exist. */
size_t api_search_candidates(const api_search_t *search, char ids[STORE_DELETIONS_AT_ONCE][BOX_ID_MAX + 1]);

/* Adds a box to the call, once. False: the call is full. */
MUST_USE bool api_search_add_id(deletion_call_t *call, str_t id);

#endif
