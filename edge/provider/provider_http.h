/*
 * The provider for boxes of a control plane (docs/control-plane.md): asked about a box by GET, asked to
 * resume it by POST, told of activity in batches; it pauses boxes on its own. There is no listing: what it
 * knows is asked for when it matters, or pushed to the admin API.
 */
#ifndef BOXEDGE_PROVIDER_HTTP_H
#define BOXEDGE_PROVIDER_HTTP_H

#include "control_box.h"
#include "fetch.h"
#include "loop.h"
#include "provider.h"

/* How long a resume may take in all, and how often each of its calls is tried. */
#define CONTROL_RESUME_MS 25000u
#define CONTROL_TRIES     3u
/* Reports of activity are this far apart at least, and each has so many boxes at most. */
#define CONTROL_ACTIVITY_MS    1000u
#define CONTROL_ACTIVITY_BOXES 1000u
/* Boxes that it remembers something of; of others the one that was longest without a word is forgotten. */
#define CONTROL_BOXES_MAX 65536u

/* `conf` (valid until set_conf) names a control plane. `fetcher` outlives it. */
provider_t *provider_http_new(loop_t *loop, fetcher_t *fetcher, const conf_t *conf,
                              const provider_handlers_t *handlers, void *owner);

/* The control plane says so unasked. It outweighs answers to what was asked before, and a resume that waits
 * for it ends. */
void provider_http_push(provider_t *provider, const control_box_t *box);

#endif
