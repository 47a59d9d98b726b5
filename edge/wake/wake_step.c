/*
 * The step in which an exchange waits for its box (wake.h).
 */
#include <assert.h>

#include "arena.h"
#include "exchange_measure.h"
#include "list.h"
#include "step.h"
#include "wake.h"
#include "wake_reply.h"
#include "wake_times.h"
#include "worker.h"

/* ex->wake: the exchange as a waiter, then with its turn at the box. */
struct wake_turn {
    exchange_t *ex;
    wake_waiter_t waiter;
    wake_times_t times;
};

/* The shortest wait for boxes that have their own start time. */
#define LAST_STEP_MS 32

static bool is_ready(const exchange_t *ex, const store_box_t *box)
{
    return store_box_ready(box, ex->preview->port, loop_now(ex->context->loop));
}

bool wake_is_needless(const exchange_t *ex, const store_box_t *box)
{
    return is_ready(ex, box) && store_box_exposes(box, ex->preview->port);
}

static void on_done(wake_waiter_t *waiter, wake_result_t result, const wake_answer_t *answer);

static struct wake_turn *turn_of(exchange_t *ex)
{
    if (ex->wake == NULL) {
        ex->wake = arena_alloc(&ex->arena, sizeof(*ex->wake));
        *ex->wake = (struct wake_turn){.ex = ex, .waiter = {.done = on_done}};
    }
    return ex->wake;
}

const wake_times_t *wake_times(const exchange_t *ex)
{
    return ex->wake != NULL ? &ex->wake->times : NULL;
}

wake_times_t *wake_times_make(exchange_t *ex)
{
    return &turn_of(ex)->times;
}

wake_outcome_t wake_outcome(const exchange_t *ex)
{
    return ex->wake != NULL ? ex->wake->times.outcome : WAKE_OUTCOME_NONE;
}

/* Records the outcome of the wait. */
static void settle(exchange_t *ex, wake_outcome_t outcome)
{
    wake_times_t *times = wake_times_make(ex);
    times->outcome = outcome;
    if (times->began_ms != 0)
        times->waited_ms = (uint32_t)(loop_now(ex->context->loop) - times->began_ms);
}

static void on_done(wake_waiter_t *waiter, wake_result_t result, const wake_answer_t *answer)
{
    struct wake_turn *turn = CONTAINER_OF(struct wake_turn, waiter, waiter);
    exchange_t *ex = turn->ex;
    settle(ex, result == WAKE_OK ? WAKE_OUTCOME_OK : WAKE_OUTCOME_FAILED);
    if (result == WAKE_OK) {
        histogram_add(&exchange_measures(ex)->wake[exchange_protocol(ex)],
                      (uint64_t)turn->times.waited_ms * 1000);
        /* During the wait the credential may have changed, and the box may have moved. */
        if (!exchange_still_allowed(ex))
            return;
        turn->times.resume_ms = answer->resume_ms;
        turn->times.listen_ms = answer->listen_ms;
        turn->times.went_us = (uint32_t)(loop_precise_us() - ex->times.start_us);
        turn->times.woken = true;
        await_complete(ex);
        return;
    }
    if (result != WAKE_GONE || exchange_still_allowed(ex))
        wake_reply_failed(ex, result, answer);
}

/* Maximum duration of the wait in all. */
static uint32_t patience_ms(const exchange_t *ex)
{
    return store_box_start_ms(&ex->box, ex->context->conf->wake.timeout);
}

static void on_timeout(exchange_t *ex);

/* Boxes may have their own start time, and a loop supports few different durations: the wait is a series of
 * powers of two. */
static void wait_on(exchange_t *ex)
{
    uint64_t gone = loop_now(ex->context->loop) - ex->wake->times.began_ms, most = patience_ms(ex);
    uint32_t step = LAST_STEP_MS;
    while (gone < most && (uint64_t)step * 2 <= most - gone)
        step *= 2;
    await_until(ex, step, on_timeout);
}

static void on_timeout(exchange_t *ex)
{
    if (loop_now(ex->context->loop) - ex->wake->times.began_ms < patience_ms(ex)) {
        wait_on(ex);
        return;
    }
    settle(ex, WAKE_OUTCOME_FAILED);
    counter_add(&ex->context->counters->wake_timeouts_total, 1);
    exchange_reply_error(ex, 503, "wake_timeout",
                         "The box was asleep and has not started in time. It is still starting: try again.",
                         WAKE_RETRY_AFTER_S);
}

