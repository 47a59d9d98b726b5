#include "probe.h"

#include <stdlib.h>

#include "address.h"
#include "alloc.h"
#include "conn.h"
#include "list.h"

/* A box that neither accepts nor refuses within this time is tried again. */
#define CONNECT_MS 1000

struct probe {
    loop_t *loop;
    struct sockaddr_storage address;
    socklen_t address_len;
    void (*listening)(void *owner);
    void *owner;
    conn_t *conn; /* NULL: waiting for the timer */
    loop_timer_t timer;
    uint64_t began_ms;
};

uint32_t probe_wait_ms(uint64_t waited_ms)
{
    uint32_t wait = 1;
    while (wait < PROBE_WAIT_MOST_MS && wait * 2 <= waited_ms / 8)
        wait *= 2;
    return wait < PROBE_WAIT_MOST_MS ? wait : PROBE_WAIT_MOST_MS;
}

static void try_connect(probe_t *probe);

static void on_wait_over(loop_timer_t *timer)
{
    try_connect(CONTAINER_OF(probe_t, timer, timer));
}

static void wait(probe_t *probe)
{
    if (probe->conn != NULL)
        conn_free(&probe->conn);
    uint64_t waited = loop_now(probe->loop) - probe->began_ms;
    loop_timer_start(probe->loop, &probe->timer, probe_wait_ms(waited), on_wait_over);
}

static void on_connect_timeout(loop_timer_t *timer)
{
    wait(CONTAINER_OF(probe_t, timer, timer));
}

static void on_writable(void *owner)
{
    probe_t *probe = owner;
    if (conn_connect_error(probe->conn) != 0) {
        wait(probe);
        return;
    }
    loop_timer_stop(&probe->timer);
    conn_free(&probe->conn);
    probe->listening(probe->owner);
}

static void on_nothing(void *owner)
{
    (void)owner; /* reads are never wanted */
}

static const conn_handlers_t handlers = {.readable = on_nothing, .writable = on_writable};

static void try_connect(probe_t *probe)
{
    probe->conn =
        conn_connect(probe->loop, (struct sockaddr *)&probe->address, probe->address_len, &handlers, probe);
    if (probe->conn == NULL) {
        wait(probe);
        return;
    }
    conn_want_write(probe->conn, true);
    loop_timer_start(probe->loop, &probe->timer, CONNECT_MS, on_connect_timeout);
}

probe_t *probe_start(loop_t *loop, const struct in6_addr *address, uint16_t port,
                     void (*listening)(void *owner), void *owner)
{
    probe_t *probe = mem_alloc(sizeof(*probe));
    *probe = (probe_t){.loop = loop, .listening = listening, .owner = owner, .began_ms = loop_now(loop)};
    probe->address_len = address_make(address, port, &probe->address);
    try_connect(probe);
    return probe;
}

void probe_stop(probe_t **probe)
{
    if (*probe == NULL)
        return;
    loop_timer_stop(&(*probe)->timer);
    if ((*probe)->conn != NULL)
        conn_free(&(*probe)->conn);
    free(*probe);
    *probe = NULL;
}
