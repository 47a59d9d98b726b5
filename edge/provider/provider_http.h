/*
 * The provider for boxes of a control plane (docs/control-plane.md): GET reads a box, POST resumes it, and
 * batches report activity. The control plane pauses boxes on its own. No listing exists: states come from
 * questions when they matter, or from pushes to the admin API.
 */
#ifndef BOXEDGE_PROVIDER_HTTP_H
#define BOXEDGE_PROVIDER_HTTP_H

#include "control_box.h"
#include "fetch.h"
#include "loop.h"
#include "provider.h"

/* Time limit of a resume, and maximum tries of each of its calls. */
#define CONTROL_RESUME_MS 25000u
#define CONTROL_TRIES     3u
/* Minimum interval of activity reports, and maximum boxes in each. */
#define CONTROL_ACTIVITY_MS    1000u
#define CONTROL_ACTIVITY_BOXES 1000u
/* Maximum remembered boxes; beyond it the least recently used one without a question is dropped. */
#define CONTROL_BOXES_MAX 65536u

/* `conf` (valid until set_conf) must name a control plane. `fetcher` must outlive it. */
provider_t *provider_http_new(loop_t *loop, fetcher_t *fetcher, const conf_t *conf,
                              const provider_handlers_t *handlers, void *owner);

/* The control plane reports a box unasked. The push outweighs answers to earlier questions, and may end a
 * waiting resume. */
void provider_http_push(provider_t *provider, const control_box_t *box);

#endif
