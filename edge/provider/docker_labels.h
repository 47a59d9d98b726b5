/*
 * The labels of a container that say what kind of box it is: "<prefix>.id", ".keep_alive", ".idle",
 * ".start_timeout", ".init",
 * ".ports", ".ephemeral", ".expires_at" (docs/operations.md).
 */
#ifndef BOXEDGE_DOCKER_LABELS_H
#define BOXEDGE_DOCKER_LABELS_H

#include <jansson.h>

#include "docker_json.h"

/* The longest prefix that is read. */
#define DOCKER_LABEL_MAX 200

/* The value of "<prefix>.<name>"; empty with p NULL where there is none. */
str_t docker_label(const json_t *labels, const char *prefix, const char *name);

/*
 * Fills id, keep_alive, idle_ms, start_ms, ports, ephemeral and expires_at of out->box, out->init and
 * out->doubt. False where the labels name no box. A label that cannot be read: the box is not paused by the
 * edge (keep_alive), no port may be exposed (ports), it takes no previews (ephemeral), it is as without the
 * label (others).
 */
MUST_USE bool docker_read_labels(const json_t *labels, const char *prefix, uint32_t idle_ms,
                                 docker_container_t *out);

#endif
