/*
 * What a worker does when descriptors run out: idle connections to origins go first; the operator is told.
 */
#ifndef BOXEDGE_SHORTAGE_H
#define BOXEDGE_SHORTAGE_H

#include "conn.h"

typedef struct worker worker_t;

/* conn_connect. Where no descriptor is left, idle connections to origins are closed, and it is tried again.
 */
conn_t *shortage_connect(worker_t *worker, const struct sockaddr *address, socklen_t len,
                         const conn_handlers_t *handlers, void *owner);
/* No descriptor was left: counted, and said in the log once in 10 s. */
void shortage_note(worker_t *worker);

#endif
