/*
 * Links to previews in the store: a secret that opens one preview until it expires. Only its SHA-256 is
 * recorded. A link belongs to one version of a preview: it ends when new credentials, or another preview,
 * take that version's place. Its record then stays until its place is needed.
 *
 * An edge without links does not open this part of the store.
 */
#ifndef BOXEDGE_STORE_LINKS_H
#define BOXEDGE_STORE_LINKS_H

#include "store.h"

/* Of one preview; in all. */
#define STORE_LINKS_PER_PREVIEW 100
#define STORE_LINKS_MAX         100000
#define STORE_LINK_PATH_MAX     512
/* Sessions of one link that stay valid: the default, and the maximum. */
#define STORE_LINK_SESSIONS     16
#define STORE_LINK_SESSIONS_MAX 255

typedef struct store_link {
    char box[BOX_ID_MAX + 1];
    uint16_t port;
    uint64_t id;         /* its lowest byte is its place among those of its preview */
    uint64_t version;    /* of the preview to which it belongs */
    uint8_t sha256[32];  /* of the secret */
    uint64_t created_at; /* unix seconds, as all times here */
    uint64_t expires_at; /* from then on it opens nothing */
    uint64_t opened;     /* sessions begun so far; the last one has this number */
    uint64_t used_at;    /* its last use; 0: none */
    uint8_t sessions;    /* the last ones, which stay valid */
    bool once;           /* it begins one session */
    bool read_only;
    bool allow_websocket; /* of read_only */
    char label[STORE_LABEL_MAX + 1];
    char path[STORE_LINK_PATH_MAX + 1]; /* opened after the sign-in; begins with '/' */
    char alias[BOX_ID_MAX + 1];         /* its own host label, without '-'; empty: the preview's host */
} store_link_t;

/* The id of place `place`, with 56 bits of `random`. Never 0. */
uint64_t store_link_id(uint64_t random, unsigned place);
/* Whether the text may be the host label of a link: a valid id without '-' and '_'. */
bool store_link_alias_valid(str_t alias);

/* ---- readers ---- */
MUST_USE store_result_t store_get_link(store_t *store, str_t box, uint16_t port, uint64_t id,
                                       store_link_t *out);
/* The link with this host label. */
MUST_USE store_result_t store_find_link(store_t *store, str_t alias, store_link_t *out);
/* Calls `each` for the links of a box and port (0: all ports; no box: all links) until it returns false, also
 * for those that have ended. `each` must not call the store. */
MUST_USE store_result_t store_each_link(store_t *store, str_t box, uint16_t port,
                                        bool (*each)(const store_link_t *, void *), void *arg);
/* Whether the link opens its preview, which has `version` now. */
static inline bool store_link_lives(const store_link_t *link, uint64_t version, uint64_t now)
{
    return link->version == version && now < link->expires_at;
}

/* ---- the writer; on disk before these return ---- */
/*
 * Adds a link to the preview (link->box, link->port): sets its version, and a place in link->id, whose other
 * bits are random. STORE_NOT_FOUND: no such preview. STORE_TOO_MANY: too many links, of the preview or in
 * all. STORE_CONFLICT: another link has its alias. `now`: links that ended before give their places.
 */
MUST_USE store_result_t store_put_link(store_t *store, store_link_t *link, uint64_t now);
/*
 * Begins a session: fills *out, whose `opened` is the number of the session. STORE_NOT_FOUND: the link does
 * not exist, or has ended. STORE_CONFLICT: it opens once, and has.
 */
MUST_USE store_result_t store_open_link(store_t *store, str_t box, uint16_t port, uint64_t id, uint64_t now,
                                        store_link_t *out);
/* Records the last use of a link, unless a later one is recorded. */
MUST_USE store_result_t store_note_link(store_t *store, str_t box, uint16_t port, uint64_t id,
                                        uint64_t used_at);
/* Removes the link, and fills *out. */
MUST_USE store_result_t store_delete_link(store_t *store, uint64_t id, store_link_t *out);

#endif
