#include "deletion_asker.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/crypto.h>

#include "box_id.h"
#include "deadline.h"
#include "deletion_message.h"
#include "deletion_word.h"
#include "list.h"
#include "process_log.h"
#include "token_file.h"
#include "upstream_fetch.h"

#define GAP_MS        100u
#define FIRST_WAIT_MS 2000u
#define LAST_WAIT_MS  300000u
#define FIRST_STOP_MS 1000u
#define LAST_STOP_MS  60000u
#define TIMEOUT_MS    10000u
#define BODY_MAX      65536u
/* Drop a box that no sweep has named for this long: its deletion is settled. Sweeping a full store takes
 * less. */
#define STALE_MS 300000u

/* A box to be asked about. */
typedef struct ask {
    char id[BOX_ID_MAX + 1];
    uint64_t asked_at_ms, closed_at_ms; /* unix ms */
    uint64_t wanted_ms, due_ms;         /* loop_now */
    uint32_t wait_ms;                   /* before the next question */
} ask_t;

typedef enum asker_state {
    ASKER_OFF,   /* no key */
    ASKER_WAITS, /* for the next question, if any */
    ASKER_ASKS,  /* about asks[0] */
} asker_state_t;

struct deletion_asker {
    loop_t *loop;
    balance_t *balance;
    fetcher_t *fetcher;
    const conf_t *conf;
    deletion_asker_done_t *done;
    void *owner;
    asker_state_t state;
    char key[TOKEN_FILE_MAX + 1];
    ask_t asks[DELETION_ASKER_BOXES];
    size_t count;
    unsigned slot;    /* of the last server */
    uint64_t sent_ms; /* unix ms of the question under way */
    uint64_t free_ms; /* loop_now: the earliest time of the next question */
    uint32_t stop_ms; /* the last pause; 0: the API answers */
    fetch_t *call;
    deadline_t timer;
};

