#include "idle_clock.h"

#include <assert.h>
#include <search.h>
#include <stdlib.h>

#include <h2o/linklist.h>
#include <h2o/memory.h>

#include "hostname.h"

/* A box that runs and may be paused. */
typedef struct idle_box {
    h2o_linklist_t link;
    uint64_t generation;
    uint64_t active_ms; /* when it was last */
    uint64_t asked_ms;  /* when its pause was last asked for; 0: not since it was active */
    uint32_t idle_ms;
    char id[BOX_ID_MAX + 1];
} idle_box_t;

struct idle_clock {
    void *tree; /* tsearch: idle_box_t by id */
    h2o_linklist_t all;
    size_t count;
};

idle_clock_t *idle_clock_new(void)
{
    idle_clock_t *clock = calloc(1, sizeof(*clock));
    assert(clock != NULL);
    h2o_linklist_init_anchor(&clock->all);
    return clock;
}

void idle_clock_free(idle_clock_t **clock)
{
    if (*clock == NULL)
        return;
    tdestroy((*clock)->tree, free);
    free(*clock);
    *clock = NULL;
}

static int compare(const void *a, const void *b)
{
    const idle_box_t *x = a, *y = b;
    return strcmp(x->id, y->id);
}

static void set_id(idle_box_t *entry, str_t id)
{
    memcpy(entry->id, id.p, id.n);
    entry->id[id.n] = '\0';
}

static idle_box_t *find(const idle_clock_t *clock, str_t id)
{
    idle_box_t key;
    if (id.n > BOX_ID_MAX)
        return NULL;
    set_id(&key, id);
    idle_box_t *const *found = tfind(&key, &clock->tree, compare);
    return found != NULL ? *found : NULL;
}

void idle_clock_runs(idle_clock_t *clock, str_t id, uint64_t generation, uint32_t idle_ms, uint64_t now_ms)
{
    assert(idle_ms != 0 && id.n <= BOX_ID_MAX);
    idle_box_t *entry = find(clock, id);
    if (entry == NULL) {
        entry = calloc(1, sizeof(*entry));
        assert(entry != NULL);
        set_id(entry, id);
        if (tsearch(entry, &clock->tree, compare) == NULL)
            abort();
        h2o_linklist_insert(&clock->all, &entry->link);
        clock->count++;
        entry->generation = generation;
        entry->active_ms = now_ms;
    }
    if (entry->generation != generation) {
        entry->generation = generation;
        entry->active_ms = now_ms;
        entry->asked_ms = 0;
    }
    entry->idle_ms = idle_ms;
}

void idle_clock_stops(idle_clock_t *clock, str_t id)
{
    idle_box_t *entry = find(clock, id);
    if (entry == NULL)
        return;
    (void)tdelete(entry, &clock->tree, compare);
    h2o_linklist_unlink(&entry->link);
    clock->count--;
    free(entry);
}

void idle_clock_active(idle_clock_t *clock, str_t id, uint64_t now_ms)
{
    idle_box_t *entry = find(clock, id);
    if (entry == NULL)
        return;
    entry->active_ms = now_ms;
    entry->asked_ms = 0;
}

void idle_clock_tick(idle_clock_t *clock, uint64_t now_ms, void (*pause)(void *owner, str_t id), void *owner)
{
    for (h2o_linklist_t *at = clock->all.next, *next; at != &clock->all; at = next) {
        next = at->next;
        idle_box_t *entry = H2O_STRUCT_FROM_MEMBER(idle_box_t, link, at);
        if (now_ms - entry->active_ms < (uint64_t)entry->idle_ms + IDLE_CLOCK_LATE_MS ||
            (entry->asked_ms != 0 && now_ms - entry->asked_ms < IDLE_CLOCK_AGAIN_MS))
            continue;
        entry->asked_ms = now_ms;
        pause(owner, str_from(entry->id));
    }
}

size_t idle_clock_count(const idle_clock_t *clock)
{
    return clock->count;
}
