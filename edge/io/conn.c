/*
 * See conn.h. The part common to plain and TLS connections: the socket and its wants, hangups, handler calls.
 * libh2o's socket only reports readiness (h2o_socket_dont_read); this code calls recv and send itself.
 *
 * Read interest is dropped late: each change costs an epoll_ctl, and most owners that stop want to read again
 * before anything arrives. A socket stays registered until an unwanted event. Then it leaves epoll, and
 * conn_hangup.c polls for its hangup.
 */
#include "conn.h"

#include <assert.h>
#include <errno.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "alloc.h"
#include "conn_internal.h"
#include "list.h"

#define IOV_MAX_SLICES 16

static void on_socket_readable(h2o_socket_t *sock, const char *err);
static void on_socket_writable(h2o_socket_t *sock, const char *err);

/* ---- state shared by a loop's connections ---- */

static void shared_free(void *arg)
{
    conn_shared_t *shared = arg;
    assert(list_is_empty(&shared->paused));
    loop_timer_stop(&shared->timer);
    conn_tls_shared_free(shared);
    free(shared);
}

static conn_shared_t *shared_of(loop_t *loop)
{
    conn_shared_t *shared = loop_shared(loop);
    if (shared == NULL) {
        shared = mem_alloc(sizeof(*shared));
        *shared = (conn_shared_t){.loop = loop};
        list_init(&shared->paused);
        loop_set_shared(loop, shared, shared_free);
    }
    return shared;
}

/* ---- handlers ---- */

void conn_call_begin(conn_t *conn)
{
    assert(!conn->calling && !conn->freed);
    conn->calling = 1;
}

bool conn_call_end(conn_t *conn)
{
    conn->calling = 0;
    if (!conn->freed)
        return true;
    free(conn);
    return false;
}

static void on_readable_task(loop_task_t *task);

static void call_readable(conn_t *conn)
{
    conn_call_begin(conn);
    conn->handlers->readable(conn->owner);
    if (!conn_call_end(conn))
        return;
    /* Decrypted bytes raise no event. The next turn, so that other connections run first. */
    if (conn->want_read && conn->end == CONN_OK && conn->tls != NULL && conn_tls_more(conn))
        loop_defer_next(conn->shared->loop, &conn->readable_task, on_readable_task);
}

static void on_readable_task(loop_task_t *task)
{
    conn_t *conn = CONTAINER_OF(conn_t, readable_task, task);
    if (conn->want_read)
        call_readable(conn);
}

/* ---- events of the socket ---- */

static void poll_reads(conn_t *conn, bool poll_them)
{
    if (poll_them == conn->polled)
        return;
    conn->polled = poll_them;
    if (poll_them)
        h2o_socket_read_start(conn->sock, on_socket_readable);
    else
        h2o_socket_read_stop(conn->sock);
    conn_hangup_update(conn);
}

static void on_socket_readable(h2o_socket_t *sock, const char *err)
{
    (void)err; /* libh2o does not read, so it reports no error */
    conn_t *conn = sock->data;
    conn->drained = 0;
    if (conn->want_read && conn->end == CONN_OK) {
        loop_undefer(&conn->readable_task);
        call_readable(conn);
        return;
    }
    poll_reads(conn, false);
    conn_hangup_request(conn);
}

void conn_arm_write(conn_t *conn)
{
    if (conn->armed)
        return;
    conn->armed = 1;
    h2o_socket_notify_write(conn->sock, on_socket_writable);
}

static void shutdown_when_flushed(conn_t *conn)
{
    if (!conn->shut_requested || conn->shut || !conn_flushed(conn))
        return;
    conn->shut = 1;
    (void)shutdown(conn->fd, SHUT_WR); /* ENOTCONN: the peer closed first */
}

/* A write failed while the owner does not want to write: report it through the other handlers. */
static void report_broken(conn_t *conn)
{
    if (conn->want_read)
        call_readable(conn);
    else
        conn_hangup_notify(conn, true);
}

