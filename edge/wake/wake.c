/*
 * See wake.h. A wake exists while it has waiters, or exchanges that it released and that have no answer yet.
 * A box that has just started gets its requests a few at a time, and each answer releases the next request.
 * Otherwise ten thousand waiters would overrun the queue of its listening socket.
 */
#include "wake.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "address.h"
#include "list.h"
#include "name_map.h"
#include "process.h"
#include "random_id.h"
#include "rate.h"
#include "siphash.h"
#include "worker.h"

/* Interval of repeated requests: messages may be lost, and the controller may be a new one. */
#define REPEAT_MS 1000
/* Maximum released exchanges without an answer; and the number that each RELEASE_MS releases in any case,
 * since some answers take long. */
#define RELEASE_OPEN 32
#define RELEASE_MORE 16
#define RELEASE_MS   100

struct wake_request {
    wake_client_t *wakes;
    char label[WAKE_LABEL_MAX + 1];
    uint64_t box_hash;
    list_t link;      /* in wakes->all */
    list_t waiters;   /* for the controller's answer */
    list_t woken;     /* for their turn at the box */
    unsigned open;    /* number of turns in use */
    bool wished;      /* a waiter asks for the wake; otherwise all only watch */
    uint64_t came_ms; /* with `wished`: arrival time of its newest request */
    uint64_t began_ms;
    wake_stage_t stage;
    wake_answer_t answer;
    loop_timer_t release;
};

/* Cells for the rates of clients; clients in one cell share its rate. */
#define CLIENT_CELLS 4096

struct wake_client {
    worker_t *worker;
    siphash_key_t hash_key;
    uint64_t clients[CLIENT_CELLS]; /* rate_take cells */
    channel_t *channel;
    bool given_up;
    name_map_t by_label; /* wake_request_t */
    list_t all;
    loop_timer_t send_request;
};

static wake_request_t *find(wake_client_t *wakes, const char *label)
{
    return name_map_find(&wakes->by_label, str_from(label));
}

/* ---- the request to the controller ---- */

static void send_request(const wake_request_t *wake)
{
    if (wake->wakes->channel != NULL)
        (void)channel_send(
            wake->wakes->channel, PROCESS_WAKE,
            wake_wish_pack(wake->wished ? WAKE_WISH_WAKE : WAKE_WISH_WATCH, wake->wished ? wake->came_ms : 0),
            str_from(wake->label), NULL, 0);
}

static void send_requests(wake_client_t *wakes)
{
    for (list_t *link = wakes->all.next; link != &wakes->all; link = link->next) {
        wake_request_t *wake = CONTAINER_OF(wake_request_t, link, link);
        if (!list_is_empty(&wake->waiters))
            send_request(wake);
    }
}

static void fail_everyone(wake_client_t *wakes);

static void on_repeat(loop_timer_t *timer)
{
    wake_client_t *wakes = CONTAINER_OF(wake_client_t, send_request, timer);
    if (wakes->given_up)
        fail_everyone(wakes);
    else
        send_requests(wakes);
    if (!list_is_empty(&wakes->all))
        loop_timer_start(wakes->worker->context.loop, timer, REPEAT_MS, on_repeat);
}

bool wake_client_rate_allows(wake_client_t *wakes, const struct in6_addr *client)
{
    uint32_t per_minute = wakes->worker->context.conf->wake.per_client;
    uint64_t hash = siphash(&wakes->hash_key, client, address_owner_bytes(client));
    return per_minute == 0 ||
           rate_take(&wakes->clients[hash % CLIENT_CELLS], loop_now(wakes->worker->context.loop),
                     60000 / per_minute + 1, per_minute);
}

/* ---- wakes ---- */

static wake_request_t *add(wake_client_t *wakes, const char *label, str_t id)
{
    static const siphash_key_t key; /* fixed: ids are checked names, and a collision only blurs a bound */
    wake_request_t *wake = calloc(1, sizeof(*wake));
    assert(wake != NULL);
    wake->wakes = wakes;
    (void)snprintf(wake->label, sizeof(wake->label), "%s", label);
    wake->box_hash = siphash(&key, id.p, id.n);
    wake->began_ms = loop_now(wakes->worker->context.loop);
    wake->stage = WAKE_RESUMING;
    list_init(&wake->waiters);
    list_init(&wake->woken);
    name_map_add(&wakes->by_label, wake);
    list_insert(&wakes->all, &wake->link);
    if (!loop_timer_running(&wakes->send_request))
        loop_timer_start(wakes->worker->context.loop, &wakes->send_request, wakes->given_up ? 0 : REPEAT_MS,
                         on_repeat);
    return wake;
}

static void free_if_unused(wake_request_t *wake)
{
    if (!list_is_empty(&wake->waiters) || !list_is_empty(&wake->woken) || wake->open != 0)
        return;
    name_map_remove(&wake->wakes->by_label, wake);
    list_unlink(&wake->link);
    loop_timer_stop(&wake->release);
    free(wake);
}

