/* Each upstream has its own fetcher: the fetcher's limit of calls then is per upstream. */
#include "health.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "address.h"
#include "deadline.h"
#include "fetch.h"
#include "list.h"
#include "process_log.h"
#include "upstream_fetch.h"

#define FIRST_MS 1000u
#define WHY_MAX  400

static_assert(BALANCE_SERVERS_MAX <= FETCH_CALLS_MAX, "all servers of an upstream may have a call at once");

typedef enum check_state {
    CHECK_OFF,   /* no server, or no checks */
    CHECK_WAITS, /* for its time */
    CHECK_CALLS, /* a call is under way */
} check_state_t;

/* The checks of one server of the balance. */
typedef struct check {
    health_t *health;
    check_state_t state;
    unsigned slot;
    uint64_t generation;
    uint64_t called_ms;
    deadline_t next;
    fetch_t *call;
    health_count_t count;
} check_t;

struct health {
    loop_t *loop;
    balance_t *balance;
    unsigned index;
    random_source_t *random;
    health_lost_t *lost;
    void *owner;
    const conf_upstream_t *conf; /* NULL: none */
    fetcher_t *fetcher;
    bool hindered;                       /* the log has it: the last check could not be made */
    check_t checks[BALANCE_SERVERS_MAX]; /* by slot */
};

/* ---- results of checks ---- */

bool health_counted(health_count_t *count, bool well, uint32_t rise, uint32_t fall)
{
    if (well == count->up) {
        count->row = 0;
        return false;
    }
    if (++count->row < (well ? rise : fall))
        return false;
    *count = (health_count_t){.up = well};
    return true;
}

uint32_t health_first_ms(uint32_t interval, uint16_t random)
{
    uint64_t most = interval < FIRST_MS ? interval : FIRST_MS;
    return (uint32_t)(most * random / 65536);
}

uint32_t health_next_ms(uint32_t interval, uint16_t random)
{
    uint64_t fifth = interval / 5;
    return (uint32_t)(interval - fifth / 2 + fifth * random / 65536);
}

static uint16_t random16(health_t *health)
{
    uint16_t random;
    random_bytes(health->random, (unsigned char *)&random, sizeof(random));
    return random;
}

/* ---- one server ---- */

static void set_state(check_t *check, check_state_t state)
{
    assert(check->state != state);
    check->state = state;
}

/* The server's view in the balance; false if the slot is empty or has another server. */
static bool look(const check_t *check, balance_view_t *view)
{
    const health_t *health = check->health;
    return balance_look(health->balance, health->index, check->slot, loop_now(health->loop), view) &&
           view->generation == check->generation;
}

static void due(deadline_t *deadline);

static void wait_until(check_t *check, uint64_t at_ms)
{
    set_state(check, CHECK_WAITS);
    deadline_set(check->health->loop, &check->next, at_ms, due);
}

static void log_state(const check_t *check, const char *why)
{
    balance_view_t view;
    char place[ADDRESS_PORT_BYTES];
    if (!look(check, &view))
        return;
    (void)address_port_text(&view.server.address, view.server.port, place);
    const char *name = view.server.name;
    bool same = strcmp(name, place) == 0;
    if (check->count.up)
        process_log(LOG_SERVER_UP, "controller", "upstream %s: server %s%s%s%s is up",
                    check->health->conf->name, name, same ? "" : " (", same ? "" : place, same ? "" : ")");
    else
        process_log(LOG_SERVER_DOWN, "controller", "upstream %s: server %s%s%s%s is down: %s",
                    check->health->conf->name, name, same ? "" : " (", same ? "" : place, same ? "" : ")",
                    why);
}

static void check_later(check_t *check)
{
    health_t *health = check->health;
    uint64_t now = loop_now(health->loop);
    uint64_t next = check->called_ms + health_next_ms(health->conf->health_interval, random16(health));
    wait_until(check, next > now ? next : now);
}

static void hindered(check_t *check, const char *why)
{
    health_t *health = check->health;
    if (!health->hindered)
        process_log(LOG_HEALTH_BLIND, "controller",
                    "upstream %s: its servers cannot be checked, and stay as they are: %s",
                    health->conf->name, why);
    health->hindered = true;
    check_later(check);
}