static void on_socket_writable(h2o_socket_t *sock, const char *err)
{
    (void)err;
    conn_t *conn = sock->data;
    conn->armed = 0;
    if (conn->tls != NULL && conn_tls_pending(conn) && conn_tls_flush(conn) == CONN_AGAIN)
        return; /* armed again */
    if (!conn->broken)
        shutdown_when_flushed(conn);
    if (conn->want_read && conn->tls != NULL && conn_tls_more(conn)) /* the read had lacked room */
        loop_defer(conn->shared->loop, &conn->readable_task, on_readable_task);
    if (!conn->want_write) {
        if (conn->broken)
            report_broken(conn);
        return;
    }
    conn_call_begin(conn);
    conn->handlers->writable(conn->owner);
    if (conn_call_end(conn) && conn->want_write)
        conn_arm_write(conn);
}

/* ---- life ---- */

conn_t *conn_new(loop_t *loop, int fd, SSL *ssl, const conn_handlers_t *handlers, void *owner)
{
    assert(fd >= 0 && handlers != NULL && handlers->readable != NULL && handlers->writable != NULL);
    conn_t *conn = mem_alloc(sizeof(*conn));
    *conn = (conn_t){.shared = shared_of(loop), .handlers = handlers, .owner = owner, .fd = fd};
    conn->sock = h2o_evloop_socket_create(loop_evloop(loop), fd, 0);
    conn->sock->data = conn;
    h2o_socket_dont_read(conn->sock, 1);
    if (ssl != NULL)
        conn_tls_attach(conn, ssl);
    conn_hangup_update(conn);
    return conn;
}

void conn_set_owner(conn_t *conn, const conn_handlers_t *handlers, void *owner)
{
    assert(handlers != NULL && handlers->readable != NULL && handlers->writable != NULL);
    conn_want_read(conn, false);
    conn_want_write(conn, false);
    conn->handlers = handlers;
    conn->owner = owner;
    /* Hangups are reported anew to this owner. conn_read reports an end that was read. */
    conn->fin_reported = conn->end != CONN_OK;
    conn->reset_reported = 0;
    conn_hangup_update(conn);
}

void conn_set_account(conn_t *conn, account_t *account, size_t state_bytes)
{
    if (conn->tls != NULL)
        conn_tls_set_account(conn, account, state_bytes);
}

void conn_start_tls(conn_t *conn, SSL *ssl)
{
    assert(conn->tls == NULL && conn->end == CONN_OK && !conn->broken && !conn->shut_requested);
    conn_tls_attach(conn, ssl);
}

conn_t *conn_connect(loop_t *loop, const struct sockaddr *address, socklen_t len,
                     const conn_handlers_t *handlers, void *owner)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return NULL;
    int on = 1;
    if (address->sa_family != AF_UNIX)
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (connect(fd, address, len) != 0 && errno != EINPROGRESS) {
        int reason = errno;
        close(fd);
        errno = reason;
        return NULL;
    }
    conn_t *conn = conn_new(loop, fd, NULL, handlers, owner);
    conn->connecting = 1;
    conn_hangup_update(conn);
    return conn;
}

