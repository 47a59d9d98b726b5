/*
 * CDN-Loop (RFC 8586): a request that comes to this edge again. Its app may well ask another preview here, so
 * a loop is only the same host again, or too many passes.
 */
#ifndef BOXEDGE_CDN_LOOP_H
#define BOXEDGE_CDN_LOOP_H

#include "arena.h"
#include "field.h"
#include "str.h"

/* Passes of one request, at most. */
#define CDN_LOOP_PASSES 5

/* How `node` says that it has seen a request for the host in `authority`: "boxedge-<node>;host=<name>". */
str_t cdn_loop_mark(arena_t *pool, str_t node, str_t authority);
/* True where the request's CDN-Loop fields say that `node` has seen it for that host, or CDN_LOOP_PASSES
 * times. */
bool cdn_loop_found(const fields_t *fields, str_t node, str_t authority);

#endif
