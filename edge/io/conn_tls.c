/*
 * TLS under a connection: an SSL whose BIO works on the descriptor. Reading: one recv fills OpenSSL's
 * read-ahead buffer; a short recv means that the kernel has no more. Writing: the loop's stage collects the
 * output of one OpenSSL call (records, alerts, answers to key updates), which is sent immediately. The
 * connection keeps the part that the kernel refuses.
 *
 * Bounds: kept ciphertext is at most STAGE_BYTES (a full BIO stops reading). One call takes at most
 * READ_BUDGET from the kernel. A peer that sends UNPRODUCTIVE_BYTES without a byte for the owner (key
 * updates, empty records, warnings) is cut.
 */
#include <assert.h>
#include <errno.h>

#include <openssl/err.h>

#include "conn_internal.h"

#include "alloc.h"
#include "list.h"

#define RECORD_BYTES       SSL3_RT_MAX_PLAIN_LENGTH
#define STAGE_BYTES        (CONN_TURN_BYTES + 8192)
#define READ_BUDGET        (CONN_TURN_BYTES + 16384)
#define UNPRODUCTIVE_BYTES 65536
/* OpenSSL's buffer while it holds a partial record: one record with encryption overhead. */
#define RECORD_BUFFER_BYTES (SSL3_RT_MAX_PACKET_SIZE + 1024)

/* Ciphertext that the kernel has not taken yet: `len` bytes, 1 or more, from `off` on. */
typedef struct outgoing {
    conn_t *conn;
    loop_task_t uncork; /* sends a corked ticket at the end of the turn */
    uint32_t off;
    uint32_t len;
    bool corked; /* a session ticket that leaves with the owner's first bytes */
    char data[];
} outgoing_t;

/* As small as possible, because many connections are idle. Rare parts are in outgoing_t. */
struct conn_tls {
    SSL *ssl;
    outgoing_t *out;       /* NULL: no bytes are pending */
    account_t *account;    /* NULL: not counted */
    uint32_t state_bytes;  /* part of `counted` until the connection ends */
    uint32_t counted;      /* total in `account` */
    uint32_t unproductive; /* ciphertext bytes since the owner's last byte */
    uint32_t inside;       /* upper bound of bytes taken from the kernel that the owner has not read */
    char first;            /* the first byte from the peer */
    bool established;      /* handshake done; OpenSSL's own state reverts during a key update */
    bool eof;              /* FIN arrived */
    bool more;             /* another read may yield bytes although the kernel has none */
    bool wants_room;       /* no room to answer the peer: read again once `out` is empty */
};
_Static_assert(sizeof(void *) != 8 || sizeof(conn_tls_t) <= 48, "a size class of jemalloc");

static uint32_t out_len(const conn_tls_t *tls)
{
    return tls->out != NULL ? tls->out->len : 0;
}

static bool is_corked(const conn_tls_t *tls)
{
    return tls->out != NULL && tls->out->corked;
}

SSL *conn_tls_ssl(const conn_t *conn)
{
    return conn->tls->ssl;
}

size_t conn_tls_waiting(const conn_t *conn)
{
    return out_len(conn->tls);
}

bool conn_tls_pending(const conn_t *conn)
{
    return conn->tls->out != NULL && !conn->tls->out->corked;
}

bool conn_tls_more(const conn_t *conn)
{
    const conn_tls_t *tls = conn->tls;
    return tls->more || (tls->wants_room && tls->out == NULL);
}

size_t conn_tls_inside(const conn_t *conn)
{
    return SSL_has_pending(conn->tls->ssl) != 0 ? conn->tls->inside : 0;
}

bool conn_tls_holds(const conn_t *conn)
{
    return conn->tls->more || SSL_has_pending(conn->tls->ssl) != 0;
}

static void count(conn_tls_t *tls)
{
    if (tls->account == NULL)
        return;
    size_t pending = tls->out != NULL ? sizeof(outgoing_t) + tls->out->off + tls->out->len : 0;
    size_t now = tls->state_bytes + pending + (tls->inside != 0 ? RECORD_BUFFER_BYTES : 0);
    account_move(tls->account, tls->counted, now);
    tls->counted = (uint32_t)now;
}

