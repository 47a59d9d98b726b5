#include "traffic.h"

#include <assert.h>

#include "api.h"
#include "client.h"
#include "list.h"
#include "process.h"
#include "random_id.h"
#include "space_saving.h"
#include "worker.h"

/* Seconds after which an addition counts half for the choice of the names with an entry. */
#define HALVE_TICKS 10
/* Figures at the ends of the seconds of the window, and at its beginning. */
#define SNAPSHOTS (TRAFFIC_WINDOW_S + 1)
/* The slot of all requests, behind those of the entries. */
#define ALL TRAFFIC_NAMES_MAX

typedef struct slot {
    traffic_figures_t ended;           /* of exchanges that have ended */
    uint64_t open_in, open_out;        /* bytes of the open ones at the last tick */
    uint64_t open;                     /* how many those are */
    traffic_figures_t past[SNAPSHOTS]; /* `ended` with the bytes of the open ones, at the last ticks */
    uint64_t approximate_until;        /* tick; the name took the entry of another one */
    bool fresh;                        /* its open exchanges were counted to nobody before */
} slot_t;

/* One way to count. */
typedef struct tally {
    space_saving_t *names; /* NULL: does not count */
    slot_t *slots;         /* TRAFFIC_NAMES_MAX + 1 */
    uint64_t ticks;        /* since it began to count */
    uint64_t tick_us[SNAPSHOTS];
    uint64_t asked_us; /* the time of the last question */
} tally_t;

struct traffic {
    context_t *context;
    unsigned counting; /* tallies */
    tally_t tallies[TRAFFIC_BYS];
    loop_timer_t timer;
};

/* ---- names ---- */

typedef struct name {
    char bytes[SPACE_SAVING_NAME_MAX + 1];
} name_t;

/* The name of the exchange; empty: it has none. */
static str_t name_of(const exchange_t *ex, traffic_by_t by, name_t *out)
{
    int n = 0;
    switch (by) {
    case TRAFFIC_BY_BOX:
        return ex->routed ? str_from(ex->preview->id) : STR("");
    case TRAFFIC_BY_PREVIEW:
        if (ex->routed)
            n = snprintf(out->bytes, sizeof(out->bytes), "%s-%u", ex->preview->id, ex->preview->port);
        return str_make(out->bytes, (size_t)n);
    case TRAFFIC_BY_KEY:
        return ex->api != NULL ? ex->api->key_name : STR("");
    case TRAFFIC_BY_UPSTREAM:
        return ex->api != NULL ? str_from(ex->api->upstream->name) : STR("");
    }
    return STR("");
}

/* An entry got another name. */
static void begin_slot(tally_t *tally, unsigned entry)
{
    slot_t *slot = &tally->slots[entry];
    bool took = space_saving_error(tally->names, entry) != 0;
    *slot = (slot_t){.fresh = took || tally->ticks == 0,
                     .approximate_until = took ? tally->ticks + SNAPSHOTS : 0};
}

/* ---- counting ---- */

static void count_into(traffic_figures_t *figures, const exchange_t *ex, uint64_t took_us)
{
    bool timed = !ex->response.tunnel && ex->status != 0;
    figures->requests++;
    figures->errors += ex->status >= 500 || ex->end == EXCHANGE_END_CUT;
    figures->own_errors += ex->local_code != NULL && ex->status >= 400;
    figures->request_bytes += ex->request_bytes;
    figures->response_bytes += ex->response_bytes;
    if (!timed)
        return;
    figures->latency_us += took_us;
    figures->latencies[traffic_latency_bucket(took_us)]++;
}

static void count(tally_t *tally, traffic_by_t by, const exchange_t *ex, uint64_t took_us)
{
    name_t text;
    bool fresh;
    str_t name = name_of(ex, by, &text);
    count_into(&tally->slots[ALL].ended, ex, took_us);
    if (name.n == 0 || name.n > SPACE_SAVING_NAME_MAX)
        return;
    unsigned entry = space_saving_add(tally->names, name, &fresh);
    if (fresh)
        begin_slot(tally, entry);
    count_into(&tally->slots[entry].ended, ex, took_us);
}

