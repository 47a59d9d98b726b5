#include "links.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "link_message.h"
#include "list.h"
#include "preview_client.h"
#include "rate.h"
#include "worker.h"

/* A power of two. */
#define LINKS_CACHED 256
/* Sessions of one link on one worker: a burst of BEGIN_BURST, then one every BEGIN_INTERVAL_MS. Links in one
 * cell share its rate. */
#define BEGIN_BURST       32
#define BEGIN_INTERVAL_MS 1000
/* Of one call of links_report. */
#define NOTES_AT_ONCE 16

/* A record, valid while the epoch equals its value from before the read of the store. */
typedef struct links_entry {
    uint64_t id; /* 0: empty */
    uint64_t epoch;
    uint64_t version;
    uint64_t expires_at;
    uint64_t opened;
    uint64_t used_at;  /* here; 0: not used */
    uint64_t noted_at; /* the last use that the controller got */
    uint16_t port;
    uint8_t sessions;
    bool read_only;
    bool allow_websocket;
    char box[BOX_ID_MAX + 1];
} links_entry_t;

struct links {
    store_t *store;
    const _Atomic uint64_t *epoch;
    size_t reported; /* the next entry of links_report */
    links_entry_t cached[LINKS_CACHED];
    uint64_t begun[LINKS_CACHED]; /* rate_take cells */
};

links_t *links_new(store_t *store, const _Atomic uint64_t *epoch)
{
    links_t *links = calloc(1, sizeof(*links));
    assert(links != NULL);
    links->store = store;
    links->epoch = epoch;
    return links;
}

void links_free(links_t **links)
{
    free(*links);
    *links = NULL;
}

static uint64_t now_unix(const exchange_t *ex)
{
    return loop_wall_us(ex->context->loop) / 1000000;
}

/* Ids are random. The lowest byte is a place, which many share. */
static size_t cell_of(uint64_t id)
{
    return (id >> 8 ^ id) % LINKS_CACHED;
}

static links_entry_t *entry_of(links_t *links, uint64_t id)
{
    return &links->cached[cell_of(id)];
}

bool links_take(exchange_t *ex, uint64_t id)
{
    links_t *links = worker_of(ex->context)->links;
    return rate_take(&links->begun[cell_of(id)], loop_now(ex->context->loop), BEGIN_INTERVAL_MS, BEGIN_BURST);
}

static store_result_t read_entry(links_t *links, const store_preview_t *preview, uint64_t id, uint64_t epoch)
{
    store_link_t link;
    links_entry_t *entry = entry_of(links, id);
    bool same = entry->id == id;
    store_result_t result = store_get_link(links->store, str_from(preview->id), preview->port, id, &link);
    if (result != STORE_OK) {
        entry->id = same ? 0 : entry->id;
        return result;
    }
    *entry = (links_entry_t){.id = id,
                             .epoch = epoch,
                             .version = link.version,
                             .expires_at = link.expires_at,
                             .opened = link.opened,
                             .used_at = same ? entry->used_at : 0,
                             .noted_at = same ? entry->noted_at : link.used_at,
                             .port = link.port,
                             .sessions = link.sessions,
                             .read_only = link.read_only,
                             .allow_websocket = link.allow_websocket};
    memcpy(entry->box, link.box, sizeof(entry->box));
    return STORE_OK;
}

/* The record, also if it has ended. A session with a later number than the record is new here: its record is
 * read again. NULL: none, or it cannot be read (*result). */
static links_entry_t *find(links_t *links, const store_preview_t *preview, uint64_t id, uint64_t number,
                           store_result_t *result)
{
    uint64_t epoch = atomic_load_explicit(links->epoch, memory_order_acquire);
    links_entry_t *entry = entry_of(links, id);
    *result = STORE_OK;
    if (entry->id != id || entry->epoch != epoch || entry->opened < number)
        *result = read_entry(links, preview, id, epoch);
    return *result == STORE_OK ? entry : NULL;
}

static bool lives(const links_entry_t *entry, const store_preview_t *preview, uint64_t number, uint64_t now)
{
    return entry->version == preview->version && now < entry->expires_at && number <= entry->opened &&
           entry->opened - number < entry->sessions;
}

links_result_t links_judge(exchange_t *ex, const session_link_t *session, link_use_t *out)
{
    store_result_t result;
    links_t *links = worker_of(ex->context)->links;
    links_entry_t *entry = find(links, ex->preview, session->link, session->number, &result);
    uint64_t now = now_unix(ex);
    if (entry == NULL)
        return result == STORE_NOT_FOUND ? LINKS_ENDED : LINKS_UNKNOWN;
    if (!lives(entry, ex->preview, session->number, now))
        return LINKS_ENDED;
    entry->used_at = now;
    *out = (link_use_t){.id = session->link,
                        .number = session->number,
                        .expires_at = entry->expires_at,
                        .read_only = entry->read_only,
                        .allow_websocket = entry->allow_websocket};
    return LINKS_LIVE;
}

bool links_still_open(const exchange_t *ex)
{
    store_result_t result;
    if (ex->link == NULL)
        return true;
    links_entry_t *entry =
        find(worker_of(ex->context)->links, ex->preview, ex->link->id, ex->link->number, &result);
    if (entry == NULL)
        return result != STORE_NOT_FOUND;
    return lives(entry, ex->preview, ex->link->number, now_unix(ex));
}

void links_report(worker_t *worker)
{
    links_t *links = worker->links;
    unsigned sent = 0;
    for (size_t i = 0; i < LINKS_CACHED && sent < NOTES_AT_ONCE; i++) {
        links_entry_t *entry = &links->cached[links->reported++ % LINKS_CACHED];
        if (entry->id == 0 || entry->used_at < entry->noted_at + LINKS_NOTE_S)
            continue;
        link_call_t call = {
            .op = LINK_NOTE, .link = entry->id, .used_at = entry->used_at, .port = entry->port};
        memcpy(call.box, entry->box, sizeof(call.box));
        if (!preview_client_note_link(worker->preview_client, &call))
            return;
        entry->noted_at = entry->used_at;
        sent++;
    }
}
