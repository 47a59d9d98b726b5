/*
 * The step of an exchange that waits for its box (wake.h).
 */
#include <assert.h>

#include "steps.h"
#include "wake.h"
#include "worker.h"

/* What is answered while a box starts says when to come again. */
#define RETRY_AFTER_S 5

/* The box runs, and its port was seen to listen or has had its time to begin. */
static bool is_ready(const exchange_t *ex, const store_box_t *box)
{
    if (box->state != BOX_RUNNING)
        return false;
    if (box->settles_at_ms == 0 || loop_wall_us(ex->worker->loop) / 1000 >= box->settles_at_ms)
        return true;
    for (size_t i = 0; i < box->listening_count; i++)
        if (box->listening[i] == ex->preview.port)
            return true;
    return false;
}

static bool is_exposed(const exchange_t *ex, const store_box_t *box)
{
    for (size_t i = 0; i < box->port_count; i++)
        if (box->ports[i] == ex->preview.port)
            return true;
    return box->port_count == 0;
}

bool wake_is_needless(const exchange_t *ex, const store_box_t *box)
{
    return is_ready(ex, box) && is_exposed(ex, box);
}

static void reply_not_exposed(exchange_t *ex)
{
    exchange_reply_error(ex, 502, "port_not_exposed", "This box does not expose this port.", 0);
}

static void reply_failed(exchange_t *ex, const char *code, const wake_answer_t *answer)
{
    const char *sentence = answer->sentence[0] != '\0' ? answer->sentence : "The box could not be woken.";
    size_t n = strlen(sentence) + 1;
    char *copy = h2o_mem_alloc_pool(&ex->arena, n);
    memcpy(copy, sentence, n);
    exchange_reply_error(ex, 503, code, copy, (answer->retry_after_ms + 999) / 1000 + 1);
}

static void on_done(wake_waiter_t *waiter, wake_result_t result, const wake_answer_t *answer)
{
    exchange_t *ex = H2O_STRUCT_FROM_MEMBER(exchange_t, waiter, waiter);
    if (result != WAKE_OK)
        loop_timer_stop(&ex->timer);
    switch (result) {
    case WAKE_OK:
        /* The credential may have changed meanwhile, and the box may be elsewhere. */
        if (!exchange_still_allowed(ex))
            return;
        ex->wake_times.resume_ms = answer->resume_ms;
        ex->wake_times.listen_ms = answer->listen_ms;
        ex->wake_times.woken = true;
        exchange_resume(ex);
        return;
    case WAKE_GONE:
        if (exchange_still_allowed(ex))
            exchange_reply_error(ex, 404, "preview_not_found", "There is no preview at this address.", 0);
        return;
    case WAKE_UNAVAILABLE:
        reply_failed(ex, "provider_unavailable", answer);
        return;
    case WAKE_BUSY:
        exchange_reply_error(ex, 503, "too_many_wakes",
                             "Too many boxes are being woken; try again in a few seconds.", RETRY_AFTER_S);
        return;
    case WAKE_REFUSED:
        reply_not_exposed(ex);
        return;
    case WAKE_FAILED:
    case WAKE_ASLEEP:
        break;
    }
    reply_failed(ex, "wake_failed", answer);
}

static void on_timeout(loop_timer_t *timer)
{
    exchange_t *ex = H2O_STRUCT_FROM_MEMBER(exchange_t, timer, timer);
    wake_leave(&ex->waiter);
    counter_add(&ex->worker->counters->wake_timeouts_total, 1);
    exchange_reply_error(ex, 503, "wake_timeout",
                         "The box was asleep and has not started in time. It goes on starting: try again.",
                         RETRY_AFTER_S);
}

step_result_t step_wake(exchange_t *ex)
{
    worker_t *worker = ex->worker;
    if (ex->box.provider == PROVIDER_STATIC && ex->box.state == BOX_RUNNING)
        return STEP_NEXT;
    if (ex->box.state != BOX_UNKNOWN && !is_exposed(ex, &ex->box)) {
        reply_not_exposed(ex);
        return STEP_DONE;
    }
    if (is_ready(ex, &ex->box)) {
        loop_timer_stop(&ex->timer);
        return STEP_NEXT;
    }
    bool again = ex->wake_began_ms != 0;
    if (!again && !wake_rules_pass(ex))
        return STEP_DONE;
    if (!again) {
        ex->wake_began_ms = loop_now(worker->loop);
        counter_add(&worker->counters->wake_waits_total, 1);
    }
    wake_leave(&ex->waiter); /* it was released, and its box sleeps again */
    ex->waiter.done = on_done;
    if (!wake_wait(worker->wakes, &ex->waiter, str_from(ex->preview.id), ex->preview.port)) {
        counter_add(&worker->counters->shed_total, 1);
        exchange_reply_error(ex, 503, "too_many_waiting",
                             "Too many requests wait for sleeping boxes; try again in a few seconds.",
                             RETRY_AFTER_S);
        return STEP_DONE;
    }
    if (!again)
        loop_timer_start(worker->loop, &ex->timer, worker->conf->wake.timeout, on_timeout);
    return STEP_WAIT;
}

void wake_exchange_answered(exchange_t *ex)
{
    wake_leave(&ex->waiter);
}

void wake_exchange_end(exchange_t *ex)
{
    wake_leave(&ex->waiter);
}
