/*
 * See acceptor.h. accept4 makes connections non-blocking and close-on-exec in one call. TCP_NODELAY comes
 * from the listening socket.
 */
#include "acceptor.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "alloc.h"
#include "budget.h"
#include "client.h"
#include "context.h"
#include "crowd.h"
#include "descriptors.h"
#include "fault.h"
#include "greeting.h"
#include "list.h"
#include "pipeline.h"
#include "readable.h"
#include "shortage.h"

/* Maximum accepts from a socket before it closes: the length of the kernel's queue. */
#define QUEUE_MAX 4096
/* After a failed accept, a worker counts as full for this time: several pauses. */
#define FAILED_MS (5 * ACCEPTOR_PAUSE_MS)

struct acceptor {
    context_t *context;
    readable_t *queue;
    int fd;         /* owned by `queue` */
    int reserve_fd; /* freed for a moment when descriptors run out; -1: none */
    conf_listener_kind_t kind;
    bool proxy_protocol, tls_terminated;
    uint16_t port;
    uint8_t cell; /* measures_t.listeners */
    char text[64];
    loop_timer_t pause;
    uint64_t none_idle_ms; /* last time that memory was short and no connection was idle */
};

/* The result of one accept. */
typedef enum accept_result { ACCEPT_ONE, ACCEPT_EMPTY, ACCEPT_STOP } accept_result_t;

/* The steps for exchanges of a kind of listener. */
static const exchange_step_t *steps_of(const pipeline_t *pipeline, conf_listener_kind_t kind)
{
    switch (kind) {
    case CONF_LISTENER_TLS:
    case CONF_LISTENER_PLAIN:
        return pipeline->preview;
    case CONF_LISTENER_REDIRECT:
        return pipeline->redirect;
    case CONF_LISTENER_HEALTH:
        return pipeline->health;
    case CONF_LISTENER_METRICS:
        break; /* the controller's */
    }
    assert(!"no kind of a worker's listener");
    return NULL;
}

static void nothing(void *owner)
{
    (void)owner;
}

static void take(acceptor_t *acceptor, int fd, const struct sockaddr_storage *from)
{
    context_t *context = acceptor->context;
    client_t client = {.context = context,
                       .kind = acceptor->kind,
                       .steps = steps_of(acceptor->context->pipeline, acceptor->kind),
                       .tls_terminated = acceptor->tls_terminated,
                       .local_port = acceptor->port,
                       .listener = acceptor->cell};
    /* Until the codec has the connection. */
    static const conn_handlers_t no_handlers = {nothing, nothing, NULL};

    counter_add(&context->counters->connections_total, 1);
    counter_add(&context->counters->measures.listeners[acceptor->cell].counts[MEASURE_LISTENER_CONNECTIONS],
                1);
    bool taken = address_take((const struct sockaddr *)from, &client.address, &client.port);
    assert(taken);
    /* Before a PROXY protocol header, the client, and so its limit, is unknown. */
    if (!client_count(&client, !acceptor->proxy_protocol)) {
        counter_add(&context->counters->connections_refused_total, 1);
        fault_report_connection(&client, &context->connection_faults, "a connection", "is refused",
                                &(fault_t){.reason = CLIENT_HAS_MANY}, "");
        close(fd);
    } else if (acceptor->kind == CONF_LISTENER_TLS || acceptor->proxy_protocol) {
        greeting_new(&client, fd, acceptor->proxy_protocol);
    } else {
        client.conn = conn_new(context->loop, fd, NULL, &no_handlers, NULL);
        greeting_finish(&client, false);
    }
}

static void on_pause_over(loop_timer_t *timer)
{
    acceptor_t *acceptor = CONTAINER_OF(acceptor_t, pause, timer);
    readable_start(acceptor->queue);
}

static void pause_accepting(acceptor_t *acceptor)
{
    acceptor->context->accept_failed_ms = loop_now(acceptor->context->loop);
    readable_stop(acceptor->queue);
    loop_timer_start(acceptor->context->loop, &acceptor->pause, ACCEPTOR_PAUSE_MS, on_pause_over);
}

/* Any descriptor will do; this kind needs no file. */
static void open_reserve(acceptor_t *acceptor)
{
    if (acceptor->reserve_fd < 0)
        acceptor->reserve_fd = eventfd(0, EFD_CLOEXEC);
}

/* No descriptor is left: accepts one connection with the reserve and closes it to inform its client. */
static void refuse_one(acceptor_t *acceptor)
{
    shortage_note(acceptor->context);
    if (acceptor->reserve_fd < 0)
        return;
    close(acceptor->reserve_fd);
    acceptor->reserve_fd = -1;
    int fd = accept4(acceptor->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        counter_add(&acceptor->context->counters->connections_refused_total, 1);
        close(fd);
    }
    open_reserve(acceptor);
}

