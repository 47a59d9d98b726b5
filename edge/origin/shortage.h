/*
 * What a worker does when descriptors run out: idle connections to origins go first; the operator is told.
 */
#ifndef BOXEDGE_SHORTAGE_H
#define BOXEDGE_SHORTAGE_H

#include "conn.h"

typedef struct context context_t;

/* conn_connect. Where no descriptor is left, idle connections to origins are closed, and it is tried again.
 */
conn_t *shortage_connect(context_t *context, const struct sockaddr *address, socklen_t len,
                         const conn_handlers_t *handlers, void *owner);
/* No descriptor was left: counted, and said in the log once in 10 s. */
void shortage_note(context_t *context);

#endif
