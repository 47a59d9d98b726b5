/*
 * Boxes that are containers with labels, behind the Docker Engine API on a Unix socket (Docker, or podman's
 * `podman system service`). docs/operations.md says which labels there are.
 *
 * State follows the engine's events; after any gap in them everything is listed and inspected again. Where
 * the engine cannot be reached, nothing is told: boxes that ran are taken to run.
 */
#ifndef BOXEDGE_PROVIDER_DOCKER_H
#define BOXEDGE_PROVIDER_DOCKER_H

#include "fetch.h"
#include "provider.h"

/* The engine is asked again after so long, doubling; each wait is shortened or not by chance. */
#define DOCKER_BACKOFF_FIRST_MS 100u
#define DOCKER_BACKOFF_LAST_MS  5000u

/*
 * `conf` has a docker.socket (where a later one has none, the provider is to be freed). Loop, fetcher and
 * owner outlive the provider. Nothing is told before the loop turns.
 */
provider_t *provider_docker_new(loop_t *loop, fetcher_t *fetcher, const conf_t *conf,
                                const provider_handlers_t *handlers, void *owner);

/* How long to wait after the n-th failure in a row (from 1): between half of the time and all of it, by
 * `random`. */
uint32_t docker_backoff_ms(unsigned failures, uint64_t random);

#endif
