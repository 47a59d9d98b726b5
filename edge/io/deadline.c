/* See deadline.h. */
#include "deadline.h"

#include <assert.h>

#include "list.h"

static void on_step(loop_timer_t *timer);

/* The largest power of two up to `left`; 0 for 0. */
static uint32_t step_of(uint64_t left)
{
    uint32_t step = DEADLINE_STEP_MAX_MS;
    while (step > left)
        step /= 2;
    return step;
}

static void go_on(deadline_t *deadline)
{
    uint64_t now = loop_now(deadline->loop);
    uint64_t left = deadline->at > now ? deadline->at - now : 0;
    loop_timer_start(deadline->loop, &deadline->timer, step_of(left), on_step);
}

static void on_step(loop_timer_t *timer)
{
    deadline_t *deadline = CONTAINER_OF(deadline_t, timer, timer);
    if (loop_now(deadline->loop) < deadline->at)
        go_on(deadline);
    else
        deadline->passed(deadline);
}

void deadline_set(loop_t *loop, deadline_t *deadline, uint64_t at_ms, void (*passed)(deadline_t *))
{
    assert(passed != NULL);
    deadline->loop = loop;
    deadline->at = at_ms;
    deadline->passed = passed;
    go_on(deadline);
}

void deadline_clear(deadline_t *deadline)
{
    loop_timer_stop(&deadline->timer);
}

bool deadline_is_set(const deadline_t *deadline)
{
    return loop_timer_running(&deadline->timer);
}
