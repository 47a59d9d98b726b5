#include "idle_clock.h"

#include <assert.h>
#include <stdlib.h>

#include "box_id.h"
#include "name_map.h"

/* A running box that may pause. */
typedef struct idle_box {
    uint64_t generation;
    uint64_t active_ms;    /* time of its last activity */
    uint64_t requested_ms; /* last request for its pause; 0: none since it was active */
    uint32_t idle_ms;
    char id[BOX_ID_MAX + 1];
} idle_box_t;

struct idle_clock {
    name_map_t boxes; /* idle_box_t by id */
};

idle_clock_t *idle_clock_new(void)
{
    idle_clock_t *clock = calloc(1, sizeof(*clock));
    assert(clock != NULL);
    clock->boxes = NAME_MAP(idle_box_t, id);
    return clock;
}

void idle_clock_free(idle_clock_t **clock)
{
    if (*clock == NULL)
        return;
    name_map_clear(&(*clock)->boxes, free);
    free(*clock);
    *clock = NULL;
}

void idle_clock_runs(idle_clock_t *clock, str_t id, uint64_t generation, uint32_t idle_ms, uint64_t now_ms)
{
    assert(idle_ms != 0 && id.n <= BOX_ID_MAX);
    idle_box_t *entry = name_map_find(&clock->boxes, id);
    if (entry == NULL) {
        entry = calloc(1, sizeof(*entry));
        assert(entry != NULL);
        memcpy(entry->id, id.p, id.n);
        name_map_add(&clock->boxes, entry);
        entry->generation = generation;
        entry->active_ms = now_ms;
    }
    if (entry->generation != generation) {
        entry->generation = generation;
        entry->active_ms = now_ms;
        entry->requested_ms = 0;
    }
    entry->idle_ms = idle_ms;
}

void idle_clock_stops(idle_clock_t *clock, str_t id)
{
    idle_box_t *entry = name_map_find(&clock->boxes, id);
    if (entry == NULL)
        return;
    name_map_remove(&clock->boxes, entry);
    free(entry);
}

void idle_clock_active(idle_clock_t *clock, str_t id, uint64_t now_ms)
{
    idle_box_t *entry = name_map_find(&clock->boxes, id);
    if (entry == NULL)
        return;
    entry->active_ms = now_ms;
    entry->requested_ms = 0;
}

typedef struct tick {
    uint64_t now_ms;
    void (*pause)(void *owner, str_t id);
    void *owner;
} tick_t;

static bool tick_one(void *item, void *arg)
{
    idle_box_t *entry = item;
    const tick_t *tick = arg;
    if (tick->now_ms - entry->active_ms < (uint64_t)entry->idle_ms + IDLE_CLOCK_LATE_MS ||
        (entry->requested_ms != 0 && tick->now_ms - entry->requested_ms < IDLE_CLOCK_AGAIN_MS))
        return true;
    entry->requested_ms = tick->now_ms;
    tick->pause(tick->owner, str_from(entry->id));
    return true;
}

void idle_clock_tick(idle_clock_t *clock, uint64_t now_ms, void (*pause)(void *owner, str_t id), void *owner)
{
    tick_t tick = {.now_ms = now_ms, .pause = pause, .owner = owner};
    name_map_each(&clock->boxes, tick_one, &tick);
}

size_t idle_clock_count(const idle_clock_t *clock)
{
    return clock->boxes.count;
}
