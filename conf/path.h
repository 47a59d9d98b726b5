/*
 * A request's path as the most generous server would read it, for what must not be evaded by another
 * spelling.
 */
#ifndef BOXEDGE_PATH_H
#define BOXEDGE_PATH_H

#include "str.h"

/* Cuts the first segment off `*path`, which begins with a slash; without the slash. */
str_t path_take_segment(str_t *path);

/*
 * The generous reading of `path`, which begins with a slash and has no query: percent-encoding undone once,
 * backslashes as slashes, parameters (";...") cut off, empty and dot segments removed; no slash at the end
 * but for "/" itself. Letters keep their case. It stands in `out`, which has room for path.n bytes.
 */
str_t path_read(str_t path, char *out);

/* How often servers in a row may decode a path. */
#define PATH_DECODES_MAX 3
/*
 * Calls `each` for the generous readings of such a path, until it returns false: decoded once, as path_read
 * has it, and up to PATH_DECODES_MAX times; each also cut where a server may see its end (a decoded "?", "#"
 * or zero byte). `out` has room for path.n bytes; a reading lives until `each` returns.
 */
void path_each_reading(str_t path, char *out, bool (*each)(str_t reading, void *arg), void *arg);

#endif
