#include "idle_clock.h"

#include <assert.h>
#include <stdlib.h>

#include "hostname.h"
#include "list.h"
#include "name_map.h"

/* A running box that may pause. */
typedef struct idle_box {
    list_t link;
    uint64_t generation;
    uint64_t active_ms;    /* time of its last activity */
    uint64_t requested_ms; /* last request for its pause; 0: none since it was active */
    uint32_t idle_ms;
    char id[BOX_ID_MAX + 1];
} idle_box_t;

struct idle_clock {
    name_map_t by_id; /* idle_box_t */
    list_t all;
};

idle_clock_t *idle_clock_new(void)
{
    idle_clock_t *clock = calloc(1, sizeof(*clock));
    assert(clock != NULL);
    clock->by_id = NAME_MAP(idle_box_t, id);
    list_init(&clock->all);
    return clock;
}

void idle_clock_free(idle_clock_t **clock)
{
    if (*clock == NULL)
        return;
    name_map_clear(&(*clock)->by_id, free);
    free(*clock);
    *clock = NULL;
}

void idle_clock_runs(idle_clock_t *clock, str_t id, uint64_t generation, uint32_t idle_ms, uint64_t now_ms)
{
    assert(idle_ms != 0 && id.n <= BOX_ID_MAX);
    idle_box_t *entry = name_map_find(&clock->by_id, id);
    if (entry == NULL) {
        entry = calloc(1, sizeof(*entry));
        assert(entry != NULL);
        memcpy(entry->id, id.p, id.n);
        name_map_add(&clock->by_id, entry);
        list_insert(&clock->all, &entry->link);
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
    idle_box_t *entry = name_map_find(&clock->by_id, id);
    if (entry == NULL)
        return;
    name_map_remove(&clock->by_id, entry);
    list_unlink(&entry->link);
    free(entry);
}

void idle_clock_active(idle_clock_t *clock, str_t id, uint64_t now_ms)
{
    idle_box_t *entry = name_map_find(&clock->by_id, id);
    if (entry == NULL)
        return;
    entry->active_ms = now_ms;
    entry->requested_ms = 0;
}

void idle_clock_tick(idle_clock_t *clock, uint64_t now_ms, void (*pause)(void *owner, str_t id), void *owner)
{
    for (list_t *at = clock->all.next, *next; at != &clock->all; at = next) {
        next = at->next;
        idle_box_t *entry = CONTAINER_OF(idle_box_t, link, at);
        if (now_ms - entry->active_ms < (uint64_t)entry->idle_ms + IDLE_CLOCK_LATE_MS ||
            (entry->requested_ms != 0 && now_ms - entry->requested_ms < IDLE_CLOCK_AGAIN_MS))
            continue;
        entry->requested_ms = now_ms;
        pause(owner, str_from(entry->id));
    }
}

size_t idle_clock_count(const idle_clock_t *clock)
{
    return clock->by_id.count;
}
