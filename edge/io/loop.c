/*
 * See loop.h. Timers: one list a duration. Within a list `due` never falls, since all its timers run equally
 * long and the clock does not go back; so only heads can be due, and starting is an append. `soonest` of a
 * list is a lower bound of its head's `due`: stopping a timer does not touch it, so the loop may wake once
 * too early for a list, and corrects the bound then. The durations that find no list share a wheel
 * (timer_wheel.h).
 *
 * Callbacks may start, stop and free anything: due timers first move to a separate list and leave it one by
 * one, and stopping a timer unlinks it from its current list.
 */
#include "loop.h"

#include <assert.h>
#include <errno.h>
#include <time.h>
#include <unistd.h>

#include "alloc.h"
#include "list.h"
#include "loop_internal.h"
#include "str.h"
#include "timer_wheel.h"

/* Durations with lists; each costs a look per turn. */
#define LOOP_DURATIONS 64

typedef struct timer_list {
    list_t timers;
    uint64_t soonest; /* at most the due time of the first timer; UINT64_MAX if it is known to be empty */
} timer_list_t;

/* The turn's clocks; read when first asked for after a wait. */
typedef struct loop_clock {
    bool stale;
    bool held;
    uint64_t now_ms;
    uint64_t wall_us;
    uint64_t skipped_ms;
} loop_clock_t;

struct loop {
    h2o_evloop_t *evloop;
    loop_clock_t *clock; /* separately allocated, since asking a const loop for the time may read it */
    uint32_t durations[LOOP_DURATIONS];
    timer_list_t lists[LOOP_DURATIONS];
    size_t list_count;
    timer_wheel_t *wheel; /* NULL: was not needed yet */
    list_t tasks;
    list_t next_tasks;
    void *shared;
    void (*free_shared)(void *shared);
};

