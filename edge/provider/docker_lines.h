/*
 * Lines out of a stream that comes in pieces of any size, as GET /events of a container engine sends them.
 */
#ifndef BOXEDGE_DOCKER_LINES_H
#define BOXEDGE_DOCKER_LINES_H

#include "str.h"

/* The longest line, without its end. */
#define DOCKER_LINE_MAX 65536

typedef struct docker_lines docker_lines_t;

docker_lines_t *docker_lines_new(void);
void docker_lines_free(docker_lines_t **lines);
/* Forgets the line that has begun: another stream begins. */
void docker_lines_reset(docker_lines_t *lines);
/*
 * Calls `line` for every line that is whole now (without '\n' and a '\r' before it; empty ones are left out).
 * False where one was too long: it was left out, and so will be its rest.
 */
MUST_USE bool docker_lines_feed(docker_lines_t *lines, str_t bytes, void (*line)(void *owner, str_t text),
                                void *owner);

#endif
