/*
 * What a container wrote, out of an engine's answer to GET /containers/{id}/logs?timestamps=1, as it comes.
 * Where the container has a terminal, the answer is its output; else its output in frames with heads of 8
 * bytes (Docker Engine API, "Stream format"). Each entry (a line, or a frame) begins with its time, which is
 * left out. Pure: bytes in, text out, whatever the bytes are.
 *
 * A position is the second of the latest entry and the number of entries of that second: podman tells no
 * fractions. Entries are counted in the engine's order.
 */
#ifndef BOXEDGE_DOCKER_LOG_H
#define BOXEDGE_DOCKER_LOG_H

#include "box_log.h"

/* Of a line in a sentence. */
#define DOCKER_LOG_LINE_MAX 140
/* Positions are below 2^53, so that every reader of JSON keeps them. */
#define DOCKER_LOG_COUNT_BITS 21

typedef struct docker_log docker_log_t;

/* What comes after position `from`; 0: all. Keeps the last BOX_LOG_BYTES of it. */
docker_log_t *docker_log_new(uint64_t from);
/* NULL is allowed; nulls. */
void docker_log_free(docker_log_t **log);
void docker_log_feed(docker_log_t *log, str_t bytes);
/* The answer has ended. */
void docker_log_finish(docker_log_t *log);

const box_log_t *docker_log_text(const docker_log_t *log);
/* The position after it; `from` where nothing came. */
uint64_t docker_log_end(const docker_log_t *log);
/*
 * The engine was asked for its last `tail` entries. Where these may begin within a second whose entries have
 * to be counted, returns that second: only an answer with all entries since then has the right position.
 * `whole`: also where entries after `from` may be missing. Else 0.
 */
uint64_t docker_log_cut(const docker_log_t *log, uint64_t tail, bool whole);
/* The second of a position, unix. */
uint64_t docker_log_second(uint64_t position);

#endif