/* `usable_descriptors` is 0 if nothing has set it (tests). */
static bool is_full(const context_t *context)
{
    uint32_t most = context->conf->limits.connections;
    if (context->usable_descriptors != 0)
        most = descriptors_for_clients(context->usable_descriptors, most);
    return context->client_count >= most;
}

bool acceptor_is_full(const context_t *context)
{
    uint64_t now = loop_now(context->loop), failed = context->accept_failed_ms;
    return is_full(context) || (failed != 0 && now - failed < FAILED_MS);
}

static bool one_waits(const acceptor_t *acceptor)
{
    struct pollfd queue = {.fd = acceptor->fd, .events = POLLIN};
    return poll(&queue, 1, 0) == 1;
}

/* Closes idle connections if a new one waits. */
static bool make_room(const acceptor_t *acceptor)
{
    return one_waits(acceptor) && crowd_make_room(acceptor->context, CROWD_SLOTS);
}

/* The same for the memory of a new TLS connection, which is accepted in any case. */
static void make_memory(acceptor_t *acceptor)
{
    context_t *context = acceptor->context;
    uint64_t now = loop_now(context->loop);
    if (acceptor->kind != CONF_LISTENER_TLS || !budget_is_crowded(context) ||
        now < acceptor->none_idle_ms + ACCEPTOR_PAUSE_MS || !one_waits(acceptor))
        return;
    if (!crowd_make_room(context, CROWD_MEMORY))
        acceptor->none_idle_ms = now;
}

static accept_result_t accept_one(acceptor_t *acceptor)
{
    struct sockaddr_storage from;
    socklen_t len = sizeof(from);

    if (is_full(acceptor->context) && !make_room(acceptor))
        return ACCEPT_STOP;
    make_memory(acceptor);
    int fd = accept4(acceptor->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        take(acceptor, fd, &from);
        return ACCEPT_ONE;
    }
    switch (errno) {
    case EAGAIN:
        return ACCEPT_EMPTY;
    case EMFILE:
    case ENFILE:
        refuse_one(acceptor);
        return ACCEPT_STOP;
    case ECONNABORTED:
    case EINTR:
    case EPERM:
    case EPROTO:
    case ENETDOWN:
    case ENETUNREACH:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case ENONET:
    case ENOPROTOOPT:
    case EOPNOTSUPP:
        return ACCEPT_ONE; /* an error of this connection only (accept(2)) */
    default:
        return ACCEPT_STOP; /* ENOBUFS, ENOMEM or unexpected: do not spin */
    }
}

static void on_acceptable(void *owner)
{
    acceptor_t *acceptor = owner;
    accept_result_t result = ACCEPT_ONE;

    for (int i = 0; i < ACCEPTOR_BATCH && result == ACCEPT_ONE; i++)
        result = accept_one(acceptor);
    if (result == ACCEPT_STOP)
        pause_accepting(acceptor);
    else
        open_reserve(acceptor);
}

acceptor_t *acceptor_new(context_t *context, int fd, const conf_listener_t *listener)
{
    struct in6_addr ignored;
    acceptor_t *acceptor = mem_alloc(sizeof(*acceptor));
    *acceptor = (acceptor_t){.context = context,
                             .fd = fd,
                             .reserve_fd = -1,
                             .kind = listener->kind,
                             .proxy_protocol = listener->proxy_protocol,
                             .tls_terminated = listener->tls_terminated};
    bool taken = address_take((const struct sockaddr *)&listener->address.sa, &ignored, &acceptor->port);
    assert(taken);
    snprintf(acceptor->text, sizeof(acceptor->text), "%s", listener->text);
    unsigned cell = measure_find(context->counters->measures.listeners, MEASURE_LISTENERS, listener->id);
    acceptor->cell = cell < MEASURE_LISTENERS ? (uint8_t)cell : 0;
    open_reserve(acceptor);
    acceptor->queue = readable_new(context->loop, fd, on_acceptable, acceptor);
    readable_start(acceptor->queue);
    return acceptor;
}

bool acceptor_serves(const acceptor_t *acceptor, const conf_listener_t *listener)
{
    return acceptor->kind == listener->kind && acceptor->proxy_protocol == listener->proxy_protocol &&
           acceptor->tls_terminated == listener->tls_terminated &&
           strcmp(acceptor->text, listener->text) == 0;
}

void acceptor_empty_queue(acceptor_t *acceptor)
{
    accept_result_t result = ACCEPT_ONE;
    for (int i = 0; i < QUEUE_MAX && result == ACCEPT_ONE; i++)
        result = accept_one(acceptor);
}

void acceptor_free(acceptor_t **acceptor)
{
    if (*acceptor == NULL)
        return;
    loop_timer_stop(&(*acceptor)->pause);
    readable_free(&(*acceptor)->queue);
    if ((*acceptor)->reserve_fd >= 0)
        close((*acceptor)->reserve_fd);
    free(*acceptor);
    *acceptor = NULL;
}
