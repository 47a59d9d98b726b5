#include "deletion_poller.h"

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

/* A box whose state the API must show. */
typedef struct box {
    char id[BOX_ID_MAX + 1];
    uint64_t requested_at_ms, closed_at_ms; /* unix ms */
    uint64_t wanted_ms, due_ms;             /* loop_now */
    uint32_t wait_ms;                       /* before the next question */
} polled_box_t;

typedef enum poller_state {
    POLLER_OFF,   /* no key */
    POLLER_WAITS, /* for the next question, if any */
    POLLER_CALLS, /* about boxes[0] */
} poller_state_t;

struct deletion_poller {
    loop_t *loop;
    balance_t *balance;
    const upstreams_t *upstreams;
    fetcher_t *fetcher;
    const conf_t *conf;
    deletion_poller_done_t *done;
    void *owner;
    poller_state_t state;
    char key[TOKEN_FILE_MAX + 1];
    polled_box_t boxes[DELETION_POLLER_BOXES];
    size_t count;
    unsigned slot;    /* of the last server */
    uint64_t sent_ms; /* unix ms of the question under way */
    uint64_t free_ms; /* loop_now: the earliest time of the next question */
    uint32_t stop_ms; /* the last pause; 0: the API answers */
    fetch_t *call;
    deadline_t timer;
};

