/*
 * The processes of the edge as JSON, from the shared segment. A process that was taken over may have written
 * any of it.
 */
#ifndef BOXEDGE_PROCESSES_JSON_H
#define BOXEDGE_PROCESSES_JSON_H

#include <jansson.h>

#include "conf.h"
#include "shm.h"

/* Whether an edge of the segment runs, and has begun to serve. */
bool processes_generation_lives(const core_edge_t *edge);
/* All below return a new reference. `now_ms` is CLOCK_MONOTONIC. */
json_t *processes_controller_json(shm_t *shm, uint64_t now_ms);
/* Workers 0 to `workers` - 1 of this edge that have a slot. */
json_t *processes_workers_json(shm_t *shm, unsigned workers, uint64_t now_ms);
/* null if the configuration has no process boxes. */
json_t *processes_runner_json(shm_t *shm, const conf_t *conf, uint64_t now_ms);
/* The edges of the segment: the one that serves, and old ones with tunnels. Without one that still starts. */
json_t *processes_generations_json(shm_t *shm, uint64_t now_ms);

#endif
