/*
 * See await.h. Steps run only here, so a step runs again only through await_complete. A source's go_on runs
 * only here, too.
 */
#include "await.h"

#include <assert.h>

#include "context.h"
#include "exchange.h"
#include "list.h"
#include "trace.h"

static void go_on(await_t *wait)
{
    assert(wait->state == AWAIT_NONE);
    loop_timer_stop(&wait->deadline);
}

/* Takes STEP_WAIT from a step. True if the wait has completed and the step runs again immediately. */
static bool was_completed(await_t *wait)
{
    assert(wait->state == AWAIT_BEGINNING || wait->state == AWAIT_COMPLETED);
    bool completed = wait->state == AWAIT_COMPLETED;
    wait->state = completed ? AWAIT_NONE : AWAIT_WAITING;
    return completed;
}

/* True if a step runs next: the following one, or the same one again. */
static bool take_result(exchange_t *ex, step_result_t result)
{
    bool over = ex->state != EXCHANGE_STEPS; /* answered, perhaps by the source when the wait began */
    if (!over && result == STEP_WAIT)
        return was_completed(&ex->await);
    if (ex->await.state == AWAIT_HOLDING) { /* the origin left within the step */
        assert(result == STEP_DONE);
        return false;
    }
    go_on(&ex->await);
    assert(over == (result != STEP_NEXT));
    if (over)
        return false;
    ex->step++;
    return true;
}

/* Apart from `run`, which most exchanges pass without a trace. */
static COLD void trace_step(exchange_t *ex)
{
    trace_step_runs(ex->trace, ex->step->name, trace_us(ex->times.start_us, loop_precise_us()));
}

static void run(exchange_t *ex)
{
    do {
        assert(ex->step->run != NULL); /* the last step always answers */
        if (ex->trace != NULL)
            trace_step(ex);
    } while (take_result(ex, ex->step->run(ex)));
    exchange_count(ex);
}

void await_run_steps(exchange_t *ex)
{
    assert(ex->state == EXCHANGE_STEPS && ex->await.state == AWAIT_NONE);
    run(ex);
}

void await_begin(exchange_t *ex, const await_source_t *source)
{
    assert(ex->state == EXCHANGE_STEPS && ex->await.state == AWAIT_NONE);
    ex->await.state = AWAIT_BEGINNING;
    ex->await.source = source;
}

static void on_deadline(loop_timer_t *timer)
{
    await_t *wait = CONTAINER_OF(await_t, deadline, timer);
    exchange_t *ex = CONTAINER_OF(exchange_t, await, wait);
    assert(wait->state == AWAIT_WAITING || wait->state == AWAIT_HOLDING);
    if (wait->state == AWAIT_HOLDING)
        await_complete(ex);
    else
        wait->expired(ex);
}

void await_until(exchange_t *ex, uint32_t ms, void (*expired)(exchange_t *ex))
{
    assert(ex->await.source != NULL && ex->await.state != AWAIT_HOLDING);
    ex->await.expired = expired;
    loop_timer_start(ex->context->loop, &ex->await.deadline, ms, on_deadline);
}

void await_hold(exchange_t *ex, const await_source_t *source, uint32_t ms)
{
    assert(ex->state == EXCHANGE_ORIGIN || ex->state == EXCHANGE_TUNNEL);
    assert(ex->await.state == AWAIT_NONE && source->go_on != NULL);
    ex->await.state = AWAIT_HOLDING;
    ex->await.source = source;
    loop_timer_start(ex->context->loop, &ex->await.deadline, ms, on_deadline);
    exchange_count(ex);
}

/* The source forgets the exchange. */
static void leave(exchange_t *ex, await_end_t how)
{
    const await_source_t *source = ex->await.source;
    ex->await.source = NULL;
    if (source != NULL)
        source->leave(ex, how);
}

void await_complete(exchange_t *ex)
{
    const await_source_t *source = ex->await.source;
    await_state_t state = ex->await.state;
    assert(state == AWAIT_BEGINNING || state == AWAIT_WAITING || state == AWAIT_HOLDING);
    leave(ex, AWAIT_RESUMED);
    ex->await.state = state == AWAIT_BEGINNING ? AWAIT_COMPLETED : AWAIT_NONE;
    if (state == AWAIT_WAITING)
        run(ex);
    else if (state == AWAIT_HOLDING) {
        loop_timer_stop(&ex->await.deadline);
        source->go_on(ex);
    }
}

void await_leave(exchange_t *ex)
{
    ex->await.state = AWAIT_NONE;
    leave(ex, AWAIT_LEFT);
    loop_timer_stop(&ex->await.deadline);
}

const await_source_t *await_source(const exchange_t *ex)
{
    return ex->await.source;
}
