/*
 * GCRA (ITU-T I.371) on the cells of limit_cells.h. Each admitted cost advances the arrival time,
 * which may be ahead of now by at most the burst. The distance ahead is the debt, so no refill is
 * needed.
 */
#include "limit_cells.h"

#include <assert.h>

/* Longer times count as 2.3 years, so that the sum of two of them and the clock fits into 56 bits. */
#define TIME_MAX (UINT64_C(1) << 53)

/* Maximum stall of a process between reading the clock and charging. A time further ahead than its
 * burst and this belongs to another plan or another clock. */
#define STALL (UINT64_C(1000000000) / LIMIT_UNIT_NS)

/* A plan and a cost in units of 8 ns. */
typedef struct rate {
    uint64_t interval;
    uint64_t burst; /* time in which it is whole again */
    uint64_t cost;
    bool fits; /* the cost is within the burst */
} rate_t;

typedef struct request {
    limit_t *limit;
    unsigned worker;
    const limit_plan_t *plan;
    rate_t rate;
    uint64_t now; /* 8 ns */
    limit_state_t *state;
    limit_ticket_t *ticket;
} request_t;

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static rate_t rate_of(const limit_plan_t *plan, uint32_t cost)
{
    rate_t rate = {.fits = true};
    if (plan->interval_ns == 0)
        return rate;
    uint64_t interval = plan->interval_ns / LIMIT_UNIT_NS + (plan->interval_ns % LIMIT_UNIT_NS != 0);
    rate.interval = least(interval, TIME_MAX);
    uint64_t units = least(plan->burst, TIME_MAX / rate.interval);
    rate.burst = rate.interval * units;
    rate.fits = cost <= units;
    rate.cost = rate.fits ? rate.interval * cost : 0;
    return rate;
}

static uint64_t ms_up(uint64_t time)
{
    return (time * LIMIT_UNIT_NS + 999999) / 1000000;
}

/* ---- one charge ---- */

/* Returns the arrival time as of now. *moved: it differs from the cell's, because the burst is
 * whole, or because the cell's time belongs to another plan or another clock. */
static uint64_t arrival_at(uint64_t arrival, const request_t *request, bool *moved)
{
    uint64_t now = request->now, burst = request->rate.burst;
    *moved = arrival <= now || arrival - now > burst + STALL;
    if (!*moved)
        return arrival;
    return arrival <= now ? now : now + burst;
}

static void fill_state(const request_t *request, uint64_t arrival)
{
    const rate_t *rate = &request->rate;
    uint64_t ahead = arrival - request->now;
    *request->state = (limit_state_t){.remaining = UINT64_MAX};
    if (rate->interval == 0)
        return;
    request->state->remaining = ahead >= rate->burst ? 0 : (rate->burst - ahead) / rate->interval;
    request->state->reset_ms = ms_up(ahead);
}

/* Fills the state of a cell that is not charged. */
static void fill_state_of(const request_t *request, const limit_place_t *place)
{
    uint64_t word = atomic_load(&request->limit->cell[place->index].arrival);
    bool moved, ours = limit_round_of(word) == place->round;
    fill_state(request, arrival_at(ours ? limit_value_of(word) : 0, request, &moved));
}

typedef enum charge { CHARGED, CHARGE_REFUSED, CHARGE_AGAIN } charge_t;

static charge_t refuse(const request_t *request, uint64_t arrival)
{
    fill_state(request, arrival);
    request->state->retry_ms = ms_up(arrival + request->rate.cost - request->now - request->rate.burst);
    return CHARGE_REFUSED;
}

static charge_t charge(const request_t *request, const limit_place_t *place)
{
    limit_cell_t *cell = &request->limit->cell[place->index];
    uint64_t word = atomic_load(&cell->arrival);
    for (int i = 0; i < LIMIT_TRIES; i++) {
        bool moved;
        if (limit_round_of(word) != place->round)
            return CHARGE_AGAIN;
        uint64_t arrival = arrival_at(limit_value_of(word), request, &moved);
        uint64_t next = arrival + request->rate.cost;
        bool refused = request->rate.cost != 0 && next - request->now > request->rate.burst;
        if (refused && !moved)
            return refuse(request, arrival);
        /* A request without cost moves the time to now, so that no process takes the cell on an
         * older reading. A refused request writes the corrected time, which was too far ahead, so
         * that the debt decreases from now on. */
        uint64_t after = limit_time_word(refused ? arrival : next, place->round);
        if (!atomic_compare_exchange_strong(&cell->arrival, &word, after))
            continue;
        if (refused)
            return refuse(request, arrival);
        fill_state(request, next);
        return CHARGED;
    }
    return CHARGE_AGAIN;
}