static void set_state(deletion_asker_t *asker, asker_state_t state)
{
    assert((asker->call != NULL) == (state == ASKER_ASKS));
    asker->state = state;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint32_t doubled(uint32_t ms, uint32_t first, uint32_t last)
{
    return ms == 0 ? first : ms < last / 2 ? ms * 2 : last;
}

/* ---- the state of the API ---- */

static void pause_all(deletion_asker_t *asker, uint32_t retry_after, const char *why)
{
    if (asker->stop_ms == 0)
        process_log("controller", "the API cannot be asked what became of deleted boxes: %s", why);
    asker->stop_ms = doubled(asker->stop_ms, FIRST_STOP_MS, LAST_STOP_MS);
    uint64_t asked_ms = retry_after < LAST_WAIT_MS / 1000 ? retry_after * 1000ull : LAST_WAIT_MS;
    asker->free_ms = loop_now(asker->loop) + later(asker->stop_ms, asked_ms);
}

static void go_on(deletion_asker_t *asker)
{
    if (asker->stop_ms != 0)
        process_log("controller", "the API can be asked again what became of deleted boxes");
    asker->stop_ms = 0;
    asker->free_ms = loop_now(asker->loop) + GAP_MS;
}

/* ---- questions ---- */

static void ask_next(deletion_asker_t *asker);

static void drop(deletion_asker_t *asker, size_t i)
{
    asker->asks[i] = asker->asks[--asker->count];
}

static void wait_more(deletion_asker_t *asker, ask_t *ask)
{
    ask->wait_ms = doubled(ask->wait_ms, FIRST_WAIT_MS, LAST_WAIT_MS);
    ask->due_ms = loop_now(asker->loop) + ask->wait_ms;
}

/* A full list drops the box to make room: the next sweeps name it again. */
static void unsettled(deletion_asker_t *asker, bool there)
{
    ask_t *ask = &asker->asks[0];
    uint64_t counts_at_ms = ask->closed_at_ms + DELETION_LIVING_MS + 1;
    if (there && counts_at_ms - asker->sent_ms <= DELETION_LIVING_MS + 1)
        ask->due_ms = loop_now(asker->loop) + (counts_at_ms - asker->sent_ms);
    else if (asker->count == DELETION_ASKER_BOXES)
        drop(asker, 0);
    else
        wait_more(asker, ask);
}

static void settled(deletion_asker_t *asker, uint64_t heard_ms, bool gone)
{
    ask_t ask = asker->asks[0];
    drop(asker, 0);
    asker->done(asker->owner, str_from(ask.id), ask.asked_at_ms, heard_ms, gone);
}

static void take_word(deletion_asker_t *asker, deletion_word_t word)
{
    uint64_t living_ms = asker->sent_ms - DELETION_LIVING_MS;
    if (word == DELETION_WORD_GONE && asker->asks[0].closed_at_ms < asker->sent_ms)
        settled(asker, asker->sent_ms, true);
    else if (word == DELETION_WORD_THERE && asker->asks[0].closed_at_ms < living_ms)
        settled(asker, living_ms, false);
    else
        unsettled(asker, word == DELETION_WORD_THERE);
}

static void on_answer(void *owner, const fetch_result_t *result)
{
    deletion_asker_t *asker = owner;
    char why[64];
    deletion_word_t word = deletion_word(str_from(asker->asks[0].id), result->status, result->body);
    asker->call = NULL;
    set_state(asker, ASKER_WAITS);
    snprintf(why, sizeof(why), "it answers with status %d", result->status);
    if (word == DELETION_WORD_REFUSED)
        pause_all(asker, result->retry_after, result->status != 0 ? why : result->error);
    else
        go_on(asker);
    take_word(asker, word);
    ask_next(asker);
}

/* The next available server after the last one. */
static bool choose(deletion_asker_t *asker, const conf_upstream_t *upstream, balance_server_t *out)
{
    unsigned index = (unsigned)asker->conf->api.upstream_index;
    balance_view_t view;
    for (unsigned i = 1; i <= BALANCE_SERVERS_MAX; i++) {
        unsigned slot = (asker->slot + i) % BALANCE_SERVERS_MAX;
        if (!balance_look(asker->balance, index, slot, loop_now(asker->loop), &view) || !view.up ||
            view.drained || view.ejected_ms != 0 || view.server.index >= upstream->server_count ||
            strcmp(upstream->servers[view.server.index].text, view.server.name) != 0)
            continue;
        asker->slot = slot;
        *out = view.server;
        return true;
    }
    return false;
}

/* False if no server is available. */
static bool ask_first(deletion_asker_t *asker)
{
    static const fetch_handlers_t handlers = {.done = on_answer};
    const conf_upstream_t *upstream = &asker->conf->upstreams[asker->conf->api.upstream_index];
    balance_server_t server;
    upstream_fetch_t request;
    char path[sizeof("/v2/box/") + BOX_ID_MAX];
    snprintf(path, sizeof(path), "/v2/box/%s", asker->asks[0].id); /* a box's id needs no encoding */
    if (!choose(asker, upstream, &server) || !upstream_fetch_init(&request, upstream, &server, path))
        return false;
    request.fetch.api_key = asker->key;
    request.fetch.host = asker->conf->api.hosts[0];
    request.fetch.timeout_ms = TIMEOUT_MS;
    request.fetch.most = BODY_MAX;
    asker->sent_ms = loop_wall_us(asker->loop) / 1000;
    asker->call = fetch_start(asker->fetcher, &request.fetch, &handlers, asker);
    set_state(asker, ASKER_ASKS);
    return true;
}

static void on_time(deadline_t *deadline)
{
    deletion_asker_t *asker = CONTAINER_OF(deletion_asker_t, timer, deadline);
    if (loop_now(asker->loop) > asker->asks[0].wanted_ms + STALE_MS) {
        drop(asker, 0);
    } else if (!ask_first(asker)) {
        pause_all(asker, 0, "no server of its upstream is up");
        wait_more(asker, &asker->asks[0]);
    }
    ask_next(asker);
}

/* Moves the earliest box to the front, and waits for its time. */
static void ask_next(deletion_asker_t *asker)
{
    if (asker->state != ASKER_WAITS)
        return;
    deadline_clear(&asker->timer);
    size_t first = 0;
    for (size_t i = 1; i < asker->count; i++)
        if (asker->asks[i].due_ms < asker->asks[first].due_ms)
            first = i;
    if (asker->count == 0)
        return;
    ask_t earliest = asker->asks[first];
    asker->asks[first] = asker->asks[0];
    asker->asks[0] = earliest;
    deadline_set(asker->loop, &asker->timer, later(earliest.due_ms, asker->free_ms), on_time);
}

void deletion_asker_want(deletion_asker_t *asker, str_t id, uint64_t asked_at_ms, uint64_t closed_at_ms)
{
    uint64_t now = loop_now(asker->loop);
    assert(id.n <= BOX_ID_MAX);
    if (asker->state == ASKER_OFF)
        return;
    size_t i = 0;
    while (i < asker->count && !str_eq(str_from(asker->asks[i].id), id))
        i++;
    if (i == DELETION_ASKER_BOXES)
        return;
    ask_t *ask = &asker->asks[i];
    if (i == asker->count) {
        asker->count++;
        *ask = (ask_t){.due_ms = now};
        memcpy(ask->id, id.p, id.n);
    }
    ask->asked_at_ms = asked_at_ms;
    ask->closed_at_ms = closed_at_ms;
    ask->wanted_ms = now;
    ask_next(asker);
}

/* ---- life ---- */

static void stop(deletion_asker_t *asker)
{
    fetch_cancel(&asker->call);
    deadline_clear(&asker->timer);
    set_state(asker, ASKER_OFF);
    OPENSSL_cleanse(asker->key, sizeof(asker->key));
    asker->stop_ms = 0;
    asker->count = 0;
}

void deletion_asker_set_conf(deletion_asker_t *asker, const conf_t *conf)
{
    const char *path = conf->api.settle_key;
    stop(asker);
    asker->conf = conf;
    if (conf->api.host_count == 0 || path[0] == '\0')
        return;
    if (token_file_read(path, asker->key))
        set_state(asker, ASKER_WAITS);
    else
        process_log("controller", "the API's key for deleted boxes cannot be read from %s", path);
}

deletion_asker_t *deletion_asker_new(loop_t *loop, const conf_t *conf, balance_t *balance,
                                     deletion_asker_done_t *done, void *owner)
{
    deletion_asker_t *asker = calloc(1, sizeof(*asker));
    assert(asker != NULL);
    asker->loop = loop;
    asker->balance = balance;
    asker->fetcher = fetcher_new(loop);
    asker->done = done;
    asker->owner = owner;
    deletion_asker_set_conf(asker, conf);
    return asker;
}

void deletion_asker_free(deletion_asker_t **asker)
{
    deletion_asker_t *a = *asker;
    *asker = NULL;
    if (a == NULL)
        return;
    stop(a);
    fetcher_free(&a->fetcher);
    free(a);
}