int conn_connect_error(conn_t *conn)
{
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(conn->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    conn->connecting = 0;
    conn_hangup_update(conn);
    return error;
}

void conn_free(conn_t **conn)
{
    conn_t *c = *conn;
    *conn = NULL;
    if (c == NULL)
        return;
    assert(!c->freed);
    loop_undefer(&c->readable_task);
    if (list_is_linked(&c->paused))
        list_unlink(&c->paused);
    if (c->tls != NULL)
        conn_tls_detach(c);
    h2o_socket_close(c->sock);
    c->sock = NULL;
    c->freed = 1;
    if (!c->calling)
        free(c);
}

void conn_abort(conn_t **conn)
{
    if (*conn == NULL)
        return;
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt((*conn)->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    conn_free(conn);
}

void conn_give_up(conn_t **conn)
{
    (conn_untaken(*conn) < CONN_LITTLE_BYTES ? conn_free : conn_abort)(conn);
}

/* ---- wants ---- */

void conn_want_read(conn_t *conn, bool want)
{
    if (want == conn->want_read)
        return;
    conn->want_read = want;
    if (!want) {
        loop_undefer(&conn->readable_task);
        return;
    }
    if (conn->end == CONN_OK)
        poll_reads(conn, true);
    /* Buffered data and a recorded EOF raise no epoll event; schedule one callback. */
    if (conn->end != CONN_OK || conn->broken || (conn->tls != NULL && conn_tls_more(conn)))
        loop_defer(conn->shared->loop, &conn->readable_task, on_readable_task);
}

void conn_want_write(conn_t *conn, bool want)
{
    /* A pending notification cannot be cancelled; its callback is ignored. */
    conn->want_write = want;
    if (want)
        conn_arm_write(conn);
}

bool conn_wants_read(const conn_t *conn)
{
    return conn->want_read;
}

/* ---- bytes ---- */

conn_result_t conn_handshake(conn_t *conn)
{
    return conn->tls != NULL ? conn_tls_handshake(conn) : CONN_OK;
}

static conn_result_t plain_read(conn_t *conn, char *buf, size_t cap, size_t *got)
{
    if (conn->drained && conn->polled)
        return CONN_AGAIN;
    ssize_t n;
    do
        n = recv(conn->fd, buf, cap, 0);
    while (n < 0 && errno == EINTR);
    conn->drained = n < 0 || (size_t)n < cap;
    if (n < 0)
        return errno == EAGAIN ? CONN_AGAIN : CONN_FAILED;
    *got = (size_t)n;
    return n > 0 ? CONN_OK : CONN_EOF;
}

conn_result_t conn_read(conn_t *conn, char *buf, size_t cap, size_t *got)
{
    assert(cap > 0);
    *got = 0;
    if (conn->end != CONN_OK)
        return (conn_result_t)conn->end;
    if (cap > CONN_TURN_BYTES)
        cap = CONN_TURN_BYTES;
    conn_result_t result;
    /* After a failed write, bytes of a plain peer remain readable: it may have answered before it closed. */
    if (conn->broken && conn->tls != NULL)
        result = CONN_FAILED;
    else if (conn->tls != NULL)
        result = conn_tls_read(conn, buf, cap, got);
    else
        result = plain_read(conn, buf, cap, got);
    if (conn->broken && result == CONN_EOF)
        result = CONN_FAILED; /* not an orderly end: the write consumed the reset */
    if (result != CONN_OK && result != CONN_AGAIN) {
        /* An end stays readable forever. Without this, epoll would report it in every turn. */
        conn->end = result & 7;
        conn->fin_reported = 1;
        poll_reads(conn, false);
    }
    return result;
}

/* Copies slices up to the byte limit of one call. Returns their number. */
static int clip(const struct iovec *iov, int iovcnt, struct iovec out[IOV_MAX_SLICES], size_t *total)
{
    int n = 0;
    *total = 0;
    for (int i = 0; i < iovcnt && *total < CONN_TURN_BYTES; i++) {
        size_t room = CONN_TURN_BYTES - *total;
        size_t take = iov[i].iov_len < room ? iov[i].iov_len : room;
        out[n++] = (struct iovec){.iov_base = iov[i].iov_base, .iov_len = take};
        *total += take;
    }
    return n;
}

static conn_result_t plain_write(conn_t *conn, const struct iovec *iov, int iovcnt, size_t *written)
{
    ssize_t n;
    do {
        if (iovcnt == 1) {
            n = send(conn->fd, iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL);
        } else {
            struct msghdr msg = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)iovcnt};
            n = sendmsg(conn->fd, &msg, MSG_NOSIGNAL);
        }
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n < 0 && errno == EAGAIN ? CONN_AGAIN : CONN_FAILED;
    *written = (size_t)n;
    return CONN_OK;
}

conn_result_t conn_write(conn_t *conn, const struct iovec *iov, int iovcnt, size_t *written)
{
    assert(iovcnt > 0 && iovcnt <= IOV_MAX_SLICES);
    *written = 0;
    if (conn->broken || conn->shut_requested)
        return CONN_FAILED;
    struct iovec slices[IOV_MAX_SLICES];
    size_t total;
    int n = clip(iov, iovcnt, slices, &total);
    assert(total > 0);
    conn_result_t result =
        conn->tls != NULL ? conn_tls_write(conn, slices, n, written) : plain_write(conn, slices, n, written);
    if (result == CONN_FAILED)
        conn->broken = 1;
    return result;
}

bool conn_flushed(const conn_t *conn)
{
    return conn->tls == NULL || !conn_tls_pending(conn);
}

void conn_shutdown_write(conn_t *conn)
{
    if (conn->shut_requested)
        return;
    conn->shut_requested = 1;
    if (conn->tls != NULL && !conn->broken)
        conn_tls_close_notify(conn);
    shutdown_when_flushed(conn);
}

void conn_cut_write(conn_t *conn)
{
    if (conn->shut_requested)
        return;
    conn->shut_requested = 1;
    shutdown_when_flushed(conn);
}

bool conn_is_dead(const conn_t *conn)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    return conn->broken || getsockopt(conn->fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0 ||
           info.tcpi_state == TCP_CLOSE;
}

size_t conn_unread(const conn_t *conn)
{
    int n = 0;
    size_t inside = conn->tls != NULL ? conn_tls_inside(conn) : 0;
    return ioctl(conn->fd, FIONREAD, &n) == 0 && n > 0 ? inside + (size_t)n : inside;
}

size_t conn_untaken(const conn_t *conn)
{
    int queued = 0;
    (void)ioctl(conn->fd, SIOCOUTQ, &queued);
    return (size_t)queued + (conn->tls != NULL ? conn_tls_waiting(conn) : 0);
}

size_t conn_kernel_bytes(const conn_t *conn)
{
    uint32_t info[SK_MEMINFO_VARS] = {0}; /* the kernel fills the variables that it knows */
    socklen_t len = sizeof(info);
    if (getsockopt(conn->fd, SOL_SOCKET, SO_MEMINFO, info, &len) == 0)
        return (size_t)info[SK_MEMINFO_RMEM_ALLOC] + info[SK_MEMINFO_WMEM_QUEUED];
    int unread = 0, untaken = 0; /* before Linux 4.12 */
    (void)ioctl(conn->fd, SIOCINQ, &unread);
    (void)ioctl(conn->fd, SIOCOUTQ, &untaken);
    return (size_t)unread + (size_t)untaken;
}

bool conn_stalled(const conn_t *conn, conn_stall_t *stall)
{
    size_t unsent = conn_untaken(conn);
    if (stall->looks == 0 || unsent != stall->unsent)
        *stall = (conn_stall_t){.unsent = unsent};
    return stall->looks++ == CONN_STALL_LOOKS;
}

/* By the handshake's round trip. A peer at an unknown distance is far. */
static bool is_near(int fd)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_rtt != 0 &&
           info.tcpi_rtt < CONN_FAR_US;
}

void conn_bound_queues(int fd, int unread)
{
    int unsent = CONN_UNSENT_BYTES, half = unread / 2; /* the kernel doubles it (socket(7)) */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
    if (is_near(fd))
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &half, sizeof(half));
}

void conn_probe_peer(int fd)
{
    int on = 1, idle = 60, interval = 15, probes = 4;
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof(probes));
}

int conn_fd(const conn_t *conn)
{
    return conn->fd;
}

SSL *conn_ssl(const conn_t *conn)
{
    return conn->tls != NULL ? conn_tls_ssl(conn) : NULL;
}

bool conn_is_silent(conn_t *conn)
{
    if (conn->end != CONN_OK || conn->broken || (conn->tls != NULL && conn_tls_holds(conn)))
        return false;
    char byte;
    ssize_t n = recv(conn->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n < 0 && errno == EAGAIN;
}
