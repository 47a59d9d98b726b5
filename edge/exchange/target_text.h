/*
 * The target of a request as logs show it: the values of parameters that carry secrets are left out
 * (docs/operations.md, "The access log").
 */
#ifndef BOXEDGE_TARGET_TEXT_H
#define BOXEDGE_TARGET_TEXT_H

#include "arena.h"
#include "str.h"

/* Of a target, a log shows so many bytes at most. */
#define TARGET_TEXT_BYTES 2048

/* Takes a part of the text. */
typedef void (*target_part_t)(str_t part, void *arg);

/* The text in parts, in their order: slices of `target`, and constants. */
void target_text_parts(str_t target, target_part_t take, void *arg);
/* The text in `pool`, cut one byte behind TARGET_TEXT_BYTES, so that a reader sees the cut. Its text is the
 * same again. */
str_t target_text(arena_t *pool, str_t target);

#endif
