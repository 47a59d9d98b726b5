/*
 * Detects peers that go while their connections are not read. A socket without read interest is not in epoll,
 * so its connection is in `paused`. Once a second, poll checks these, up to PAUSED_BATCH per call.
 * Connections that want to read, such as idle ones, are not in the list and cost nothing.
 */
#include <poll.h>

#include "conn_internal.h"

#include "list.h"

#define PAUSED_POLL_MS 1000
#define PAUSED_BATCH   256

static void on_paused_timer(loop_timer_t *timer);

void conn_hangup_update(conn_t *conn)
{
    bool watch =
        !conn->polled && !conn->connecting && !conn->reset_reported && conn->handlers->hangup != NULL;
    if (watch == list_is_linked(&conn->paused))
        return;
    if (!watch) {
        list_unlink(&conn->paused);
        return;
    }
    conn_shared_t *shared = conn->shared;
    list_insert(&shared->paused, &conn->paused);
    if (!loop_timer_running(&shared->timer))
        loop_timer_start(shared->loop, &shared->timer, PAUSED_POLL_MS, on_paused_timer);
}

/* RST as opposed to FIN. After SHUT_WR, POLLHUP means no more than the peer's FIN. */
static bool is_reset(const conn_t *conn, short revents)
{
    return (revents & (POLLERR | POLLNVAL)) != 0 || ((revents & POLLHUP) != 0 && !conn->shut);
}

void conn_hangup_notify(conn_t *conn, bool reset)
{
    bool reported = reset ? conn->reset_reported : conn->fin_reported;
    conn->fin_reported = 1;
    if (reset)
        conn->reset_reported = 1;
    conn_hangup_update(conn);
    if (reported || conn->handlers->hangup == NULL)
        return;
    conn_call_begin(conn);
    conn->handlers->hangup(conn->owner, reset);
    (void)conn_call_end(conn);
}

static short poll_events(const conn_t *conn)
{
    return conn->fin_reported ? 0 : POLLRDHUP;
}

/* Acts on the result of poll for a connection without read interest. */
static void judge(conn_t *conn, short revents)
{
    if (is_reset(conn, revents)) {
        conn_hangup_notify(conn, true);
    } else if ((revents & POLLHUP) != 0 && conn->fin_reported) {
        conn->reset_reported = 1; /* both sides closed in order: no further event can come */
        conn_hangup_update(conn);
    } else if ((revents & (POLLRDHUP | POLLHUP)) != 0) {
        conn_hangup_notify(conn, false);
    }
}

void conn_hangup_request(conn_t *conn)
{
    struct pollfd one = {.fd = conn->fd, .events = poll_events(conn)};
    if (poll(&one, 1, 0) == 1)
        judge(conn, one.revents);
}

/* Polls up to PAUSED_BATCH connections from the head of `left`, moves them to `paused`, and reports those
 * whose peer has gone. */
static void poll_batch(conn_shared_t *shared, list_t *left)
{
    struct pollfd fds[PAUSED_BATCH];
    nfds_t n = 0;
    for (list_t *at = left->next; at != left && n < PAUSED_BATCH; at = at->next, n++) {
        conn_t *conn = CONTAINER_OF(conn_t, paused, at);
        fds[n] = (struct pollfd){.fd = conn->fd, .events = poll_events(conn)};
    }
    if (poll(fds, n, 0) < 0)
        for (nfds_t i = 0; i < n; i++)
            fds[i].revents = 0;
    /* A handler may free any connection, so only the lists survive a call. Connections with events wait in
     * `gone`, in the order of `fds`. */
    list_t gone;
    list_init(&gone);
    for (nfds_t i = 0; i < n; i++) {
        conn_t *conn = CONTAINER_OF(conn_t, paused, left->next);
        list_unlink(&conn->paused);
        list_insert(fds[i].revents != 0 ? &gone : &shared->paused, &conn->paused);
    }
    while (!list_is_empty(&gone)) {
        conn_t *conn = CONTAINER_OF(conn_t, paused, gone.next);
        list_unlink(&conn->paused);
        list_insert(&shared->paused, &conn->paused);
        short revents = 0;
        for (nfds_t i = 0; i < n; i++)
            if (fds[i].fd == conn->fd)
                revents = fds[i].revents;
        judge(conn, revents);
    }
}

static void on_paused_timer(loop_timer_t *timer)
{
    conn_shared_t *shared = CONTAINER_OF(conn_shared_t, timer, timer);
    list_t left;
    list_init(&left);
    list_insert_all(&left, &shared->paused);
    while (!list_is_empty(&left))
        poll_batch(shared, &left);
    if (!list_is_empty(&shared->paused))
        loop_timer_start(shared->loop, timer, PAUSED_POLL_MS, on_paused_timer);
}
