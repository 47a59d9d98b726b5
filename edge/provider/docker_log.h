/*
 * Reads the output of a container from an engine's answer to GET /containers/{id}/logs?timestamps=1, as it
 * comes. With a terminal, the answer is the output; else it is frames with heads of 8 bytes (Docker Engine
 * API, "Stream format"). Each entry (a line, or a frame) begins with its time, which is removed. Pure: bytes
 * in, text out, for any bytes.
 *
 * A position is the second of the latest entry and the number of entries of that second, in the engine's
 * order: podman has no fractions.
 */
#ifndef BOXEDGE_DOCKER_LOG_H
#define BOXEDGE_DOCKER_LOG_H

#include "box_log.h"

/* Maximum bytes of a line in a sentence. */
#define DOCKER_LOG_LINE_MAX 140
/* Positions are below 2^53, so that every reader of JSON keeps them. */
#define DOCKER_LOG_COUNT_BITS 21

typedef struct docker_log docker_log_t;

/* Reads the entries after position `from`; 0: all. Keeps the last BOX_LOG_BYTES of them. */
docker_log_t *docker_log_new(uint64_t from);
/* NULL is allowed; nulls. */
void docker_log_free(docker_log_t **log);
void docker_log_feed(docker_log_t *log, str_t bytes);
/* Ends the answer. */
void docker_log_finish(docker_log_t *log);

const box_log_t *docker_log_text(const docker_log_t *log);
/* The position after the output; `from` without any. */
uint64_t docker_log_end(const docker_log_t *log);
/*
 * The answer has the last `tail` entries. Returns a second whose entries must be counted, but may be cut:
 * only an answer with all entries since then gives the right position. `whole`: also if entries after `from`
 * may be missing. 0: the answer suffices.
 */
uint64_t docker_log_cut(const docker_log_t *log, uint64_t tail, bool whole);
/* The second of a position, unix. */
uint64_t docker_log_second(uint64_t position);

#endif
