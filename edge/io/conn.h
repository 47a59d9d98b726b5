/*
 * One byte stream, plain or TLS, over a libh2o socket that only reports readiness. The owner pulls: it
 * declares interest in reading or writing, gets a callback when the connection is ready, and calls conn_read
 * or conn_write itself. An owner applies backpressure by not reading. Callbacks come only from the loop,
 * never from within a call of the owner.
 *
 * The interface hides TLS, with one exception: CONN_TRUNCATED (no close_notify) differs from CONN_EOF.
 */
#ifndef BOXEDGE_CONN_H
#define BOXEDGE_CONN_H

#include <sys/socket.h>
#include <sys/uio.h>

#include <openssl/ssl.h>

#include "account.h"
#include "loop.h"
#include "str.h"

/*
 * Maximum bytes that one conn_read or conn_write moves. The margin below 64 KiB lets a write leave in one
 * piece, even as four TLS records: the kernel takes up to 64 KiB with all headers in one call (45 segments of
 * 1448 bytes, or one of the loopback's). Any excess would cost an extra packet each time.
 */
#define CONN_TURN_BYTES (65536 - 512)

typedef struct conn conn_t;

typedef enum conn_result {
    CONN_OK,        /* moved at least one byte */
    CONN_AGAIN,     /* nothing now; the handler runs later if the direction is wanted */
    CONN_EOF,       /* orderly end of the peer's direction (FIN; with TLS close_notify) */
    CONN_TRUNCATED, /* TLS only: FIN without close_notify */
    CONN_FAILED,    /* reset or TLS error: only conn_free is valid now */
} conn_result_t;

/*
 * `readable` and `writable` are called only while wanted (conn_want_*). They are level-triggered: the loop
 * calls them in each turn in which the condition holds. Decrypted bytes count as readable. After conn_read
 * has reported the end of reading, `readable` is not called again, except once when reads are wanted anew.
 *
 * `hangup` is called when reads are not wanted and the peer has gone, within a second. `reset` is true if the
 * connection is dead in both directions, false if the peer sent FIN (unread bytes may precede it in the
 * kernel: conn_unread). Each kind is reported at most once. `hangup` may be NULL. A handler may free the
 * connection.
 */
typedef struct conn_handlers {
    void (*readable)(void *owner);
    void (*writable)(void *owner);
    void (*hangup)(void *owner, bool reset);
} conn_handlers_t;

/*
 * Takes over `fd` (non-blocking, connected or connecting) and, unless NULL, `ssl` (fresh, with accept or
 * connect state set; the connection frees it). Neither direction is wanted at first. `handlers` must outlive
 * the connection.
 */
conn_t *conn_new(loop_t *loop, int fd, SSL *ssl, const conn_handlers_t *handlers, void *owner);
/* Hands the connection to another owner (the codec chosen after ALPN). Clears the wants. Reports again a
 * hangup that the previous owner has seen. */
void conn_set_owner(conn_t *conn, const conn_handlers_t *handlers, void *owner);

/* Estimates of OpenSSL's state per connection (docs/benchmarks.md): for an idle one, and during the handshake
 * from its first byte on. */
#define CONN_TLS_STATE_BYTES     15104
#define CONN_TLS_HANDSHAKE_BYTES 49152

/*
 * Counts the connection's TLS memory to `account`, which outlives the connection: pending ciphertext,
 * OpenSSL's record buffer (an estimate), and `state_bytes` until the connection ends (0 if the owner counts
 * the state: client.h). No-op without TLS. A second call moves the count; the previous account must still
 * exist.
 */
void conn_set_account(conn_t *conn, account_t *account, size_t state_bytes);

/*
 * Starts a TCP connection to `address` with TCP_NODELAY. Returns NULL with errno on immediate failure. Want
 * writes: `writable` then reports the outcome, and conn_connect_error returns it (0, or an errno value).
 */
conn_t *conn_connect(loop_t *loop, const struct sockaddr *address, socklen_t len,
                     const conn_handlers_t *handlers, void *owner);
int conn_connect_error(conn_t *conn);

/*
 * Puts TLS over a plain connection on which conn_read and conn_write have moved nothing. `ssl` as in
 * conn_new. For bytes that precede TLS on the same connection (a PROXY protocol header).
 */
void conn_start_tls(conn_t *conn, SSL *ssl);

/*
 * Drives the TLS handshake and sets the wants itself. Call it on readable and writable until it returns
 * CONN_OK, which it does in the first call for a plain connection. Application bytes that came with the
 * client's Finished are then readable.
 */
MUST_USE conn_result_t conn_handshake(conn_t *conn);
/* The cause of a failed client handshake. */
typedef enum conn_handshake_fault {
    CONN_HANDSHAKE_SILENT,   /* the client closed without sending a byte */
    CONN_HANDSHAKE_LEFT,     /* the client closed in mid-handshake */
    CONN_HANDSHAKE_PLAIN,    /* the client speaks plain HTTP */
    CONN_HANDSHAKE_REFUSED,  /* the client ended the handshake with an alert */
    CONN_HANDSHAKE_UNAGREED, /* no common parameters, or the client does not speak TLS */
} conn_handshake_fault_t;
/* The cause, valid after conn_handshake has failed and before any other call. *words is OpenSSL's name for
 * the error, a static string ("" for none). */
