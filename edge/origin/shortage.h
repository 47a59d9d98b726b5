/*
 * A worker's response to a lack of descriptors: it closes idle connections to origins and warns the operator.
 */
#ifndef BOXEDGE_SHORTAGE_H
#define BOXEDGE_SHORTAGE_H

#include "conn.h"

typedef struct context context_t;

/* conn_connect. If no descriptor is free, closes idle connections to origins and tries once more. */
conn_t *shortage_connect(context_t *context, const struct sockaddr *address, socklen_t len,
                         const conn_handlers_t *handlers, void *owner);
/* Counts a lack of descriptors, and logs it at most once in 10 s. */
void shortage_note(context_t *context);

#endif
