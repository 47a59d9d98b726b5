#include "shortage.h"

#include <errno.h>

#include "context.h"
#include "descriptors.h"
#include "origin_pool.h"
#include "process_log.h"

#define LOG_AGAIN_MS 10000
/* Idle connections closed for a new one: several, because the next shortage is near. */
#define CLOSED_AT_ONCE 16

void shortage_note(context_t *context)
{
    uint64_t now = loop_now(context->loop);
    char name[24];
    counter_add(&context->counters->descriptor_shortages_total, 1);
    if (context->shortage_logged_ms != 0 && now - context->shortage_logged_ms < LOG_AGAIN_MS)
        return;
    context->shortage_logged_ms = now;
    (void)snprintf(name, sizeof(name), "worker %u", context->index);
    process_log(LOG_DESCRIPTORS_OUT, name,
                "no descriptor is left of %zu, with %llu clients: raise the limit (LimitNOFILE) or lower "
                "limits.connections",
                descriptors_limit(), (unsigned long long)context->client_count);
}

conn_t *shortage_connect(context_t *context, const struct sockaddr *address, socklen_t len,
                         const conn_handlers_t *handlers, void *owner)
{
    conn_t *conn = conn_connect(context->loop, address, len, handlers, owner);
    int error = errno;
    if (conn != NULL || !descriptors_ran_out(error))
        return conn;
    shortage_note(context);
    if (origin_pool_shed(context->origins, loop_now(context->loop), CLOSED_AT_ONCE) != 0)
        return conn_connect(context->loop, address, len, handlers, owner);
    errno = error;
    return NULL;
}
