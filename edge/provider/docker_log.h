/*
 * What a container wrote last, out of an engine's answer to GET /containers/{id}/logs. Pure: bytes in, a line
 * out.
 */
#ifndef BOXEDGE_DOCKER_LOG_H
#define BOXEDGE_DOCKER_LOG_H

#include "str.h"

#define DOCKER_LOG_LINE_MAX 140

/* The line that best explains an end, for a sentence (last_words.h); "" where there is none. `body` is raw,
 * where the container has a terminal, or in frames with heads of 8 bytes (Docker Engine API, "Stream
 * format"). */
void docker_log_line(str_t body, char out[DOCKER_LOG_LINE_MAX + 1]);

#endif