static void ended(check_t *check, bool well, const char *why)
{
    health_t *health = check->health;
    const conf_upstream_t *conf = health->conf;
    uint64_t now = loop_now(health->loop);
    if (health->hindered)
        process_log(LOG_HEALTH_SEES, "controller", "upstream %s: its servers can be checked again",
                    conf->name);
    health->hindered = false;
    if (health_counted(&check->count, well, conf->health_rise, conf->health_fall)) {
        balance_set_up(health->balance, health->index, check->slot, check->generation, well, now);
        log_state(check, why);
    }
    check_later(check);
}

static void on_done(void *owner, const fetch_result_t *result)
{
    check_t *check = owner;
    char why[WHY_MAX];
    check->call = NULL;
    if (result->ours) {
        hindered(check, result->error);
        return;
    }
    if (result->status == 0)
        snprintf(why, sizeof(why), "%s", result->error);
    else
        snprintf(why, sizeof(why), "GET %.256s answered %d", check->health->conf->health_path,
                 result->status);
    ended(check, result->status >= 200 && result->status <= 399, why);
}

static void start_call(check_t *check, const balance_server_t *server)
{
    static const fetch_handlers_t handlers = {.done = on_done};
    health_t *health = check->health;
    const conf_upstream_t *conf = health->conf;
    upstream_fetch_t request;
    check->called_ms = loop_now(health->loop);
    set_state(check, CHECK_CALLS);
    if (!upstream_fetch_init(&request, conf, server, conf->health_path)) {
        hindered(check, "health_path is too long");
        return;
    }
    request.fetch.timeout_ms = conf->health_timeout;
    request.fetch.most = HEALTH_BODY_MAX;
    check->call = fetch_start(health->fetcher, &request.fetch, &handlers, check);
}

static void stop(check_t *check)
{
    if (check->state == CHECK_OFF)
        return;
    fetch_cancel(&check->call);
    deadline_clear(&check->next);
    set_state(check, CHECK_OFF);
}

static void due(deadline_t *deadline)
{
    check_t *check = CONTAINER_OF(check_t, next, deadline);
    health_t *health = check->health;
    balance_view_t view;
    if (look(check, &view) && view.server.index < health->conf->server_count) {
        start_call(check, &view.server);
        return;
    }
    stop(check);
    if (health->lost != NULL)
        health->lost(health->owner, health->index);
}

static void begin(check_t *check, const balance_view_t *view)
{
    health_t *health = check->health;
    check->generation = view->generation;
    check->count = (health_count_t){.up = view->up};
    wait_until(check,
               loop_now(health->loop) + health_first_ms(health->conf->health_interval, random16(health)));
}

/* ---- all of them ---- */

void health_set(health_t *health, const conf_upstream_t *conf)
{
    bool has_path = conf != NULL && conf->health_path[0] != '\0';
    uint64_t now = loop_now(health->loop);
    health->conf = conf;
    for (unsigned slot = 0; slot < BALANCE_SERVERS_MAX; slot++) {
        check_t *check = &health->checks[slot];
        balance_view_t view;
        bool there = balance_look(health->balance, health->index, slot, now, &view);
        if (!there || !has_path || view.generation != check->generation)
            stop(check);
        if (there && has_path && check->state == CHECK_OFF)
            begin(check, &view);
        else if (there && !has_path && !view.up)
            balance_set_up(health->balance, health->index, slot, view.generation, true, now);
    }
}

health_t *health_new(loop_t *loop, balance_t *balance, unsigned index, random_source_t *random,
                     health_lost_t *lost, void *owner)
{
    health_t *health = calloc(1, sizeof(*health));
    assert(health != NULL);
    health->loop = loop;
    health->balance = balance;
    health->index = index;
    health->random = random;
    health->lost = lost;
    health->owner = owner;
    health->fetcher = fetcher_new(loop);
    for (unsigned slot = 0; slot < BALANCE_SERVERS_MAX; slot++) {
        health->checks[slot].health = health;
        health->checks[slot].slot = slot;
    }
    return health;
}

void health_free(health_t **health)
{
    health_t *h = *health;
    *health = NULL;
    if (h == NULL)
        return;
    for (unsigned slot = 0; slot < BALANCE_SERVERS_MAX; slot++)
        stop(&h->checks[slot]);
    fetcher_free(&h->fetcher);
    free(h);
}
