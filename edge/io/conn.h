/*
 * One byte stream, plain or TLS, over a libh2o socket that reports readiness only. The owner pulls: it says
 * whether it wants to read or write, is told when it can, and calls conn_read or conn_write itself, so that
 * backpressure is simply not reading. No callback is made from within a call of the owner's; each comes from
 * the loop.
 *
 * What TLS adds is hidden but for one thing: a stream that stops without close_notify (CONN_TRUNCATED) is
 * told apart from one that ends (CONN_EOF).
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
 * The most that one conn_read or conn_write moves, in bytes. So much less than 64 KiB that it leaves, also as
 * four TLS records, in one piece: the kernel takes up to 64 KiB with all headers at once (45 segments of 1448
 * bytes, or one of the loopback's), and what is over would make a packet of its own each time.
 */
#define CONN_TURN_BYTES (65536 - 512)

typedef struct conn conn_t;

typedef enum conn_result {
    CONN_OK,        /* at least one byte was moved */
    CONN_AGAIN,     /* nothing now; the handler will be called if the direction is wanted */
    CONN_EOF,       /* the peer ended its direction in order (FIN; with TLS close_notify) */
    CONN_TRUNCATED, /* TLS only: FIN without close_notify */
    CONN_FAILED,    /* reset, TLS error: only conn_free is left */
} conn_result_t;

/*
 * `readable` and `writable` come only while wanted (conn_want_*). They are level-triggered: they come again
 * in each turn in which the condition holds; bytes already decrypted count as readable. But once conn_read
 * has answered that reading is over, `readable` comes no more (once again if reads are wanted anew). `hangup`
 * comes when reads are not wanted and the peer has gone: `reset` true when the connection is dead in both
 * directions, false when the peer has sent FIN (bytes may still wait in the kernel before it: conn_unread).
 * It is noticed within a second, comes at most once for each of the two, and may be NULL. A handler may free
 * the connection.
 */
typedef struct conn_handlers {
    void (*readable)(void *owner);
    void (*writable)(void *owner);
    void (*hangup)(void *owner, bool reset);
} conn_handlers_t;

/*
 * Takes over `fd` (non-blocking, connected or connecting) and, where not NULL, `ssl` (fresh, with accept or
 * connect state set; the connection frees it). Neither direction is wanted at first. `handlers` must outlive
 * the connection.
 */
conn_t *conn_new(loop_t *loop, int fd, SSL *ssl, const conn_handlers_t *handlers, void *owner);
/* Hands the connection to another owner (the codec chosen after ALPN). Wants are cleared; a hangup that the
 * last owner was told of is told again. */
void conn_set_owner(conn_t *conn, const conn_handlers_t *handlers, void *owner);

/* OpenSSL's state of one connection, by estimate (docs/benchmarks.md): of one that is idle, and during the
 * handshake, from its first byte on. */
#define CONN_TLS_STATE_BYTES     15360
#define CONN_TLS_HANDSHAKE_BYTES 49152

/*
 * Counts what the connection keeps for TLS to `account` from now on, which outlives it: ciphertext that
 * waits, OpenSSL's buffer for records, by estimate, and `state_bytes` until the connection ends (0 where
 * the owner counts the state: client.h). No-op without TLS. Called again, it moves the count;
 * the former account must still be there.
 */
void conn_set_account(conn_t *conn, account_t *account, size_t state_bytes);

/*
 * Starts a TCP connection to `address`, TCP_NODELAY set. Returns NULL with errno where it failed at once.
 * Want writes: `writable` then means connected or failed; conn_connect_error says which (0, or an errno
 * value).
 */
conn_t *conn_connect(loop_t *loop, const struct sockaddr *address, socklen_t len,
                     const conn_handlers_t *handlers, void *owner);
int conn_connect_error(conn_t *conn);

/*
 * Puts TLS over a plain connection of which nothing was read or written through conn_read and conn_write:
 * `ssl` as in conn_new. For what comes before TLS on the same connection (a PROXY protocol header).
 */
void conn_start_tls(conn_t *conn, SSL *ssl);

/*
 * Drives the TLS handshake; call it when readable or writable until it returns CONN_OK. It sets the wants
 * itself. CONN_OK at once where the connection is plain. Application bytes that came with the client's
 * Finished are readable then.
 */
MUST_USE conn_result_t conn_handshake(conn_t *conn);
/* How the handshake of a client failed. */
typedef enum conn_handshake_fault {
    CONN_HANDSHAKE_SILENT,   /* the client left without a byte */
    CONN_HANDSHAKE_LEFT,     /* it left in the middle */
    CONN_HANDSHAKE_PLAIN,    /* it speaks plain HTTP */
    CONN_HANDSHAKE_REFUSED,  /* it ended the handshake with an alert */
    CONN_HANDSHAKE_UNAGREED, /* there is nothing that both want, or it spoke no TLS */
} conn_handshake_fault_t;
/* After conn_handshake has failed, before any other call: how, and in *words OpenSSL's name for it, which
 * lives for ever ("" for none). */
