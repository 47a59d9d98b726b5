/*
 * A box as a control plane describes it, in answers and in pushed states (docs/control-plane.yaml, schema
 * Box): reads its JSON into a provider's report.
 */
#ifndef BOXEDGE_CONTROL_BOX_H
#define BOXEDGE_CONTROL_BOX_H

#include "provider.h"
#include "str.h"

/* Maximum bytes of this JSON. */
#define CONTROL_BOX_BYTES_MAX 16384
/* Maximum bytes of `incarnation`. */
#define CONTROL_INCARNATION_MAX 128

typedef enum control_state {
    CONTROL_RUNNING,
    CONTROL_SLEEPING, /* "paused", "stopped" */
    CONTROL_CREATING,
    CONTROL_ERROR,
    CONTROL_GONE, /* "gone", "deleted" */
} control_state_t;

typedef struct control_box {
    provider_box_t box; /* without `renewed`, which depends on earlier reports, and without idle_ms and pid */
    control_state_t state;
    char incarnation[CONTROL_INCARNATION_MAX + 1]; /* empty: none */
} control_box_t;

/*
 * Reads the box `id` from `json`; ignores unknown fields. Returns NULL, or an error as the rest of a sentence
 * ("\"port\" must be ..."), a literal, with *out empty.
 */
MUST_USE const char *control_box_read(str_t json, str_t id, control_box_t *out);

#endif