wake_client_t *wake_client_new(worker_t *worker)
{
    wake_client_t *wakes = calloc(1, sizeof(*wakes));
    assert(wakes != NULL);
    wakes->worker = worker;
    wakes->by_label = NAME_MAP(wake_request_t, label);
    random_bytes(worker->context.random, wakes->hash_key.bytes, sizeof(wakes->hash_key.bytes));
    list_init(&wakes->all);
    return wakes;
}

void wake_client_free(wake_client_t **wakes)
{
    if (*wakes == NULL)
        return;
    assert(list_is_empty(&(*wakes)->all));
    loop_timer_stop(&(*wakes)->send_request);
    free(*wakes);
    *wakes = NULL;
}

void wake_client_set_channel(wake_client_t *wakes, channel_t *channel)
{
    wakes->channel = channel;
    send_requests(wakes);
}

/* ---- waiters ---- */

static void count_waiters(const wake_client_t *wakes, int change)
{
    counters_t *counters = wakes->worker->context.counters;
    if (change > 0)
        counter_add(&counters->wake_waiters, 1);
    else
        counter_sub(&counters->wake_waiters, 1);
}

static void uncount(wake_waiter_t *waiter)
{
    const wake_request_t *wake = waiter->wake;
    if (!waiter->counted)
        return;
    waiter->counted = false;
    count_waiters(wake->wakes, -1);
    shm_waiter_remove(wake->wakes->worker->context.shm, wake->wakes->worker->context.index, wake->box_hash);
}

static bool count_in(const wake_request_t *wake, wake_waiter_t *waiter)
{
    worker_t *worker = wake->wakes->worker;
    const conf_t *conf = worker->context.conf;
    waiter->counted = shm_waiter_add(worker->context.shm, worker->context.index, wake->box_hash,
                                     conf->wake.waiters, conf->wake.waiters_per_box);
    if (waiter->counted)
        count_waiters(wake->wakes, 1);
    return waiter->counted;
}

static void make_label(char label[WAKE_LABEL_MAX + 1], str_t id, uint16_t port)
{
    int n = snprintf(label, WAKE_LABEL_MAX + 1, "%.*s-%u", STR_ARG(id), port);
    assert(n > 0 && n <= WAKE_LABEL_MAX); /* a preview's label fits */
    (void)n;
}

static bool join(wake_client_t *wakes, wake_waiter_t *waiter, str_t id, uint16_t port, wake_wish_t wish,
                 uint64_t came_ms)
{
    bool wished = wish == WAKE_WISH_WAKE;
    char label[WAKE_LABEL_MAX + 1];
    assert(waiter->wake == NULL);
    make_label(label, id, port);
    wake_request_t *wake = find(wakes, label);
    bool first = wake == NULL || list_is_empty(&wake->waiters) || (wished && !wake->wished);
    if (wake == NULL)
        wake = add(wakes, label, id);
    if (!count_in(wake, waiter)) {
        free_if_unused(wake);
        return false;
    }
    if (list_is_empty(&wake->waiters)) { /* the earlier wake is over */
        wake->began_ms = loop_now(wakes->worker->context.loop);
        wake->stage = WAKE_RESUMING;
        wake->wished = false;
        wake->came_ms = 0;
    }
    wake->wished |= wished;
    if (wished && came_ms > wake->came_ms)
        wake->came_ms = came_ms;
    waiter->wake = wake;
    waiter->released = false;
    list_insert(&wake->waiters, &waiter->link);
    if (first)
        send_request(wake);
    return true;
}

bool wake_wait(wake_client_t *wakes, wake_waiter_t *waiter, str_t id, uint16_t port, uint64_t came_ms)
{
    return join(wakes, waiter, id, port, WAKE_WISH_WAKE, came_ms);
}

bool wake_watch(wake_client_t *wakes, wake_waiter_t *waiter, str_t id, uint16_t port)
{
    return join(wakes, waiter, id, port, WAKE_WISH_WATCH, 0);
}

bool wake_goes_on(wake_client_t *wakes, str_t id, uint16_t port)
{
    char label[WAKE_LABEL_MAX + 1];
    make_label(label, id, port);
    wake_request_t *wake = find(wakes, label);
    return wake != NULL && !list_is_empty(&wake->waiters);
}

wake_stage_t wake_current(const wake_waiter_t *waiter)
{
    return waiter->wake->stage;
}

uint64_t wake_elapsed_ms(const wake_waiter_t *waiter)
{
    return loop_now(waiter->wake->wakes->worker->context.loop) - waiter->wake->began_ms;
}

/* ---- the answer ---- */

static void finish(wake_waiter_t *waiter, wake_result_t result, const wake_answer_t *answer)
{
    uncount(waiter);
    list_unlink(&waiter->link);
    if (result == WAKE_OK) {
        waiter->released = true;
        waiter->wake->open++;
    } else {
        waiter->wake = NULL;
    }
    waiter->done(waiter, result, answer);
}