void traffic_end(exchange_t *ex)
{
    traffic_t *traffic = worker_of(ex->context)->traffic;
    if (traffic == NULL || traffic->counting == 0 || ex->internal || ex->times.start_us == 0)
        return;
    uint64_t now_us = loop_precise_us();
    uint64_t took_us = now_us > ex->times.start_us ? now_us - ex->times.start_us : 0;
    for (unsigned by = 0; by < TRAFFIC_BYS; by++)
        if (traffic->tallies[by].names != NULL)
            count(&traffic->tallies[by], (traffic_by_t)by, ex, took_us);
}

/* ---- each second ---- */

static void add_open(slot_t *slot, const exchange_t *ex)
{
    slot->open++;
    slot->open_in += ex->request_bytes;
    slot->open_out += ex->response_bytes;
}

/* The bytes of open exchanges are part of the figures, so that long responses and tunnels show while they
 * last. An open exchange gives its name an entry only if there is room. */
static void count_open(tally_t *tally, traffic_by_t by, const context_t *context)
{
    size_t looked = 0;
    for (unsigned i = 0; i <= ALL; i++)
        tally->slots[i].open = tally->slots[i].open_in = tally->slots[i].open_out = 0;
    for (const list_t *link = context->exchanges.next;
         link != &context->exchanges && looked < TRAFFIC_OPEN_MAX; link = link->next, looked++) {
        const exchange_t *ex = CONTAINER_OF(exchange_t, in_context, link);
        name_t text;
        bool fresh;
        if (ex->internal || ex->times.start_us == 0)
            continue;
        add_open(&tally->slots[ALL], ex);
        str_t name = name_of(ex, by, &text);
        if (name.n == 0 || name.n > SPACE_SAVING_NAME_MAX)
            continue;
        unsigned entry = space_saving_touch(tally->names, name, &fresh);
        if (fresh)
            begin_slot(tally, entry);
        if (entry != SPACE_SAVING_NONE)
            add_open(&tally->slots[entry], ex);
    }
}

static void take_snapshot(slot_t *slot, uint64_t tick)
{
    traffic_figures_t *now = &slot->past[tick % SNAPSHOTS];
    if (slot->fresh) /* earlier bytes of its open exchanges belong to no second of the window */
        for (unsigned i = 0; i < SNAPSHOTS; i++)
            slot->past[i] =
                (traffic_figures_t){.request_bytes = slot->open_in, .response_bytes = slot->open_out};
    slot->fresh = false;
    *now = slot->ended;
    now->request_bytes += slot->open_in;
    now->response_bytes += slot->open_out;
}

static void tick_tally(tally_t *tally, traffic_by_t by, const context_t *context, uint64_t now_us)
{
    count_open(tally, by, context);
    tally->tick_us[tally->ticks % SNAPSHOTS] = now_us;
    for (unsigned i = 0; i < space_saving_used(tally->names); i++)
        take_snapshot(&tally->slots[i], tally->ticks);
    take_snapshot(&tally->slots[ALL], tally->ticks);
    if (++tally->ticks % HALVE_TICKS == 0)
        space_saving_halve(tally->names);
}

static void end_tally(traffic_t *traffic, tally_t *tally)
{
    space_saving_free(&tally->names);
    free(tally->slots);
    *tally = (tally_t){.names = NULL};
    traffic->counting--;
}

void traffic_tick(traffic_t *traffic, uint64_t now_us)
{
    for (unsigned by = 0; by < TRAFFIC_BYS; by++) {
        tally_t *tally = &traffic->tallies[by];
        if (tally->names == NULL)
            continue;
        if (now_us - tally->asked_us >= TRAFFIC_WATCH_MS * 1000ull)
            end_tally(traffic, tally);
        else
            tick_tally(tally, (traffic_by_t)by, traffic->context, now_us);
    }
}

static void on_tick(loop_timer_t *timer)
{
    traffic_t *traffic = CONTAINER_OF(traffic_t, timer, timer);
    traffic_tick(traffic, loop_precise_us());
    if (traffic->counting != 0)
        loop_timer_start(traffic->context->loop, timer, TRAFFIC_TICK_MS, on_tick);
}