static void set_state(deletion_poller_t *poller, poller_state_t state)
{
    assert((poller->call != NULL) == (state == POLLER_CALLS));
    poller->state = state;
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

static void pause_all(deletion_poller_t *poller, uint32_t retry_after, const char *why)
{
    if (poller->stop_ms == 0)
        process_log(LOG_DELETIONS_UNKNOWN, "controller", "the API cannot be asked about deleted boxes: %s",
                    why);
    poller->stop_ms = doubled(poller->stop_ms, FIRST_STOP_MS, LAST_STOP_MS);
    uint64_t requested_ms = retry_after < LAST_WAIT_MS / 1000 ? retry_after * 1000ull : LAST_WAIT_MS;
    poller->free_ms = loop_now(poller->loop) + later(poller->stop_ms, requested_ms);
}

static void go_on(deletion_poller_t *poller)
{
    if (poller->stop_ms != 0)
        process_log(LOG_DELETIONS_KNOWN, "controller", "the API can be asked about deleted boxes again");
    poller->stop_ms = 0;
    poller->free_ms = loop_now(poller->loop) + GAP_MS;
}

/* ---- questions ---- */

static void poll_next(deletion_poller_t *poller);

static void drop(deletion_poller_t *poller, size_t i)
{
    poller->boxes[i] = poller->boxes[--poller->count];
}

static void wait_more(deletion_poller_t *poller, polled_box_t *box)
{
    box->wait_ms = doubled(box->wait_ms, FIRST_WAIT_MS, LAST_WAIT_MS);
    box->due_ms = loop_now(poller->loop) + box->wait_ms;
}

/* A full list drops the box to make room: the next sweeps name it again. */
static void unsettled(deletion_poller_t *poller, bool there)
{
    polled_box_t *box = &poller->boxes[0];
    uint64_t counts_at_ms = box->closed_at_ms + DELETION_LIVING_MS + 1;
    if (there && counts_at_ms - poller->sent_ms <= DELETION_LIVING_MS + 1)
        box->due_ms = loop_now(poller->loop) + (counts_at_ms - poller->sent_ms);
    else if (poller->count == DELETION_POLLER_BOXES)
        drop(poller, 0);
    else
        wait_more(poller, box);
}

static void settled(deletion_poller_t *poller, uint64_t reported_ms, bool gone)
{
    polled_box_t box = poller->boxes[0];
    drop(poller, 0);
    poller->done(poller->owner, str_from(box.id), box.requested_at_ms, reported_ms, gone);
}

static void take_word(deletion_poller_t *poller, deletion_word_t word)
{
    uint64_t living_ms = poller->sent_ms - DELETION_LIVING_MS;
    if (word == DELETION_WORD_GONE && poller->boxes[0].closed_at_ms < poller->sent_ms)
        settled(poller, poller->sent_ms, true);
    else if (word == DELETION_WORD_THERE && poller->boxes[0].closed_at_ms < living_ms)
        settled(poller, living_ms, false);
    else
        unsettled(poller, word == DELETION_WORD_THERE);
}

static void on_answer(void *owner, const fetch_result_t *result)
{
    deletion_poller_t *poller = owner;
    char why[64];
    deletion_word_t word = deletion_word(str_from(poller->boxes[0].id), result->status, result->body);
    poller->call = NULL;
    set_state(poller, POLLER_WAITS);
    snprintf(why, sizeof(why), "it answers with status %d", result->status);
    if (word == DELETION_WORD_REFUSED)
        pause_all(poller, result->retry_after, result->status != 0 ? why : result->error);
    else
        go_on(poller);
    take_word(poller, word);
    poll_next(poller);
}

/* The next available server after the last one. It gets the key. */
static bool choose(deletion_poller_t *poller, balance_server_t *out)
{
    unsigned index = (unsigned)poller->conf->api.upstream_index;
    balance_view_t view;
    for (unsigned i = 1; i <= BALANCE_SERVERS_MAX; i++) {
        unsigned slot = (poller->slot + i) % BALANCE_SERVERS_MAX;
        if (!balance_look(poller->balance, index, slot, loop_now(poller->loop), &view) || !view.up ||
            view.drained || view.ejected_ms != 0 || !upstreams_have(poller->upstreams, index, &view.server))
            continue;
        poller->slot = slot;
        *out = view.server;
        return true;
    }
    return false;
}

/* False if no server is available. */
static bool poll_first(deletion_poller_t *poller)
{
    static const fetch_handlers_t handlers = {.done = on_answer};
    const conf_upstream_t *upstream = &poller->conf->upstreams[poller->conf->api.upstream_index];
    balance_server_t server;
    upstream_fetch_t request;
    char path[sizeof("/v2/box/") + BOX_ID_MAX];
    snprintf(path, sizeof(path), "/v2/box/%s", poller->boxes[0].id); /* a box's id needs no encoding */
    if (!choose(poller, &server) || !upstream_fetch_init(&request, upstream, &server, path))
        return false;
    request.fetch.api_key = poller->key;
    request.fetch.host = poller->conf->api.hosts[0];
    request.fetch.timeout_ms = TIMEOUT_MS;
    request.fetch.most = BODY_MAX;
    poller->sent_ms = loop_wall_us(poller->loop) / 1000;
    poller->call = fetch_start(poller->fetcher, &request.fetch, &handlers, poller);
    set_state(poller, POLLER_CALLS);
    return true;
}

static void on_time(deadline_t *deadline)
{
    deletion_poller_t *poller = CONTAINER_OF(deletion_poller_t, timer, deadline);
    if (loop_now(poller->loop) > poller->boxes[0].wanted_ms + STALE_MS) {
        drop(poller, 0);
    } else if (!poll_first(poller)) {
        pause_all(poller, 0, "no server of its upstream is up");
        wait_more(poller, &poller->boxes[0]);
    }
    poll_next(poller);
}

/* Moves the earliest box to the front, and waits for its time. */
static void poll_next(deletion_poller_t *poller)
{
    if (poller->state != POLLER_WAITS)
        return;
    deadline_clear(&poller->timer);
    size_t first = 0;
    for (size_t i = 1; i < poller->count; i++)
        if (poller->boxes[i].due_ms < poller->boxes[first].due_ms)
            first = i;
    if (poller->count == 0)
        return;
    polled_box_t earliest = poller->boxes[first];
    poller->boxes[first] = poller->boxes[0];
    poller->boxes[0] = earliest;
    deadline_set(poller->loop, &poller->timer, later(earliest.due_ms, poller->free_ms), on_time);
}

void deletion_poller_add(deletion_poller_t *poller, str_t id, uint64_t requested_at_ms, uint64_t closed_at_ms)
{
    uint64_t now = loop_now(poller->loop);
    assert(id.n <= BOX_ID_MAX);
    if (poller->state == POLLER_OFF)
        return;
    size_t i = 0;
    while (i < poller->count && !str_eq(str_from(poller->boxes[i].id), id))
        i++;
    if (i == DELETION_POLLER_BOXES)
        return;
    polled_box_t *box = &poller->boxes[i];
    if (i == poller->count) {
        poller->count++;
        *box = (polled_box_t){.due_ms = now};
        memcpy(box->id, id.p, id.n);
    }
    box->requested_at_ms = requested_at_ms;
    box->closed_at_ms = closed_at_ms;
    box->wanted_ms = now;
    poll_next(poller);
}

/* ---- life ---- */

static void stop(deletion_poller_t *poller)
{
    fetch_cancel(&poller->call);
    deadline_clear(&poller->timer);
    set_state(poller, POLLER_OFF);
    OPENSSL_cleanse(poller->key, sizeof(poller->key));
    poller->stop_ms = 0;
    poller->count = 0;
}

void deletion_poller_set_conf(deletion_poller_t *poller, const conf_t *conf)
{
    const char *path = conf->api.settle_key;
    stop(poller);
    poller->conf = conf;
    if (conf->api.host_count == 0 || path[0] == '\0')
        return;
    if (token_file_read(path, poller->key))
        set_state(poller, POLLER_WAITS);
    else
        process_log(LOG_DELETIONS_UNKNOWN, "controller",
                    "the API's key for deleted boxes cannot be read from %s", path);
}

deletion_poller_t *deletion_poller_new(loop_t *loop, const conf_t *conf, balance_t *balance,
                                       const upstreams_t *upstreams, deletion_poller_done_t *done,
                                       void *owner)
{
    deletion_poller_t *poller = calloc(1, sizeof(*poller));
    assert(poller != NULL);
    poller->loop = loop;
    poller->balance = balance;
    poller->upstreams = upstreams;
    poller->fetcher = fetcher_new(loop);
    poller->done = done;
    poller->owner = owner;
    deletion_poller_set_conf(poller, conf);
    return poller;
}

void deletion_poller_free(deletion_poller_t **poller)
{
    deletion_poller_t *a = *poller;
    *poller = NULL;
    if (a == NULL)
        return;
    stop(a);
    fetcher_free(&a->fetcher);
    free(a);
}