/* Counts the request in flight and charges it, or does neither. It counts itself before it sums up
 * the others: two simultaneous requests may both be refused, but never exceed the limit. */
static charge_t enter(const request_t *request, const limit_place_t *place, limit_result_t *result)
{
    limit_t *limit = request->limit;
    uint32_t most = request->plan->in_flight;
    charge_t done = CHARGE_REFUSED;
    limit_count_up(limit, request->worker, place->index);
    if (most != 0 && limit_in_flight(limit, place->index) > most) {
        fill_state_of(request, place);
        request->state->retry_ms = 1000;
        *result = LIMIT_IN_FLIGHT;
    } else {
        done = charge(request, place);
        *result = done == CHARGED ? LIMIT_ADMITTED : LIMIT_RATE;
    }
    if (done != CHARGED) {
        limit_count_down(limit, request->worker, place->index);
        return done;
    }
    request->ticket->cell = place->index + 1;
    return done;
}

/* ---- requests ---- */

/* Returns the bucket that identities without a cell share with others of their plan. */
static limit_place_t shared_place(const limit_t *limit, const limit_plan_t *plan)
{
    uint64_t hash = (plan->interval_ns ^ (uint64_t)plan->burst << 40) * UINT64_C(0x9e3779b97f4a7c15);
    return (limit_place_t){limit_cells(limit) + (uint32_t)(hash >> 32) % LIMIT_SHARED, 0};
}

limit_result_t limit_take(limit_t *limit, unsigned worker, const limit_id_t *id, const limit_plan_t *plan,
                          uint32_t cost, uint64_t now_ns, limit_state_t *state, limit_ticket_t *ticket)
{
    const request_t request = {.limit = limit,
                               .worker = worker,
                               .plan = plan,
                               .rate = rate_of(plan, cost),
                               .now = now_ns / LIMIT_UNIT_NS,
                               .state = state,
                               .ticket = ticket};
    uint64_t hash = limit_hash(limit, id);
    limit_place_t place;
    limit_result_t result = LIMIT_RATE;
    charge_t done = CHARGE_AGAIN;
    *ticket = (limit_ticket_t){0};
    if (!request.rate.fits) {
        fill_state(&request, request.now);
        if (limit_cell_find(limit, hash, &place))
            fill_state_of(&request, &place);
        return LIMIT_COST;
    }
    for (int i = 0; i < LIMIT_TRIES && done == CHARGE_AGAIN; i++) {
        if (!limit_cell_get(limit, hash, request.now, &place))
            break;
        done = enter(&request, &place, &result);
    }
    place = shared_place(limit, plan);
    for (int i = 0; i < LIMIT_TRIES && done == CHARGE_AGAIN; i++)
        done = enter(&request, &place, &result);
    if (done == CHARGE_AGAIN) /* every try was lost to another process: refuse, as if the burst was used up */
        (void)refuse(&request, request.now + request.rate.burst);
    return result;
}

void limit_release(limit_t *limit, unsigned worker, limit_ticket_t *ticket)
{
    if (ticket->cell != 0)
        limit_count_down(limit, worker, ticket->cell - 1);
    *ticket = (limit_ticket_t){0};
}

/* ---- keys that the upstream accepted or refused ---- */

bool limit_has(const limit_t *limit, const limit_id_t *id)
{
    limit_place_t place;
    return limit_cell_find(limit, limit_hash(limit, id), &place);
}

void limit_accept(limit_t *limit, const limit_id_t *id, uint64_t now_ns)
{
    limit_place_t place;
    (void)!limit_cell_get(limit, limit_hash(limit, id), now_ns / LIMIT_UNIT_NS, &place);
}

void limit_refuse(limit_t *limit, const limit_id_t *id, uint64_t now_ns, uint32_t for_ms)
{
    uint64_t hash = limit_hash(limit, id), until = now_ns + for_ms * UINT64_C(1000000);
    limit_refused_t *refused = &limit->refused[hash % LIMIT_REFUSED];
    atomic_store(&refused->until_ns, until);
    atomic_store(&refused->folded, hash ^ until);
}

bool limit_is_refused(const limit_t *limit, const limit_id_t *id, uint64_t now_ns)
{
    uint64_t hash = limit_hash(limit, id);
    const limit_refused_t *refused = &limit->refused[hash % LIMIT_REFUSED];
    uint64_t until = atomic_load(&refused->until_ns);
    return until > now_ns && (atomic_load(&refused->folded) ^ until) == hash;
}