/* Gives turns to waiters: at least `more`, and up to RELEASE_OPEN in use. */
static void release(wake_request_t *wake, unsigned more)
{
    unsigned most = wake->open < RELEASE_OPEN ? RELEASE_OPEN - wake->open : 0;
    if (most < more)
        most = more;
    wake->open++; /* keeps the wake while released exchanges end in their call */
    for (; most > 0 && !list_is_empty(&wake->woken); most--)
        finish(CONTAINER_OF(wake_waiter_t, link, wake->woken.next), WAKE_OK, &wake->answer);
    wake->open--;
}

static void on_release(loop_timer_t *timer)
{
    wake_request_t *wake = CONTAINER_OF(wake_request_t, release, timer);
    release(wake, RELEASE_MORE);
    if (!list_is_empty(&wake->woken))
        loop_timer_start(wake->wakes->worker->context.loop, timer, RELEASE_MS, on_release);
    else
        free_if_unused(wake);
}

void wake_leave(wake_waiter_t *waiter)
{
    wake_request_t *wake = waiter->wake;
    if (wake == NULL)
        return;
    uncount(waiter);
    waiter->wake = NULL;
    if (!waiter->released) {
        list_unlink(&waiter->link);
    } else {
        assert(wake->open > 0);
        wake->open--;
        waiter->released = false;
        /* The timer releases the next waiter, since the caller is still busy with this one. */
        if (!list_is_empty(&wake->woken) && wake->open < RELEASE_OPEN)
            loop_timer_start(wake->wakes->worker->context.loop, &wake->release, 0, on_release);
    }
    free_if_unused(wake);
}

static void fail_all(wake_request_t *wake, wake_result_t result, const wake_answer_t *answer)
{
    list_t leavers;
    list_init(&leavers);
    list_insert_all(&leavers, &wake->waiters);
    wake->open++; /* keeps the wake while `done` changes its waiters */
    while (!list_is_empty(&leavers))
        finish(CONTAINER_OF(wake_waiter_t, link, leavers.next), result, answer);
    wake->open--;
    free_if_unused(wake);
}

/* One wake per call: `done` may end others. */
static bool fail_one(wake_client_t *wakes)
{
    for (list_t *link = wakes->all.next; link != &wakes->all; link = link->next) {
        wake_request_t *wake = CONTAINER_OF(wake_request_t, link, link);
        if (list_is_empty(&wake->waiters))
            continue;
        wake_answer_t answer = {.sentence = "The edge was replaced while this request waited; try again."};
        memcpy(answer.label, wake->label, sizeof(answer.label));
        fail_all(wake, WAKE_UNAVAILABLE, &answer);
        return true;
    }
    return false;
}

static void fail_everyone(wake_client_t *wakes)
{
    while (fail_one(wakes)) {
        /* until no waiter is left */
    }
}

void wake_client_give_up(wake_client_t *wakes)
{
    wakes->given_up = true;
    if (!list_is_empty(&wakes->all))
        loop_timer_start(wakes->worker->context.loop, &wakes->send_request, 0, on_repeat);
}

static void on_woken(wake_client_t *wakes, wake_result_t result, str_t bytes)
{
    wake_answer_t answer;
    if (!wake_answer_read(bytes, &answer))
        return;
    wake_request_t *wake = find(wakes, answer.label);
    if (wake == NULL || list_is_empty(&wake->waiters))
        return;
    if (result != WAKE_OK) {
        fail_all(wake, result, &answer);
        return;
    }
    wake->stage = WAKE_LISTENING;
    wake->answer = answer;
    list_insert_all(&wake->woken, &wake->waiters);
    if (!loop_timer_running(&wake->release))
        loop_timer_start(wakes->worker->context.loop, &wake->release, 0, on_release);
}

/* Waiters get every report, also of the same stage, so that they can show the elapsed time. */
static void on_stage(wake_client_t *wakes, uint64_t value, str_t bytes)
{
    char label[WAKE_LABEL_MAX + 1];
    wake_stage_t stage = wake_stage_of(value);
    uint64_t elapsed = wake_stage_elapsed_ms(value), now = loop_now(wakes->worker->context.loop);
    if (bytes.n > WAKE_LABEL_MAX || stage < WAKE_RESUMING || stage > WAKE_LISTENING)
        return;
    memcpy(label, bytes.p, bytes.n);
    label[bytes.n] = '\0';
    wake_request_t *wake = find(wakes, label);
    if (wake == NULL)
        return;
    wake->stage = stage;
    if (elapsed < now && wake->began_ms > now - elapsed)
        wake->began_ms = now - elapsed; /* waiters of other workers began it earlier */
    for (list_t *link = wake->waiters.next, *next; link != &wake->waiters; link = next) {
        wake_waiter_t *waiter = CONTAINER_OF(wake_waiter_t, link, link);
        next = link->next;
        if (waiter->stage != NULL)
            waiter->stage(waiter, stage);
    }
}

void wake_client_message(wake_client_t *wakes, const ipc_message_t *message)
{
    str_t bytes = str_make(message->bytes, message->len);
    if (message->type == PROCESS_WOKEN)
        on_woken(wakes, (wake_result_t)message->value, bytes);
    else if (message->type == PROCESS_WAKE_STAGE)
        on_stage(wakes, message->value, bytes);
}
