/*
 * The latest access lines of a worker, in memory, for the operator's search (`boxedge recent`). Their bytes
 * are bounded: the oldest lines go first, an eighth of all at a time.
 *
 * It has no lock; its owner (access_log.c) has one.
 */
#ifndef BOXEDGE_RECENT_LINES_H
#define BOXEDGE_RECENT_LINES_H

#include "str.h"

/* Bytes that the workers of an edge keep together, and the least of one worker. */
#define RECENT_LINES_BYTES       (8u << 20)
#define RECENT_LINES_BYTES_LEAST (512u << 10)
/* Maximum lines of one answer. */
#define RECENT_LINES_MAX 200

typedef struct recent_lines recent_lines_t;

/* The bytes of one of `workers`. */
size_t recent_lines_share(unsigned workers);
/* Keeps at most `bytes`, of which it allocates an eighth when it needs it. */
recent_lines_t *recent_lines_new(size_t bytes);
/* Nulls. NULL is a no-op. */
void recent_lines_free(recent_lines_t **recent);
/* Adds whole lines, each with its line end and at most an eighth of all bytes long (a longer one is left
 * out). */
void recent_lines_add(recent_lines_t *recent, str_t lines);
/* The number of lines, which it counts. */
uint64_t recent_lines_count(const recent_lines_t *recent);

/* A line without its line end; false ends the walk. */
typedef bool (*recent_line_t)(void *arg, str_t line);
/* Calls `each` for every line, the newest first. False if `each` ended the walk. */
bool recent_lines_walk(const recent_lines_t *recent, recent_line_t each, void *arg);
/* The same for the lines of one text. */
bool recent_lines_walk_text(str_t lines, recent_line_t each, void *arg);

/* Whether `find` may be looked for: 1 to 255 letters, digits and ".:_-". */
bool recent_find_valid(str_t find);
/*
 * Whether `find` is the request id, box, client, API key or reason of the line, or the begin of its host: a
 * whole label or more. Quotes within values are escaped, so that no value can pass for another field.
 */
bool recent_line_matches(str_t line, str_t find);

#endif
