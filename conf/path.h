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

#endif