static uint64_t clock_us(clockid_t id)
{
    struct timespec ts;
    int rc = clock_gettime(id, &ts);
    assert(rc == 0);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void clock_refresh(loop_clock_t *clock)
{
    if (!clock->stale || clock->held)
        return;
    clock->stale = false;
    clock->now_ms = clock_us(CLOCK_MONOTONIC) / 1000 + clock->skipped_ms;
    clock->wall_us = clock_us(CLOCK_REALTIME) + clock->skipped_ms * 1000;
}

uint64_t loop_now(const loop_t *loop)
{
    clock_refresh(loop->clock);
    return loop->clock->now_ms;
}

void loop_skip(loop_t *loop, uint64_t ms)
{
    loop_clock_t *clock = loop->clock;
    clock_refresh(clock);
    clock->skipped_ms += ms;
    clock->now_ms += ms;
    clock->wall_us += ms * 1000;
}

void loop_hold(loop_t *loop)
{
    clock_refresh(loop->clock);
    loop->clock->held = true;
}

uint64_t loop_wall_us(const loop_t *loop)
{
    clock_refresh(loop->clock);
    return loop->clock->wall_us;
}

uint64_t loop_precise_us(void)
{
    return clock_us(CLOCK_MONOTONIC);
}

loop_t *loop_new(void)
{
    loop_t *loop = mem_alloc(sizeof(*loop));
    memset(loop, 0, sizeof(*loop));
    loop->evloop = h2o_evloop_create();
    loop->clock = mem_alloc(sizeof(*loop->clock));
    *loop->clock = (loop_clock_t){.stale = true};
    list_init(&loop->tasks);
    list_init(&loop->next_tasks);
    return loop;
}

void loop_free(loop_t **loop)
{
    loop_t *l = *loop;
    if (l == NULL)
        return;
    if (l->shared != NULL)
        l->free_shared(l->shared);
    /* The turn frees the memory of closed sockets. Nothing may be linked to the loop after this. */
    h2o_evloop_run(l->evloop, 0);
    h2o_evloop_destroy(l->evloop);
    free(l->wheel);
    free(l->clock);
    free(l);
    *loop = NULL;
}

h2o_evloop_t *loop_evloop(loop_t *loop)
{
    return loop->evloop;
}

void *loop_shared(const loop_t *loop)
{
    return loop->shared;
}

void loop_set_shared(loop_t *loop, void *shared, void (*free_shared)(void *shared))
{
    assert(loop->shared == NULL && shared != NULL && free_shared != NULL);
    loop->shared = shared;
    loop->free_shared = free_shared;
}

/* ---- timers ---- */

/* The list of a duration; a list without timers is given to a new duration when none is left. NULL: all are
 * in use. */
static timer_list_t *list_of(loop_t *loop, uint32_t ms)
{
    for (size_t i = 0; i < loop->list_count; i++)
        if (loop->durations[i] == ms)
            return &loop->lists[i];
    size_t at = loop->list_count;
    if (at == LOOP_DURATIONS) {
        for (at = 0; at < LOOP_DURATIONS; at++)
            if (list_is_empty(&loop->lists[at].timers))
                break;
        if (at == LOOP_DURATIONS)
            return NULL;
    } else {
        loop->list_count++;
        list_init(&loop->lists[at].timers);
    }
    loop->durations[at] = ms;
    loop->lists[at].soonest = UINT64_MAX;
    return &loop->lists[at];
}

static timer_wheel_t *wheel_of(loop_t *loop)
{
    if (loop->wheel == NULL) {
        loop->wheel = mem_alloc(sizeof(*loop->wheel));
        timer_wheel_init(loop->wheel, loop_now(loop));
    }
    return loop->wheel;
}

void loop_timer_start(loop_t *loop, loop_timer_t *timer, uint32_t ms, void (*expired)(loop_timer_t *))
{
    assert(expired != NULL);
    loop_timer_stop(timer);
    timer_list_t *list = list_of(loop, ms);
    timer->due = loop_now(loop) + ms;
    timer->expired = expired;
    if (list == NULL) {
        timer_wheel_add(wheel_of(loop), timer);
        return;
    }
    if (list_is_empty(&list->timers))
        list->soonest = timer->due;
    list_insert(&list->timers, &timer->link);
}

void loop_timer_stop(loop_timer_t *timer)
{
    if (loop_timer_running(timer))
        list_unlink(&timer->link);
}

bool loop_timer_running(const loop_timer_t *timer)
{
    return timer->link.next != NULL;
}

static loop_timer_t *timer_first(list_t *anchor)
{
    return CONTAINER_OF(loop_timer_t, link, anchor->next);
}

/* Moves a list's due timers to the end of `due` and makes its bound exact. */
static void list_collect(timer_list_t *list, uint64_t now, list_t *due)
{
    list->soonest = UINT64_MAX;
    while (!list_is_empty(&list->timers)) {
        loop_timer_t *timer = timer_first(&list->timers);
        if (timer->due > now) {
            list->soonest = timer->due;
            return;
        }
        list_unlink(&timer->link);
        list_insert(due, &timer->link);
    }
}

/* Merges `from` into `due`; both are in the order of their due times. */
static void merge_due(list_t *due, list_t *from)
{
    list_t *at = due->next;
    while (at != due && !list_is_empty(from)) {
        loop_timer_t *timer = timer_first(from);
        if (CONTAINER_OF(loop_timer_t, link, at)->due <= timer->due) {
            at = at->next;
            continue;
        }
        list_unlink(&timer->link);
        list_insert(at, &timer->link);
    }
    list_insert_all(due, from);
}

static void run_timers(loop_t *loop)
{
    uint64_t now = loop_now(loop);
    list_t due, more;
    list_init(&due);
    list_init(&more);
    for (size_t i = 0; i < loop->list_count; i++) {
        if (loop->lists[i].soonest > now)
            continue;
        list_collect(&loop->lists[i], now, &more);
        merge_due(&due, &more);
    }
    if (loop->wheel != NULL) {
        timer_wheel_collect(loop->wheel, now, &more);
        merge_due(&due, &more);
    }
    /* A timer that is started again from here goes to its list and not to `due`: it waits for another turn.
     */
    while (!list_is_empty(&due)) {
        loop_timer_t *timer = timer_first(&due);
        list_unlink(&timer->link);
        timer->expired(timer);
    }
}

/* ---- tasks ---- */

static void task_queue(list_t *queue, loop_task_t *task, void (*run)(loop_task_t *))
{
    assert(run != NULL);
    task->run = run;
    if (!loop_deferred(task))
        list_insert(queue, &task->link);
}

void loop_defer(loop_t *loop, loop_task_t *task, void (*run)(loop_task_t *))
{
    task_queue(&loop->tasks, task, run);
}

void loop_defer_next(loop_t *loop, loop_task_t *task, void (*run)(loop_task_t *))
{
    task_queue(&loop->next_tasks, task, run);
}

void loop_undefer(loop_task_t *task)
{
    if (loop_deferred(task))
        list_unlink(&task->link);
}

bool loop_deferred(const loop_task_t *task)
{
    return task->link.next != NULL;
}

static void run_tasks(loop_t *loop)
{
    while (!list_is_empty(&loop->tasks)) {
        loop_task_t *task = CONTAINER_OF(loop_task_t, link, loop->tasks.next);
        list_unlink(&task->link);
        task->run(task);
    }
}

/* ---- the turn ---- */

/* `wait`, or less if a timer is due earlier. */
static uint64_t wait_until(uint64_t soonest, uint64_t now, uint64_t wait)
{
    if (soonest <= now)
        return 0;
    return soonest - now < wait ? soonest - now : wait;
}

/* How long the loop may wait: reckoned from the last turn's clock, so that a turn reads it once. */
static int32_t turn_wait(loop_t *loop, int32_t max_wait_ms)
{
    if (!list_is_empty(&loop->tasks))
        return 0;
    uint64_t now = loop_now(loop);
    uint64_t wait = max_wait_ms > 0 ? (uint64_t)max_wait_ms : 0;
    for (size_t i = 0; i < loop->list_count; i++)
        wait = wait_until(loop->lists[i].soonest, now, wait);
    if (loop->wheel != NULL)
        wait = wait_until(timer_wheel_soonest(loop->wheel), now, wait);
    return (int32_t)wait;
}

void loop_turn(loop_t *loop, int32_t max_wait_ms)
{
    list_insert_all(&loop->tasks, &loop->next_tasks);
    int32_t wait = turn_wait(loop, max_wait_ms);
    loop->clock->stale = true;
    /* The only error that can come is EINTR (a signal): then the turn has no sockets to serve. */
    int rc = h2o_evloop_run(loop->evloop, wait);
    assert(rc == 0 || errno == EINTR);
    run_timers(loop);
    run_tasks(loop);
}
