/*
 * A request's path as the most lenient server would read it, for rules that another spelling must
 * not evade.
 */
#ifndef BOXEDGE_PATH_H
#define BOXEDGE_PATH_H

#include "str.h"

/* Cuts the first segment off `*path`, which begins with a slash; returns it without the slash. */
str_t path_take_segment(str_t *path);

/*
 * The lenient reading of `path`, which begins with a slash and has no query. It decodes
 * percent-encoding once, turns backslashes into slashes, cuts parameters (";..."), and removes
 * empty and dot segments. No slash remains at the end, except in "/" itself. Letters keep their
 * case. `out` receives the result and has room for path.n bytes.
 */
str_t path_read(str_t path, char *out);

/* Maximum decodings of a path by servers in a row. */
#define PATH_DECODES_MAX 3
/*
 * Calls `each` for the lenient readings of such a path, until it returns false. The readings are
 * decoded by path_read up to PATH_DECODES_MAX times. Each is also cut where a server may see its
 * end (a decoded "?", "#" or zero byte). `out` has room for path.n bytes; a reading lives until
 * `each` returns.
 */
void path_each_reading(str_t path, char *out, bool (*each)(str_t reading, void *arg), void *arg);

#endif
