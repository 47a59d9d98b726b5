/*
 * The target of a request for logs, without the values of parameters that carry secrets (docs/operations.md,
 * "The access log").
 */
#ifndef BOXEDGE_TARGET_TEXT_H
#define BOXEDGE_TARGET_TEXT_H

#include "arena.h"
#include "str.h"

/* Maximum bytes of a target in a log. */
#define TARGET_TEXT_BYTES 2048

/* Takes a part of the text. */
typedef void (*target_part_t)(str_t part, void *arg);

/* Passes the text to `take` in order, as slices of `target` and constants. */
void target_text_parts(str_t target, target_part_t take, void *arg);
/* Writes the text to `out`, at most `room` bytes. Returns the length of the whole text. */
size_t target_text_copy(str_t target, char *out, size_t room);
/* The text in `pool`, cut one byte behind TARGET_TEXT_BYTES, so that a reader sees the cut. Idempotent. */
str_t target_text(arena_t *pool, str_t target);

#endif
