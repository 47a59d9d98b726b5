/* Splits a stream that comes in pieces of any size into lines, for GET /events of a container engine. */
#ifndef BOXEDGE_DOCKER_LINES_H
#define BOXEDGE_DOCKER_LINES_H

#include "str.h"

/* Maximum bytes of a line, without its end. */
#define DOCKER_LINE_MAX 65536

typedef struct docker_lines docker_lines_t;

docker_lines_t *docker_lines_new(void);
void docker_lines_free(docker_lines_t **lines);
/* Drops a partial line before another stream begins. */
void docker_lines_reset(docker_lines_t *lines);
/*
 * Calls `line` for every complete line, without '\n' and a '\r' before it; skips empty ones. False after
 * skipping a line that is too long, with its rest to come.
 */
MUST_USE bool docker_lines_feed(docker_lines_t *lines, str_t bytes, void (*line)(void *owner, str_t text),
                                void *owner);

#endif
