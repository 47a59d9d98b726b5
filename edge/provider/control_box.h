/*
 * A box as a control plane describes it: the JSON of its answers and of states that are pushed
 * (docs/control-plane.yaml, schema Box), read into what a provider tells.
 */
#ifndef BOXEDGE_CONTROL_BOX_H
#define BOXEDGE_CONTROL_BOX_H

#include "provider.h"
#include "str.h"

/* Bytes of such JSON, at most. */
#define CONTROL_BOX_BYTES_MAX 16384
/* Bytes of `incarnation`, at most. */
#define CONTROL_INCARNATION_MAX 128

typedef enum control_state {
    CONTROL_RUNNING,
    CONTROL_SLEEPING, /* "paused", "stopped" */
    CONTROL_CREATING,
    CONTROL_ERROR,
    CONTROL_GONE, /* "gone", "deleted" */
} control_state_t;

typedef struct control_box {
    provider_box_t box; /* but for `renewed`, which takes a memory; never has idle_ms or pid */
    control_state_t state;
    char incarnation[CONTROL_INCARNATION_MAX + 1]; /* empty: not told */
} control_box_t;

/*
 * Reads the box `id` from `json`. Fields that are not known are passed over. Returns NULL, or what is wrong
 * as the rest of a sentence ("\"port\" must be ..."), a literal; then *out holds nothing.
 */
MUST_USE const char *control_box_read(str_t json, str_t id, control_box_t *out);

#endif
