/*
 * Bytes that the kernel holds for stalled connections: unsent ones, because the peer does not take them, and
 * unread ones, because the edge does not read them. A codec watches a connection from the moment at which it
 * stalls. The worker asks the kernel after BACKLOG_STILL_MS and then every BACKLOG_STILL_MS. An account
 * counts the bytes, so that relief (relief.h) sees their holder; they are given back when bytes move. A
 * moving connection costs no system call, or a few per BACKLOG_STILL_MS if many accounts share it.
 */
#ifndef BOXEDGE_BACKLOG_H
#define BOXEDGE_BACKLOG_H

#include "account.h"
#include "conn.h"
#include "list.h"

#define BACKLOG_STILL_MS 2000
/* Interval at which the worker looks for due connections, and the maximum that it asks about each time. */
#define BACKLOG_TICK_MS 250
#define BACKLOG_LOOKS   1024

/* All watched connections of a worker; context_t.backlogs. */
typedef struct backlogs backlogs_t;

backlogs_t *backlogs_new(loop_t *loop);
/* No connection may be watched (asserted). */
void backlogs_free(backlogs_t **all);

/* The watch on one connection, embedded in the codec's own struct. All-zero means not watched. */
typedef struct backlog {
    list_t link; /* in backlogs_t */
    backlogs_t *all;
    void (*look)(struct backlog *backlog); /* asks the kernel and counts */
    const conn_t *conn;
    account_t *account;
    uint64_t due_ms;  /* time of the next look */
    uint32_t counted; /* bytes counted to `account` */
} backlog_t;

static inline bool backlog_watched(const backlog_t *backlog)
{
    return backlog->link.next != NULL;
}

/*
 * Starts to watch a stalled connection; restarts the watch if it has moved and stalled again. `conn` and
 * `account` must outlive the watch (backlog_end). No-op if `all` is NULL.
 */
void backlog_watch(backlogs_t *all, backlog_t *backlog, const conn_t *conn, account_t *account);
/*
 * The same for a connection that many accounts share. `look` asks the kernel, counts, and may call
 * backlog_end. The owner gives its counts back itself.
 */
void backlog_watch_by(backlogs_t *all, backlog_t *backlog, void (*look)(backlog_t *backlog));
/* Ends the watch: the connection moves or closes. Idempotent. */
void backlog_end(backlog_t *backlog);

#endif
