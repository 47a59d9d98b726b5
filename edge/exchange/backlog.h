/*
 * Bytes that the kernel holds for connections that stand still: towards a peer that does not take them, and
 * from one whose bytes nobody reads. A codec watches a connection from the moment at which it stops. After
 * BACKLOG_STILL_MS the worker asks the kernel, and again every BACKLOG_STILL_MS; the bytes count to an
 * account, so that relief (relief.h) sees their holder. Bytes that move give all of it back. A connection
 * that does not stand still costs no system call, or a few in BACKLOG_STILL_MS where many accounts share it.
 */
#ifndef BOXEDGE_BACKLOG_H
#define BOXEDGE_BACKLOG_H

#include "account.h"
#include "conn.h"
#include "list.h"

#define BACKLOG_STILL_MS 2000
/* How often the worker looks for connections whose time has come, and how many it asks about then, at most.
 */
#define BACKLOG_TICK_MS 250
#define BACKLOG_LOOKS   1024

/* All of one worker; context_t.backlogs. */
typedef struct backlogs backlogs_t;

backlogs_t *backlogs_new(loop_t *loop);
/* Nothing is watched (asserted). */
void backlogs_free(backlogs_t **all);

/* Of one connection, embedded in its codec's own. Zero-filled is not watched. */
typedef struct backlog {
    list_t link; /* in backlogs_t */
    backlogs_t *all;
    void (*look)(struct backlog *backlog); /* asks the kernel, and counts */
    const conn_t *conn;
    account_t *account;
    uint64_t due_ms;  /* the kernel is asked */
    uint32_t counted; /* bytes, to `account` */
} backlog_t;

static inline bool backlog_watched(const backlog_t *backlog)
{
    return backlog->link.next != NULL;
}

/*
 * The connection stands still from now on; where it is watched already, it has moved and stands still anew.
 * `conn` and `account` must stay until backlog_end. No-op with `all` NULL.
 */
void backlog_watch(backlogs_t *all, backlog_t *backlog, const conn_t *conn, account_t *account);
/*
 * The same for a connection that many accounts share. Each look calls `look`, which asks the kernel and
 * counts, and may call backlog_end. The owner gives its counts back itself.
 */
void backlog_watch_by(backlogs_t *all, backlog_t *backlog, void (*look)(backlog_t *backlog));
/* It moves, or goes. Idempotent. */
void backlog_end(backlog_t *backlog);

#endif
