/*
 * Recognises the routes of the box API that concern the edge (docs/api.md): a box, and its previews. Routes
 * that the edge answers must not reach the upstream in another spelling.
 */
#ifndef BOXEDGE_API_PATH_H
#define BOXEDGE_API_PATH_H

#include "str.h"

#include "arena.h"

typedef enum api_route {
    API_ROUTE_OTHER,      /* none of these */
    API_ROUTE_BOX,        /* /v2/box/{id} */
    API_ROUTE_PREVIEWS,   /* /v2/box/{id}/preview */
    API_ROUTE_PREVIEW,    /* /v2/box/{id}/preview/{port} */
    API_ROUTE_LINKS,      /* /v2/box/{id}/preview/{port}/links */
    API_ROUTE_LINK,       /* /v2/box/{id}/preview/{port}/links/{link} */
    API_ROUTE_MISSPELLED, /* one of the last four in another spelling: encoded, doubled slashes, dots... */
} api_route_t;

/* Longer paths are read into memory of the pool. */
#define API_PATH_SHORT 1024

typedef struct api_path {
    api_route_t route;
    str_t id;   /* as in the target; may be no box id */
    str_t port; /* of API_ROUTE_PREVIEW and links; may be no port */
    str_t link; /* of API_ROUTE_LINK; may be no id */
} api_path_t;

/* `target` is a raw path of any length, with or without a query. The result has slices of it. */
api_path_t api_path_parse(arena_t *pool, str_t target);

/* The raw path of a target. */
str_t api_path_without_query(str_t target);

typedef enum api_boxes_kind {
    API_BOXES_NONE = 0, /* no such path */
    API_BOXES_ONE,      /* /v2/box/{name}, in any spelling */
    API_BOXES_MANY,     /* /v2/box */
    API_BOXES_UNCLEAR,  /* servers may read different boxes in it */
} api_boxes_kind_t;

typedef struct api_boxes {
    api_boxes_kind_t kind;
    str_t path; /* of the target, without its query */
    str_t name; /* of API_BOXES_ONE: decoded, in `pool`; empty: only the raw path names the box */
} api_boxes_t;

/* The boxes that a call of this path concerns, as the most lenient servers would read it. */
api_boxes_t api_path_boxes(arena_t *pool, str_t target);

#endif