conn_handshake_fault_t conn_handshake_fault(const conn_t *conn, const char **words);

/* Moves up to min(cap, CONN_TURN_BYTES) bytes into `buf`. *got is their number with CONN_OK, else 0. */
MUST_USE conn_result_t conn_read(conn_t *conn, char *buf, size_t cap, size_t *got);

/*
 * Takes bytes from up to 16 slices in order; the slices must hold at least one byte. With CONN_OK *written is
 * the number taken (1 or more; a partial write is possible), else 0. Over TLS, taken bytes may wait encrypted
 * in the connection (at most CONN_TURN_BYTES plus overhead); until they have left, the result is CONN_AGAIN.
 * After conn_shutdown_write it is CONN_FAILED. It is never CONN_EOF or CONN_TRUNCATED.
 */
MUST_USE conn_result_t conn_write(conn_t *conn, const struct iovec *iov, int iovcnt, size_t *written);
/* True when the connection holds no bytes that conn_write took (bytes in the kernel do not count). */
bool conn_flushed(const conn_t *conn);

void conn_want_read(conn_t *conn, bool want);
void conn_want_write(conn_t *conn, bool want);
bool conn_wants_read(const conn_t *conn);

/* Half-close once all accepted bytes are sent: close_notify and SHUT_WR. Reading continues. Idempotent. */
void conn_shutdown_write(conn_t *conn);

/* The same without close_notify: a TLS peer sees a truncated stream. */
void conn_cut_write(conn_t *conn);
/* No byte can reach the peer: the connection is reset or timed out, or is not a TCP connection. */
bool conn_is_dead(const conn_t *conn);

/* Received bytes not read yet: in the kernel and, over TLS, in the connection, where encryption overhead may
 * make them more than conn_read returns. Distinguishes a departed peer from a half-close. */
size_t conn_unread(const conn_t *conn);

/* Written bytes that the peer's kernel has not acknowledged. */
size_t conn_untaken(const conn_t *conn);
/* Memory that the kernel holds for bytes in both directions, including its own overhead. */
size_t conn_kernel_bytes(const conn_t *conn);

/*
 * Detects a peer that has stopped taking bytes. The kernel reports room only when much of its queue is free,
 * so a slow reader of a long queue resembles a peer that does not read; the bytes left in the queue
 * distinguish them. Call conn_stalled CONN_STALL_LOOKS + 1 times over the time allowed. It returns true if
 * the peer took nothing from the first of these consecutive calls to the last. Zero-fill to start, and again
 * after each successful write.
 */
#define CONN_STALL_LOOKS 4
typedef struct conn_stall {
    size_t unsent; /* at the last call */
    unsigned looks;
} conn_stall_t;
MUST_USE bool conn_stalled(const conn_t *conn, conn_stall_t *stall);

/*
 * Bounds the bytes that the kernel holds for an established connection to an origin. Unsent bytes stay below
 * 256 KiB even with one more write of CONN_TURN_BYTES and a segment under way. Unread bytes from a near peer
 * are limited to `unread`, including the kernel's overhead. Without these bounds the kernel holds megabytes
 * of either. A far peer's window must follow the distance, so the kernel sizes it (tcp_rmem). A kernel
 * without these options only holds more.
 */
#define CONN_UNSENT_BYTES 131072
#define CONN_UNREAD_BYTES 262144
#define CONN_NARROW_BYTES 65536 /* `unread` of one among many: a peer at 0.1 ms still sends 300 MB/s */
#define CONN_FAR_US       1000  /* handshake round trip from which a peer counts as far */
void conn_bound_queues(int fd, int unread);

/* Enables TCP keepalive, which detects a peer that vanished silently within two minutes. A listening socket
 * passes the setting on to the connections that it accepts. */
void conn_probe_peer(int fd);

int conn_fd(const conn_t *conn);
/* NULL for a plain connection. The connection keeps ownership. */
SSL *conn_ssl(const conn_t *conn);
/* For an idle pooled connection before reuse: true if the peer has neither closed nor sent anything (MSG_PEEK
 * returns EAGAIN). */
bool conn_is_silent(conn_t *conn);

/* Closes immediately, drops pending bytes, and nulls. May be called from a handler. The kernel sends a RST if
 * `*conn` has unread bytes; conn_abort forces one. */
void conn_free(conn_t **conn);
void conn_abort(conn_t **conn);
/* Closes a connection whose pending bytes are of no use to the peer. Sends a RST if the peer's kernel has not
 * acknowledged CONN_LITTLE_BYTES or more: a FIN would queue behind them, and the kernel would keep both. */
#define CONN_LITTLE_BYTES 4096
void conn_give_up(conn_t **conn);

#endif
