/*
 * Which boxes names may mean by which the API finds none, though it may delete by them: a list of the
 * caller's boxes, or each box that has previews, as the API shows them to the caller. A box that shows one of
 * the names is meant. Where no box shows a name at all, each of the caller's boxes may be.
 */
#ifndef BOXEDGE_API_SEARCH_H
#define BOXEDGE_API_SEARCH_H

#include <jansson.h>

#include "deletion_message.h"
#include "str.h"

/* Previews that are looked at to find the boxes that have any. */
#define API_SEARCH_PREVIEWS 4096

typedef struct api_search {
    store_t *store;
    deletion_call_t *meant; /* boxes are added to it */
    deletion_call_t *maybe; /* the others, with previews, of which nothing shows a name */
    str_t names[STORE_DELETIONS_AT_ONCE];
    bool matched[STORE_DELETIONS_AT_ONCE]; /* some box shows it */
    size_t name_count;
    bool unreadable; /* what one of them is depends on its reader: no name that is shown counts against it */
    bool shown;      /* some box shows a name */
    bool meant_full, maybe_full; /* more boxes than a call may have */
} api_search_t;

/* Once for each name; an empty one is `unreadable`. */
void api_search_add(api_search_t *search, str_t name);
/* A box that the caller sees. False where it is none. */
MUST_USE bool api_search_take(api_search_t *search, const json_t *box);
/*
 * The body of a list of the caller's boxes: an array, or an object with one. True where it says that it has
 * all of them. Any other proves only that the boxes in it are there: a server may cut a list without a word.
 */
MUST_USE bool api_search_take_list(api_search_t *search, str_t body);
/* Every name was matched. */
bool api_search_matched(const api_search_t *search);
/* All that could be seen was taken: drops boxes that cannot be meant. False where there were too many. */
MUST_USE bool api_search_end(api_search_t *search);

/* The boxes with previews that are not meant so far into `ids`, whose number is returned. More than
 * STORE_DELETIONS_AT_ONCE where there are more, or may be. */
size_t api_search_candidates(const api_search_t *search, char ids[STORE_DELETIONS_AT_ONCE][BOX_ID_MAX + 1]);

/* Adds a box to the call, once. False where it has as many as it may. */
MUST_USE bool api_search_add_id(deletion_call_t *call, str_t id);

#endif
