/*
 * The labels of a container that describe its box: "<prefix>.id", ".keep_alive", ".idle", ".start_timeout",
 * ".init", ".ports", ".ephemeral", ".expires_at" (docs/operations.md).
 */
#ifndef BOXEDGE_DOCKER_LABELS_H
#define BOXEDGE_DOCKER_LABELS_H

#include <jansson.h>

#include "docker_json.h"

/* Maximum bytes of a prefix. */
#define DOCKER_LABEL_MAX 200

/* The value of "<prefix>.<name>"; without one, empty with p NULL. */
str_t docker_label(const json_t *labels, const char *prefix, const char *name);

/*
 * Fills id, keep_alive, idle_ms, start_ms, ports, ephemeral and expires_at of out->box, out->init and
 * out->doubt. False if the labels name no box. An unreadable label means: never paused by the edge
 * (keep_alive), only its readable ports are exposed, if any (ports), no previews (ephemeral), as if missing
 * (others).
 */
MUST_USE bool docker_read_labels(const json_t *labels, const char *prefix, uint32_t idle_ms,
                                 docker_container_t *out);

#endif
