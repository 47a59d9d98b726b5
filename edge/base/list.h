/*
 * A doubly linked list whose members embed their link: libh2o's, whose inline functions cost nothing. An
 * anchor is a separate list_t; a member that is in no list is zero-filled.
 */
#ifndef BOXEDGE_LIST_H
#define BOXEDGE_LIST_H

#include <stdbool.h>

#include <h2o/memory.h>

#include <h2o/linklist.h>

/* The anchor of a list, or the link of a member. */
typedef h2o_linklist_t list_t;

/* The structure of `type` whose `member` is at `pointer`. */
#define CONTAINER_OF(type, member, pointer) H2O_STRUCT_FROM_MEMBER(type, member, pointer)

/* Makes an empty list of an anchor. */
static inline void list_init(list_t *anchor)
{
    h2o_linklist_init_anchor(anchor);
}

static inline bool list_is_empty(const list_t *anchor)
{
    return anchor->next == anchor;
}

/* Whether a member is in a list. */
static inline bool list_is_linked(const list_t *link)
{
    return link->next != NULL;
}

/* Puts a member that is in no list before `at`: at the end of the list if `at` is its anchor. */
static inline void list_insert(list_t *at, list_t *link)
{
    h2o_linklist_insert(at, link);
}

/* Puts all members of `from`, which is then empty, before `at` in their order. */
static inline void list_insert_all(list_t *at, list_t *from)
{
    h2o_linklist_insert_list(at, from);
}

/* Takes a member out of its list. */
static inline void list_unlink(list_t *link)
{
    h2o_linklist_unlink(link);
}

#endif
