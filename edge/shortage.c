#include "shortage.h"

#include <errno.h>

#include "descriptors.h"
#include "origin_pool.h"
#include "process_log.h"
#include "worker.h"

#define SAY_MS 10000
/* Idle connections that are closed for a new one: several, as the next shortage is near. */
#define CLOSED_AT_ONCE 16

void shortage_note(worker_t *worker)
{
    uint64_t now = loop_now(worker->loop);
    char name[24];
    counter_add(&worker->counters->descriptor_shortages_total, 1);
    if (worker->shortage_said_ms != 0 && now - worker->shortage_said_ms < SAY_MS)
        return;
    worker->shortage_said_ms = now;
    (void)snprintf(name, sizeof(name), "worker %u", worker->index);
    process_log(name,
                "no descriptor is left of %zu, with %llu clients: raise the limit (LimitNOFILE) or lower "
                "limits.connections",
                descriptors_limit(), (unsigned long long)worker->client_count);
}

conn_t *shortage_connect(worker_t *worker, const struct sockaddr *address, socklen_t len,
                         const conn_handlers_t *handlers, void *owner)
{
    conn_t *conn = conn_connect(worker->loop, address, len, handlers, owner);
    int error = errno;
    if (conn != NULL || !descriptors_ran_out(error))
        return conn;
    shortage_note(worker);
    if (origin_pool_shed(worker->origins, loop_now(worker->loop), CLOSED_AT_ONCE) != 0)
        return conn_connect(worker->loop, address, len, handlers, owner);
    errno = error;
    return NULL;
}