/* A person does not look at an empty tab any longer: the page waits in place of this request. */
static void on_page_due(exchange_t *ex)
{
    wake_stage_t stage = wake_current(&ex->wake->waiter);
    uint64_t elapsed = wake_elapsed_ms(&ex->wake->waiter);
    settle(ex, WAKE_OUTCOME_PAGE);
    if (exchange_still_allowed(ex))
        wake_reply_page(ex, stage, elapsed);
}

static void set_deadline(exchange_t *ex)
{
    uint32_t page_after = ex->context->conf->wake.page_after, most = patience_ms(ex);
    if (page_after != 0 && page_after < most && wake_reply_is_navigation(ex))
        await_until(ex, page_after, on_page_due);
    else if (ex->box.start_ms != 0)
        wait_on(ex);
    else
        await_until(ex, most, on_timeout);
}

static void leave(exchange_t *ex, await_end_t how)
{
    if (how == AWAIT_RESUMED)
        return; /* the exchange keeps its turn */
    if (wake_outcome(ex) == WAKE_OUTCOME_NONE)
        settle(ex, WAKE_OUTCOME_LEFT);
    wake_turn_end(ex);
}

static const await_source_t source = {.name = "wake", .leave = leave};

step_result_t step_wake(exchange_t *ex)
{
    worker_t *worker = worker_of(ex->context);
    if (ex->box.state != BOX_UNKNOWN && !store_box_exposes(&ex->box, ex->preview->port)) {
        wake_reply_not_exposed(ex);
        return STEP_DONE;
    }
    if (ex->box.provider == PROVIDER_STATIC && ex->box.state == BOX_RUNNING)
        return STEP_NEXT;
    if (is_ready(ex, &ex->box))
        return STEP_NEXT;
    bool again = ex->wake != NULL && ex->wake->times.began_ms != 0;
    if (!again && !wake_rules_pass(ex)) {
        settle(ex, WAKE_OUTCOME_REFUSED);
        return STEP_DONE;
    }
    struct wake_turn *turn = turn_of(ex);
    if (!again) {
        turn->times.began_ms = loop_now(worker->context.loop);
        counter_add(&worker->context.counters->wake_waits_total, 1);
    }
    wake_turn_end(ex); /* the box sleeps again */
    if (!wake_wait(worker->wake_client, &turn->waiter, str_from(ex->preview->id), ex->preview->port,
                   turn->times.began_ms)) {
        counter_add(&worker->context.counters->shed_total, 1);
        exchange_reply_error(ex, 503, "too_many_waiting",
                             "Too many requests wait for sleeping boxes; try again in a few seconds.",
                             WAKE_RETRY_AFTER_S);
        settle(ex, WAKE_OUTCOME_REFUSED);
        return STEP_DONE;
    }
    turn->times.outcome = WAKE_OUTCOME_NONE; /* clears an earlier outcome */
    await_begin(ex, &source);
    if (!again)
        set_deadline(ex);
    return STEP_WAIT;
}

void wake_turn_end(exchange_t *ex)
{
    if (ex->wake != NULL)
        wake_leave(&ex->wake->waiter);
}

/* Adds the duration of the wake, and of the box's answer after it (Server Timing, W3C). The app's own fields
 * stay. */
void wake_response_head(exchange_t *ex)
{
    const wake_times_t *times = wake_times(ex);
    if (times == NULL || !times->woken)
        return;
    uint32_t origin_us =
        ex->times.first_byte_us > times->went_us ? ex->times.first_byte_us - times->went_us : 0;
    fields_add(&ex->arena, &ex->response.fields, FIELD_OTHER, STR("server-timing"),
               str_format(&ex->arena, "resume;dur=%u, listen;dur=%u, origin;dur=%u.%03u", times->resume_ms,
                          times->listen_ms, origin_us / 1000, origin_us % 1000));
}

void wake_restart(exchange_t *ex)
{
    if (ex->wake != NULL)
        ex->wake->times.began_ms = 0;
}