void conn_tls_set_account(conn_t *conn, account_t *account, size_t state_bytes)
{
    if (conn->tls->account != NULL)
        account_sub(conn->tls->account, conn->tls->counted);
    conn->tls->counted = 0;
    conn->tls->account = account;
    conn->tls->state_bytes = (uint32_t)state_bytes;
    conn->tls->inside = (uint32_t)conn_tls_inside(conn); /* the handshake's bytes are consumed */
    count(conn->tls);
}

/*
 * ---- the BIO ----
 *
 * One BIO serves all connections of a loop. An SSL uses it only within a call that ssl_begin opens, which
 * names the connection. A separate BIO would take 224 bytes of each idle connection.
 */

static int bio_read(BIO *bio, char *buf, int len)
{
    conn_shared_t *shared = BIO_get_data(bio);
    conn_t *conn = shared->current;
    conn_tls_t *tls = conn->tls;
    BIO_clear_retry_flags(bio);
    if (len <= 0)
        return 0;
    if ((conn->drained && conn->polled) || shared->budget == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    ssize_t n;
    do
        n = recv(conn->fd, buf, (size_t)len, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0) {
        conn->drained = errno == EAGAIN;
        if (conn->drained)
            BIO_set_retry_read(bio);
        return -1;
    }
    tls->eof = n == 0;
    if (tls->first == '\0' && n > 0)
        tls->first = buf[0];
    conn->drained = n < len;
    shared->budget = shared->budget > (size_t)n ? shared->budget - (size_t)n : 0;
    tls->unproductive += (uint32_t)n;
    /* Records that never end must not wrap the bound. */
    tls->inside = (size_t)n < UINT32_MAX - tls->inside ? tls->inside + (uint32_t)n : UINT32_MAX;
    return (int)n;
}

static int bio_write(BIO *bio, const char *data, int len)
{
    conn_shared_t *shared = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (len <= 0)
        return 0;
    if (shared->stage_len + out_len(shared->current->tls) + (size_t)len > STAGE_BYTES) {
        BIO_set_retry_write(bio);
        return -1;
    }
    memcpy(shared->stage + shared->stage_len, data, (size_t)len);
    shared->stage_len += (size_t)len;
    return len;
}

static long bio_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
    (void)num;
    (void)ptr;
    const conn_shared_t *shared = BIO_get_data(bio);
    if (cmd == BIO_CTRL_FLUSH)
        return 1;
    if (cmd == BIO_CTRL_EOF)
        return shared->current->tls->eof;
    return 0;
}

static void shared_prepare(conn_shared_t *shared)
{
    if (shared->bio != NULL)
        return;
    shared->method = BIO_meth_new(BIO_TYPE_SOURCE_SINK | 0x7f, "conn");
    assert(shared->method != NULL);
    BIO_meth_set_read(shared->method, bio_read);
    BIO_meth_set_write(shared->method, bio_write);
    BIO_meth_set_ctrl(shared->method, bio_ctrl);
    shared->bio = BIO_new(shared->method);
    assert(shared->bio != NULL);
    BIO_set_data(shared->bio, shared);
    BIO_set_init(shared->bio, 1);
    shared->record = mem_alloc(RECORD_BYTES);
    shared->stage = mem_alloc(STAGE_BYTES);
}

void conn_tls_shared_free(conn_shared_t *shared)
{
    BIO_free(shared->bio);
    BIO_meth_free(shared->method);
    free(shared->record);
    free(shared->stage);
}

void conn_tls_attach(conn_t *conn, SSL *ssl)
{
    shared_prepare(conn->shared);
    BIO_up_ref(conn->shared->bio); /* SSL_free drops it */
    SSL_set_bio(ssl, conn->shared->bio, conn->shared->bio);
    SSL_set_read_ahead(ssl, 1);
    SSL_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    conn->tls = mem_alloc(sizeof(*conn->tls));
    *conn->tls = (conn_tls_t){.ssl = ssl};
}

static void out_free(conn_tls_t *tls)
{
    if (tls->out != NULL)
        loop_undefer(&tls->out->uncork);
    free(tls->out);
    tls->out = NULL;
}

