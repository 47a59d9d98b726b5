/*
 * Shared by conn.c (sockets, wants), conn_hangup.c and conn_tls.c (TLS on the descriptor) only.
 */
#ifndef BOXEDGE_CONN_INTERNAL_H
#define BOXEDGE_CONN_INTERNAL_H

#include "conn.h"

#include "list.h"
#include "loop_internal.h"

typedef struct conn_tls conn_tls_t;

/* Shared by all connections of a loop. */
typedef struct conn_shared {
    loop_t *loop;
    list_t paused;      /* conn_t.paused: not watched by epoll for reading, polled once a second */
    loop_timer_t timer; /* runs while `paused` is not empty */
    BIO_METHOD *method; /* made with the first TLS connection, as `bio` and the two buffers are */
    BIO *bio;           /* of all TLS connections */
    conn_t *current;    /* the connection of the last SSL call; NULL: it is gone */
    size_t budget;      /* bytes that the SSL call may still take from the kernel */
    char *record;       /* plaintext of one record, gathered from small slices */
    char *stage;        /* ciphertext that one SSL call produced: empty between calls */
    size_t stage_len;
    unsigned long tls_error; /* OpenSSL's error of the call that failed last; 0: none */
} conn_shared_t;

struct conn {
    h2o_socket_t *sock;
    conn_shared_t *shared;
    const conn_handlers_t *handlers;
    void *owner;
    conn_tls_t *tls; /* NULL: plain */
    list_t paused;
    loop_task_t readable_task; /* calls `readable` when no socket event will */
    int fd;
    unsigned end : 3; /* conn_result_t: CONN_OK, or the end of reading, which conn_read returns forever */
    unsigned want_read : 1;
    unsigned want_write : 1;
    unsigned polled : 1;  /* registered for reading; lasts until an event that is not wanted */
    unsigned armed : 1;   /* a write notification is under way */
    unsigned drained : 1; /* the last read emptied the kernel's queue; while polled, an event reports more */
    unsigned connecting : 1;
    unsigned broken : 1;         /* a write failed: nothing more can be moved */
    unsigned shut_requested : 1; /* conn_shutdown_write or conn_cut_write was called */
    unsigned shut : 1;           /* SHUT_WR was done */
    unsigned fin_reported : 1;   /* hangup(false) was called */
    unsigned reset_reported : 1; /* hangup(true) was called, or no further event can come */
    unsigned calling : 1;        /* a handler is on the stack */
    unsigned freed : 1;          /* conn_free was called from the handler: only this memory is left */
};

/* Requests a write notification; conn.c flushes when it comes. */
void conn_arm_write(conn_t *conn);

/* Bracket each call of a handler. conn_call_end returns false if the handler freed the connection, which is
 * then invalid. */
void conn_call_begin(conn_t *conn);
bool conn_call_end(conn_t *conn);

/* ---- conn_hangup.c ---- */
/* Adds the connection to `paused` or removes it. Call it after any change of state that decides this. */
void conn_hangup_update(conn_t *conn);
/* Calls the owner's `hangup`, unless it was called before. May free the connection. */
void conn_hangup_notify(conn_t *conn, bool reset);
/* Polls the socket now and reports a hangup. May free the connection. */
void conn_hangup_request(conn_t *conn);

/* ---- conn_tls.c ---- */
void conn_tls_attach(conn_t *conn, SSL *ssl);
void conn_tls_detach(conn_t *conn);
void conn_tls_set_account(conn_t *conn, account_t *account, size_t state_bytes);
void conn_tls_shared_free(conn_shared_t *shared);
SSL *conn_tls_ssl(const conn_t *conn);
MUST_USE conn_result_t conn_tls_handshake(conn_t *conn);
MUST_USE conn_result_t conn_tls_read(conn_t *conn, char *buf, size_t cap, size_t *got);
MUST_USE conn_result_t conn_tls_write(conn_t *conn, const struct iovec *iov, int iovcnt, size_t *written);
/* Queues close_notify if the handshake is done. */
void conn_tls_close_notify(conn_t *conn);
/* Sends pending ciphertext. CONN_OK: none is left. CONN_AGAIN: some is left. CONN_FAILED: the connection
 * broke. */
MUST_USE conn_result_t conn_tls_flush(conn_t *conn);
/* Bytes of ciphertext that the kernel has not taken yet. */
size_t conn_tls_waiting(const conn_t *conn);
/* The connection holds ciphertext to send, other than a corked ticket. */
bool conn_tls_pending(const conn_t *conn);
/* Bytes may be readable although the kernel has none. */
bool conn_tls_more(const conn_t *conn);
/* The connection holds bytes from the kernel that the owner has not read (a partial record counts). */
bool conn_tls_holds(const conn_t *conn);
/* Upper bound of such bytes: encryption overhead counts until all of them are read. */
size_t conn_tls_inside(const conn_t *conn);

#endif
