/*
 * The limits of a client as text: `RateLimit-Policy` and `RateLimit` (IETF httpapi, RateLimit
 * header fields) and the older `X-RateLimit-*`.
 */
#ifndef BOXEDGE_LIMIT_FIELDS_H
#define BOXEDGE_LIMIT_FIELDS_H

#include "limit.h"

#define LIMIT_FIELD_MAX 160

typedef struct limit_fields {
    char policy[LIMIT_FIELD_MAX]; /* "free";q=20;w=2: units in one burst, seconds until it is whole again */
    char limit[LIMIT_FIELD_MAX];  /* "free";r=19;t=1: units left, seconds until the burst is whole */
    char x_limit[24], x_remaining[24], x_reset[24]; /* q, r and t; the reset is in seconds from now */
} limit_fields_t;

/* `name` (1-63 letters, digits, '-', '.', '_') names the plan. Returns false and writes nothing if
 * the plan has no rate. */
MUST_USE bool limit_fields_write(limit_fields_t *out, str_t name, const limit_plan_t *plan,
                                 const limit_state_t *state);
/* Retry-After of a refused request: whole seconds, at least 1. */
uint32_t limit_retry_after(const limit_state_t *state);

#endif
