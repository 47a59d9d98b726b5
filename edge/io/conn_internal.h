/*
 * What conn.c (sockets, wants), conn_hangup.c and conn_tls.c (TLS on the descriptor) know of each other.
 * Nobody else includes this.
 */
#ifndef BOXEDGE_CONN_INTERNAL_H
#define BOXEDGE_CONN_INTERNAL_H

#include "conn.h"

#include "list.h"
#include "loop_internal.h"

typedef struct conn_tls conn_tls_t;

/* Among all connections of a loop. */
typedef struct conn_shared {
    loop_t *loop;
    list_t paused;      /* conn_t.paused: not watched by epoll for reading, so asked once a second */
    loop_timer_t timer; /* runs while `paused` has members */
    BIO_METHOD *bio;    /* the rest is made with the first TLS connection */
    char *record;       /* plaintext of one record, gathered from small slices */
    char *stage;        /* ciphertext that one SSL call made: empty between calls */
    size_t stage_len;
    unsigned long tls_error; /* OpenSSL's, of the call that failed last; 0: it had none */
} conn_shared_t;

struct conn {
    h2o_socket_t *sock;
    conn_shared_t *shared;
    const conn_handlers_t *handlers;
    void *owner;
    conn_tls_t *tls; /* NULL: plain */
    list_t paused;
    loop_task_t readable_task; /* calls `readable` where no socket event will */
    int fd;
    unsigned end : 3; /* conn_result_t: CONN_OK, or how reading ended: what conn_read answers for ever */
    unsigned want_read : 1;
    unsigned want_write : 1;
    unsigned
        polled : 1; /* registered for reading; it stays so when reads are unwanted, until an event comes */
    unsigned armed : 1;   /* a write notification is under way */
    unsigned drained : 1; /* the last read took all that the kernel had; while polled, an event says more */
    unsigned connecting : 1;
    unsigned broken : 1;     /* a write failed: nothing more can be moved */
    unsigned shut_asked : 1; /* conn_shutdown_write */
    unsigned shut : 1;       /* SHUT_WR was done */
    unsigned fin_told : 1;   /* hangup(false) was called */
    unsigned reset_told : 1; /* hangup(true) was called, or nothing more can be said */
    unsigned calling : 1;    /* a handler is on the stack */
    unsigned freed : 1;      /* conn_free came meanwhile: only this memory is left */
};

/* Asks for a write notification; conn.c flushes when it comes. */
void conn_arm_write(conn_t *conn);

/* Around each call of a handler. `end` is false when the handler freed the connection, which must not be
 * touched then. */
void conn_call_begin(conn_t *conn);
bool conn_call_end(conn_t *conn);

/* ---- conn_hangup.c ---- */
/* Keeps the connection in `paused` or out of it; call it after anything changed that decides this. */
void conn_hangup_update(conn_t *conn);
/* Tells the owner, where it was not told before. May free the connection. */
void conn_hangup_tell(conn_t *conn, bool reset);
/* Asks the kernel now, and tells. May free the connection. */
void conn_hangup_ask(conn_t *conn);

/* ---- conn_tls.c ---- */
void conn_tls_attach(conn_t *conn, SSL *ssl);
void conn_tls_detach(conn_t *conn);
void conn_tls_set_account(conn_t *conn, account_t *account, size_t state_bytes);
void conn_tls_shared_free(conn_shared_t *shared);
SSL *conn_tls_ssl(const conn_t *conn);
MUST_USE conn_result_t conn_tls_handshake(conn_t *conn);
MUST_USE conn_result_t conn_tls_read(conn_t *conn, char *buf, size_t cap, size_t *got);
MUST_USE conn_result_t conn_tls_write(conn_t *conn, const struct iovec *iov, int iovcnt, size_t *written);
/* Adds close_notify to what waits to be sent, where the handshake is done. */
void conn_tls_close_notify(conn_t *conn);
/* Sends waiting ciphertext. CONN_OK: none is left. CONN_AGAIN: some is. CONN_FAILED: the connection broke. */
MUST_USE conn_result_t conn_tls_flush(conn_t *conn);
/* Bytes of ciphertext that wait for the kernel to take them. */
size_t conn_tls_waiting(const conn_t *conn);
/* Ciphertext waits for the kernel to take it. */
bool conn_tls_pending(const conn_t *conn);
/* Bytes may be readable without the kernel having any. */
bool conn_tls_more(const conn_t *conn);
/* Bytes were taken from the kernel and not given to the owner yet (a part of a record counts). */
bool conn_tls_holds(const conn_t *conn);
/* How many such bytes there are, at most: what encryption added is counted until all of them are gone. */
size_t conn_tls_inside(const conn_t *conn);

#endif
