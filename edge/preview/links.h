/*
 * Links of previews on a worker (docs/access.md, "Links"): the records that sessions name, kept until the
 * store changes, and the page that exchanges a link's secret for a session.
 */
#ifndef BOXEDGE_LINKS_H
#define BOXEDGE_LINKS_H

#include "exchange.h"
#include "link_make.h"
#include "session.h"
#include "store_links.h"
#include "worker.h"

/* `store` and `epoch` outlive the result. `epoch` is the store's epoch. */
links_t *links_new(store_t *store, const _Atomic uint64_t *epoch);
void links_free(links_t **links);

/* The link whose session opened an exchange, in its arena (ex->link). */
struct link_use {
    uint64_t id;
    uint64_t number;     /* of the session */
    uint64_t expires_at; /* of the link, unix seconds */
    bool read_only;
    bool allow_websocket;
};

typedef enum links_result {
    LINKS_LIVE,
    LINKS_ENDED,   /* revoked, expired, of another version of the preview, or too many sessions began since */
    LINKS_UNKNOWN, /* the store cannot be read */
} links_result_t;

/* Judges a session of the exchange's preview, whose signature is right. LINKS_LIVE: fills *out, and notes the
 * use of the link. */
MUST_USE links_result_t links_judge(exchange_t *ex, const session_link_t *session, link_use_t *out);
/* Whether the link that opened the exchange still does. Also true without one, and while the store cannot be
 * read. */
bool links_still_open(const exchange_t *ex);

/* Counts a session that is about to begin, which is a write of the store. False: too many for this link. */
MUST_USE bool links_take(exchange_t *ex, uint64_t id);

/* Answers a request for LINK_PATH on a preview's host: GET shows the page of a link that opens once, or opens
 * the link; POST opens it. */
void links_answer(exchange_t *ex);
/* Refuses a request that a link for reading does not open (405, or 403 for an upgrade), and cuts fields that
 * name another method. True: answered. */
MUST_USE bool links_refuse(exchange_t *ex);

/* Sends the uses of links to the controller, for its list: each at most every LINKS_NOTE_S seconds. */
#define LINKS_NOTE_S 60
void links_report(worker_t *worker);

#endif