void conn_tls_detach(conn_t *conn)
{
    /* Without this, OpenSSL invalidates the session of a connection that both sides have not closed. */
    SSL_set_shutdown(conn->tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(conn->tls->ssl);
    if (conn->tls->account != NULL)
        account_sub(conn->tls->account, conn->tls->counted);
    out_free(conn->tls);
    free(conn->tls);
    conn->tls = NULL;
    if (conn->shared->current == conn)
        conn->shared->current = NULL;
}

/* ---- sending ---- */

/* Returns the number of bytes that the kernel took. */
static size_t send_some(conn_t *conn, const char *data, size_t len)
{
    ssize_t n;
    do
        n = send(conn->fd, data, len, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return (size_t)n;
    if (errno != EAGAIN)
        conn->broken = 1;
    return 0;
}

static void out_drop(conn_tls_t *tls)
{
    out_free(tls);
    count(tls);
}

/* Appends to the pending ciphertext. */
static void out_keep(conn_t *conn, const char *data, size_t len)
{
    conn_tls_t *tls = conn->tls;
    size_t before = out_len(tls);
    assert(len > 0 && before + len <= STAGE_BYTES);
    outgoing_t *joined = mem_alloc(sizeof(*joined) + before + len);
    *joined = (outgoing_t){.conn = conn, .len = (uint32_t)(before + len), .corked = is_corked(tls)};
    if (before > 0)
        memcpy(joined->data, tls->out->data + tls->out->off, before);
    memcpy(joined->data + before, data, len);
    out_free(tls);
    tls->out = joined;
    count(tls);
}

/* Moves a corked ticket to the head of the stage. */
static void uncork(conn_t *conn)
{
    conn_tls_t *tls = conn->tls;
    if (!is_corked(tls))
        return;
    assert(conn->shared->stage_len == 0);
    memcpy(conn->shared->stage, tls->out->data + tls->out->off, tls->out->len);
    conn->shared->stage_len = tls->out->len;
    out_drop(tls);
}

conn_result_t conn_tls_flush(conn_t *conn)
{
    conn_tls_t *tls = conn->tls;
    assert(conn_tls_pending(conn));
    size_t sent = send_some(conn, tls->out->data + tls->out->off, tls->out->len);
    if (conn->broken) {
        out_drop(tls);
        return CONN_FAILED;
    }
    tls->out->off += (uint32_t)sent;
    tls->out->len -= (uint32_t)sent;
    if (tls->out->len > 0) {
        conn_arm_write(conn);
        return CONN_AGAIN;
    }
    out_drop(tls);
    return CONN_OK;
}

/* Sends the ticket and everything queued behind it. */
static void send_corked(conn_t *conn)
{
    conn->tls->out->corked = false;
    if (conn_tls_flush(conn) == CONN_FAILED)
        assert(conn->broken); /* the caller, or its next call, reports it */
}

static void on_uncork(loop_task_t *task)
{
    send_corked(CONTAINER_OF(outgoing_t, uncork, task)->conn);
}

/* Empties the stage into the kernel or behind pending ciphertext; discards it on a broken connection. */
static void push(conn_t *conn)
{
    conn_tls_t *tls = conn->tls;
    conn_shared_t *shared = conn->shared;
    size_t len = shared->stage_len;
    shared->stage_len = 0;
    if (len == 0 || conn->broken)
        return;
    if (tls->out != NULL) {
        out_keep(conn, shared->stage, len);
        if (tls->out->corked) /* an alert, for example, that no response follows: send the ticket with it */
            send_corked(conn);
        return;
    }
    size_t sent = send_some(conn, shared->stage, len);
    if (sent < len && !conn->broken) {
        out_keep(conn, shared->stage + sent, len - sent);
        conn_arm_write(conn);
    }
}

/* ---- calls of OpenSSL ---- */

/* Before each call. SSL_get_error reads the thread's error queue, which other code may have left full. */
static void ssl_begin(conn_t *conn)
{
    if (ERR_peek_error() != 0)
        ERR_clear_error();
    conn->shared->current = conn;
    conn->shared->budget = READ_BUDGET;
    conn->tls->wants_room = false;
    assert(conn->shared->stage_len == 0);
}

/* The cause of a failed call. */
static conn_result_t ssl_why(conn_t *conn)
{
    conn_tls_t *tls = conn->tls;
    switch (SSL_get_error(tls->ssl, -1)) {
    case SSL_ERROR_WANT_READ:
        return tls->unproductive > UNPRODUCTIVE_BYTES ? CONN_FAILED : CONN_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        tls->wants_room = true;
        return CONN_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return CONN_EOF;
    default:
        conn->shared->tls_error = ERR_peek_last_error();
        ERR_clear_error();
        return tls->eof ? CONN_TRUNCATED : CONN_FAILED;
    }
}

/*
 * A server ends its TLS 1.3 handshake with a session ticket, for which no client waits. It leaves with the
 * owner's first bytes to save a packet, at the latest at the end of this turn unless the first request is
 * already here. Holding it longer costs up to 40 ms: under Nagle's algorithm the client's kernel sends the
 * request only after the acknowledgement of its Finished, which the ticket carries.
 */
static void cork_ticket(conn_t *conn)
{
    conn_tls_t *tls = conn->tls;
    conn_shared_t *shared = conn->shared;
    if (!SSL_is_server(tls->ssl) || SSL_version(tls->ssl) != TLS1_3_VERSION || tls->out != NULL ||
        shared->stage_len == 0)
        return;
    out_keep(conn, shared->stage, shared->stage_len);
    tls->out->corked = true;
    shared->stage_len = 0;
    if (!SSL_has_pending(tls->ssl))
        loop_defer(shared->loop, &tls->out->uncork, on_uncork);
}

/*
 * Answers a client that speaks HTTP on a TLS port: its first byte is a method's letter, which begins no TLS
 * record (RFC 8446 section 5.1). The client could not read an alert. Best effort: bytes that do not leave
 * immediately are dropped.
 */
static void answer_plain_http(const conn_t *conn)
{
    static const char answer[] = "HTTP/1.1 400 Bad Request\r\n"
                                 "Content-Type: text/plain\r\n"
                                 "Content-Length: 58\r\n"
                                 "Connection: close\r\n"
                                 "\r\n"
                                 "This port speaks HTTPS only: use an address with https://\n";
    if (send(conn->fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) > 0)
        (void)shutdown(conn->fd, SHUT_WR);
    /* Unread bytes would turn the close into a reset, and the answer would be lost. */
    for (int i = 0; i < 4; i++)
        if (recv(conn->fd, conn->shared->record, RECORD_BYTES, MSG_DONTWAIT) <= 0)
            break;
}

static bool speaks_plain_http(const conn_tls_t *tls)
{
    return SSL_is_server(tls->ssl) && tls->first >= 'A' && tls->first <= 'Z';
}

conn_handshake_fault_t conn_handshake_fault(const conn_t *conn, const char **words)
{
    const conn_tls_t *tls = conn->tls;
    unsigned long error = conn->shared->tls_error;
    const char *name = error != 0 ? ERR_reason_error_string(error) : NULL;
    *words = name != NULL ? name : "";
    if (tls->unproductive == 0)
        return CONN_HANDSHAKE_SILENT;
    if (speaks_plain_http(tls))
        return CONN_HANDSHAKE_PLAIN;
    if (ERR_GET_REASON(error) > SSL_AD_REASON_OFFSET)
        return CONN_HANDSHAKE_REFUSED;
    if (tls->unproductive > UNPRODUCTIVE_BYTES) /* the edge has cut it */
        return CONN_HANDSHAKE_UNAGREED;
    return tls->eof || name == NULL ? CONN_HANDSHAKE_LEFT : CONN_HANDSHAKE_UNAGREED;
}

conn_result_t conn_tls_handshake(conn_t *conn)
{
    conn_tls_t *tls = conn->tls;
    if (conn->broken)
        return CONN_FAILED;
    if (tls->established)
        return CONN_OK;
    conn_want_read(conn, true);
    tls->more = false;
    ssl_begin(conn);
    conn->shared->tls_error = 0;
    int rc = SSL_do_handshake(tls->ssl);
    if (rc == 1) {
        tls->established = true;
        cork_ticket(conn);
        push(conn);
        tls->unproductive = 0;
        tls->more = SSL_has_pending(tls->ssl) != 0;
        return conn->broken ? CONN_FAILED : CONN_OK;
    }
    conn_result_t why = ssl_why(conn);
    if (why == CONN_FAILED && speaks_plain_http(tls)) {
        conn->shared->stage_len = 0; /* drop the alert */
        answer_plain_http(conn);
    }
    push(conn);
    return why == CONN_AGAIN && !conn->broken ? CONN_AGAIN : CONN_FAILED;
}

conn_result_t conn_tls_read(conn_t *conn, char *buf, size_t cap, size_t *got)
{
    conn_tls_t *tls = conn->tls;
    assert(tls->established);
    conn_result_t result = CONN_OK;
    size_t total = 0;
    tls->more = false;
    ssl_begin(conn);
    while (total < cap) {
        size_t n = 0;
        if (SSL_read_ex(tls->ssl, buf + total, cap - total, &n) != 1) {
            result = ssl_why(conn);
            break;
        }
        total += n;
        tls->unproductive = 0;
        if (conn->drained && conn->polled && SSL_has_pending(tls->ssl) == 0)
            break; /* saves a call that would return nothing */
    }
    push(conn);
    *got = total;
    tls->inside = SSL_has_pending(tls->ssl) != 0 && tls->inside > total ? tls->inside - (uint32_t)total : 0;
    count(tls);
    if (total == 0)
        return result;
    /* The next call meets the end behind these bytes again, so it must be scheduled. */
    if (result != CONN_AGAIN)
        tls->more = result != CONN_OK || SSL_has_pending(tls->ssl) != 0;
    return CONN_OK;
}

/*
 * Encrypts one record from the slices: from the first alone if it fills a record, else gathered, so that a
 * head and a short body share a record. Returns the number of bytes taken, 0 on failure.
 */
static size_t write_record(conn_t *conn, struct iovec *iov, int iovcnt)
{
    char *from = iov[0].iov_base;
    size_t len = iov[0].iov_len;
    if (len >= RECORD_BYTES) {
        len = RECORD_BYTES;
    } else if (iovcnt > 1) {
        len = 0;
        from = conn->shared->record;
        for (int i = 0; i < iovcnt && len < RECORD_BYTES; i++) {
            size_t room = RECORD_BYTES - len;
            size_t take = iov[i].iov_len < room ? iov[i].iov_len : room;
            if (take > 0)
                memcpy(from + len, iov[i].iov_base, take);
            len += take;
        }
    }
    size_t n = 0;
    if (len == 0 || SSL_write_ex(conn->tls->ssl, from, len, &n) != 1)
        return 0;
    assert(n == len);
    return n;
}

conn_result_t conn_tls_write(conn_t *conn, const struct iovec *iov, int iovcnt, size_t *written)
{
    assert(iovcnt <= 16 && conn->tls->established);
    if (conn_tls_pending(conn))
        return CONN_AGAIN;
    struct iovec left[16];
    size_t todo = 0;
    for (int i = 0; i < iovcnt; i++) {
        left[i] = iov[i];
        todo += iov[i].iov_len;
    }
    assert(todo > 0 && todo <= CONN_TURN_BYTES);
    ssl_begin(conn);
    uncork(conn);
    int first = 0;
    for (size_t done = 0; done < todo;) {
        assert(first < iovcnt);
        size_t n = write_record(conn, left + first, iovcnt - first);
        if (n == 0) {
            conn->shared->stage_len = 0;
            ERR_clear_error();
            return CONN_FAILED;
        }
        done += n;
        while (n > 0 || (first < iovcnt && left[first].iov_len == 0)) {
            assert(first < iovcnt);
            size_t step = n < left[first].iov_len ? n : left[first].iov_len;
            left[first].iov_base = (char *)left[first].iov_base + step;
            left[first].iov_len -= step;
            n -= step;
            if (left[first].iov_len == 0)
                first++;
        }
    }
    push(conn);
    if (conn->broken)
        return CONN_FAILED;
    *written = todo;
    return CONN_OK;
}

void conn_tls_close_notify(conn_t *conn)
{
    if (!conn->tls->established)
        return;
    ssl_begin(conn);
    uncork(conn);
    if (SSL_shutdown(conn->tls->ssl) < 0)
        ERR_clear_error();
    push(conn);
}