conn_handshake_fault_t conn_handshake_fault(const conn_t *conn, const char **words);

/* Moves up to min(cap, CONN_TURN_BYTES) bytes into `buf`; with CONN_OK *got is their number, else 0. */
MUST_USE conn_result_t conn_read(conn_t *conn, char *buf, size_t cap, size_t *got);

/*
 * Takes bytes from up to 16 slices in order; with CONN_OK *written is how many were taken (1 or more; partial
 * is possible), else 0. Over TLS, taken bytes may wait encrypted in the connection (bounded by
 * CONN_TURN_BYTES plus overhead); until they have left, it answers CONN_AGAIN. It never answers CONN_EOF or
 * CONN_TRUNCATED. After conn_shutdown_write it answers CONN_FAILED. The slices hold a byte or more.
 */
MUST_USE conn_result_t conn_write(conn_t *conn, const struct iovec *iov, int iovcnt, size_t *written);
/* True when nothing that conn_write took is waiting inside the connection (what the kernel holds does not
 * count). */
bool conn_flushed(const conn_t *conn);

void conn_want_read(conn_t *conn, bool want);
void conn_want_write(conn_t *conn, bool want);
bool conn_wants_read(const conn_t *conn);

/* Ends our direction once what was taken has left: close_notify and SHUT_WR. Reading goes on. Idempotent. */
void conn_shutdown_write(conn_t *conn);

/* The same without close_notify: over TLS the peer takes it for an end that came too early. */
void conn_cut_write(conn_t *conn);
/* Nothing can reach the peer any more: the connection is reset or timed out, or is no TCP connection. */
bool conn_is_dead(const conn_t *conn);

/* Bytes that came and were not read yet: in the kernel, and over TLS in the connection too, where encryption
 * may make them more than conn_read will give. Used to tell a departure from a half-close. */
size_t conn_unread(const conn_t *conn);

/* Bytes that were written and that the peer's kernel has not taken yet. */
size_t conn_untaken(const conn_t *conn);
/* Memory that the kernel holds for bytes in both directions, with its own overhead. */
size_t conn_kernel_bytes(const conn_t *conn);

/*
 * Whether a peer has stopped taking bytes. The kernel says that it takes more only when a good part of its
 * queue is free, so a slow reader of a long queue would look like one that does not read: what is left in the
 * queue tells them apart. conn_stalled is called CONN_STALL_LOOKS times in the time that a peer has, and once
 * more; it answers true when nothing was taken between the first of so many looks in a row and the last.
 * Start from all zeroes, and again whenever a write succeeds.
 */
#define CONN_STALL_LOOKS 4
typedef struct conn_stall {
    size_t unsent; /* at the last look */
    unsigned looks;
} conn_stall_t;
MUST_USE bool conn_stalled(const conn_t *conn, conn_stall_t *stall);

/*
 * Bounds the bytes that the kernel holds for a connection to an origin, once it is made: those that it may
 * not send yet, so that one write of CONN_TURN_BYTES more and a part under way stay below 256 KiB; and those
 * from a near peer that nobody has read, to `unread` with the kernel's own overhead. The kernel would else
 * hold megabytes of either. A far peer's window has to follow the distance, which the kernel does (tcp_rmem).
 * A kernel that cannot do this only holds more.
 */
#define CONN_UNSENT_BYTES 131072
#define CONN_UNREAD_BYTES 262144
#define CONN_NARROW_BYTES 65536 /* `unread` of one among many: a peer at 0.1 ms may still send 300 MB/s */
#define CONN_FAR_US       1000  /* round trip of the handshake from which on a peer is far */
void conn_bound_queues(int fd, int unread);

/* Has the kernel probe a peer that is silent, so that one that vanished without a word is found within two
 * minutes. On a listening socket it holds for all connections that are accepted from it. */
void conn_probe_peer(int fd);

int conn_fd(const conn_t *conn);
/* NULL for a plain connection; still owned by the connection. */
SSL *conn_ssl(const conn_t *conn);
/* For an idle pooled connection about to be used again: true when the peer neither closed nor sent anything
 * (MSG_PEEK says EAGAIN). */
bool conn_is_quiet(conn_t *conn);

/* Closes at once, dropping what waits, and nulls. Allowed from within a handler. A RST is sent when `*conn`
 * still has unread bytes; call conn_abort to force one. */
void conn_free(conn_t **conn);
void conn_abort(conn_t **conn);
/* The same for a connection whose bytes are of no use to the peer any more: by a RST where the peer's kernel
 * has not taken CONN_LITTLE_BYTES of them. A FIN would wait behind them, and the kernel would keep both. */
#define CONN_LITTLE_BYTES 4096
void conn_give_up(conn_t **conn);

#endif
