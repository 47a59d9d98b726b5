/*
 * Boxes that are containers with labels (docs/operations.md), behind the Docker Engine API on a Unix socket
 * (Docker, or podman's `podman system service`).
 *
 * State follows the engine's events; after any gap in them all containers are listed and inspected again.
 * While the engine is unreachable the provider reports nothing: boxes that ran count as running.
 */
#ifndef BOXEDGE_PROVIDER_DOCKER_H
#define BOXEDGE_PROVIDER_DOCKER_H

#include "fetch.h"
#include "provider.h"

/* Delay before the engine is tried again: doubles from the first to the last, with jitter. */
#define DOCKER_BACKOFF_FIRST_MS 100u
#define DOCKER_BACKOFF_LAST_MS  5000u

/*
 * `conf` must have a docker.socket (free the provider once a later one has none). Loop, fetcher and owner
 * must outlive the provider. No reports before the loop turns.
 */
provider_t *provider_docker_new(loop_t *loop, fetcher_t *fetcher, const conf_t *conf,
                                const provider_handlers_t *handlers, void *owner);

/* Delay after the n-th failure in a row (from 1): between half of the time and all of it, by `random`. */
uint32_t docker_backoff_ms(unsigned failures, uint64_t random);

#endif
