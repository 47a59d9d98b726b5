/*
 * CDN-Loop (RFC 8586) detects requests that come back to this edge. An app may legitimately call another
 * preview here, so only the same host again, or too many passes, is a loop.
 */
#ifndef BOXEDGE_CDN_LOOP_H
#define BOXEDGE_CDN_LOOP_H

#include "arena.h"
#include "field.h"
#include "str.h"

/* Number of passes from which on a request is a loop. */
#define CDN_LOOP_PASSES 5

/* The mark of `node` for a request to the host in `authority`: "boxedge-<node>;host=<name>", in `pool`. */
str_t cdn_loop_mark(arena_t *pool, str_t node, str_t authority);
/* Whether the request's CDN-Loop fields have the mark of `node` for that host, or CDN_LOOP_PASSES of its
 * marks. */
bool cdn_loop_found(const fields_t *fields, str_t node, str_t authority);

#endif