static void begin_tally(traffic_t *traffic, traffic_by_t by, uint64_t now_us)
{
    tally_t *tally = &traffic->tallies[by];
    uint64_t seed[2] = {0};
    if (traffic->context->random != NULL)
        random_bytes(traffic->context->random, (unsigned char *)seed, sizeof(seed));
    tally->names = space_saving_new(TRAFFIC_NAMES_MAX, seed);
    tally->slots = calloc(TRAFFIC_NAMES_MAX + 1, sizeof(slot_t));
    assert(tally->slots != NULL);
    tally->slots[ALL].fresh = true;
    traffic->counting++;
    tick_tally(tally, by, traffic->context, now_us);
    if (!loop_timer_running(&traffic->timer))
        loop_timer_start(traffic->context->loop, &traffic->timer, TRAFFIC_TICK_MS, on_tick);
}

/* ---- answers ---- */

static void subtract(traffic_figures_t *from, const traffic_figures_t *what)
{
    from->requests -= what->requests;
    from->errors -= what->errors;
    from->own_errors -= what->own_errors;
    from->request_bytes -= what->request_bytes;
    from->response_bytes -= what->response_bytes;
    from->latency_us -= what->latency_us;
    for (unsigned i = 0; i < TRAFFIC_LATENCIES; i++)
        from->latencies[i] -= what->latencies[i];
}

/* The figures of the window. */
static traffic_row_t row_of(const tally_t *tally, unsigned entry)
{
    const slot_t *slot = &tally->slots[entry];
    uint64_t last = tally->ticks - 1, first = last < TRAFFIC_WINDOW_S ? 0 : last - TRAFFIC_WINDOW_S;
    traffic_row_t row = {.name = entry == ALL ? STR("") : space_saving_name(tally->names, entry),
                         .approximate = entry != ALL && slot->approximate_until > last,
                         .full = space_saving_is_full(tally->names),
                         .window_us = tally->tick_us[last % SNAPSHOTS] - tally->tick_us[first % SNAPSHOTS],
                         .open = slot->open,
                         .figures = slot->past[last % SNAPSHOTS]};
    subtract(&row.figures, &slot->past[first % SNAPSHOTS]);
    return row;
}

void traffic_answer(traffic_t *traffic, traffic_by_t by, uint64_t now_us, channel_t *channel, uint64_t number)
{
    tally_t *tally = &traffic->tallies[by];
    char bytes[IPC_BYTES_MAX] = {TRAFFIC_PART_ROWS};
    size_t used = 1;
    if (tally->names == NULL)
        begin_tally(traffic, by, now_us);
    tally->asked_us = now_us;
    for (unsigned i = 0; i <= space_saving_used(tally->names); i++) {
        traffic_row_t row = row_of(tally, i < space_saving_used(tally->names) ? i : ALL);
        if (sizeof(bytes) - used < TRAFFIC_ROW_BYTES) {
            (void)channel_send(channel, PROCESS_TRAFFIC, number, str_make(bytes, used), NULL, 0);
            used = 1;
        }
        used += traffic_row_write(&row, bytes + used);
    }
    (void)channel_send(channel, PROCESS_TRAFFIC, number, str_make(bytes, used), NULL, 0);
}

bool traffic_counts(const traffic_t *traffic)
{
    return traffic->counting != 0;
}

traffic_t *traffic_new(context_t *context)
{
    traffic_t *traffic = calloc(1, sizeof(*traffic));
    assert(traffic != NULL);
    traffic->context = context;
    return traffic;
}

void traffic_free(traffic_t **traffic)
{
    if (*traffic == NULL)
        return;
    loop_timer_stop(&(*traffic)->timer);
    for (unsigned by = 0; by < TRAFFIC_BYS; by++)
        if ((*traffic)->tallies[by].names != NULL)
            end_tally(*traffic, &(*traffic)->tallies[by]);
    free(*traffic);
    *traffic = NULL;
}
