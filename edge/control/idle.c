#include "idle.h"

#include <assert.h>
#include <stdlib.h>

#include "idle_clock.h"
#include "list.h"
#include "name_map.h"

#define TICK_MS 1000

struct idle {
    loop_t *loop;
    boxes_t *boxes;
    idle_clock_t *clock;
    loop_timer_t timer;
    /* Boxes active since the last tick, each once. */
    name_map_t active;   /* their ids */
    size_t active_bytes; /* total length of the ids, each with '\n' */
};

/* ---- active boxes ---- */

static void note(idle_t *idle, const char *id)
{
    if (idle->active.count == BOXES_MAX || name_map_find(&idle->active, str_from(id)) != NULL)
        return;
    char *copy = strdup(id);
    assert(copy != NULL);
    name_map_add(&idle->active, copy);
    idle->active_bytes += strlen(id) + 1;
}

static void note_active(idle_t *idle, str_t id)
{
    const store_box_t *box = boxes_find(idle->boxes, id);
    if (box == NULL)
        return; /* a worker may report a box that is gone */
    idle_clock_active(idle->clock, str_from(box->id), loop_now(idle->loop));
    note(idle, box->id);
}

void idle_active(idle_t *idle, str_t ids)
{
    while (ids.n != 0) {
        const char *end = memchr(ids.p, '\n', ids.n);
        size_t n = end != NULL ? (size_t)(end - ids.p) : ids.n;
        note_active(idle, str_make(ids.p, n));
        ids = str_from_offset(ids, end != NULL ? n + 1 : n);
    }
}

void idle_wanted(idle_t *idle, str_t label)
{
    const char *dash = label.n != 0 ? memrchr(label.p, '-', label.n) : NULL;
    if (dash != NULL)
        note_active(idle, str_make(label.p, (size_t)(dash - label.p)));
}

static bool append(void *id, void *arg)
{
    char **at = arg;
    *at = stpcpy(*at, id);
    *(*at)++ = '\n';
    return true;
}

static void hand_on(idle_t *idle)
{
    if (idle->active.count == 0)
        return;
    char *text = malloc(idle->active_bytes + 1), *at = text;
    assert(text != NULL);
    name_map_each(&idle->active, append, &at);
    assert((size_t)(at - text) == idle->active_bytes);
    name_map_clear(&idle->active, free);
    size_t n = idle->active_bytes;
    idle->active_bytes = 0;
    boxes_active(idle->boxes, str_make(text, n));
    free(text);
}

/* ---- idle boxes ---- */

static void pause_box(void *owner, str_t id)
{
    idle_t *idle = owner;
    boxes_request_pause(idle->boxes, id);
}

static void on_tick(loop_timer_t *timer)
{
    idle_t *idle = CONTAINER_OF(idle_t, timer, timer);
    loop_timer_start(idle->loop, timer, TICK_MS, on_tick);
    hand_on(idle);
    idle_clock_tick(idle->clock, loop_now(idle->loop), pause_box, idle);
}

static bool take_box(const store_box_t *box, void *owner)
{
    idle_t *idle = owner;
    bool ours = box->provider == PROVIDER_PROCESS || box->provider == PROVIDER_DOCKER;
    if (ours && box->state == BOX_RUNNING && box->idle_ms != 0 && !box->keep_alive)
        idle_clock_runs(idle->clock, str_from(box->id), box->generation, box->idle_ms, loop_now(idle->loop));
    else
        idle_clock_stops(idle->clock, str_from(box->id));
    return true;
}

static void on_changed(void *owner, const store_box_t *box, const store_box_t *old)
{
    (void)old;
    (void)take_box(box, owner);
}

idle_t *idle_new(loop_t *loop, boxes_t *boxes)
{
    static const boxes_handlers_t handlers = {.changed = on_changed};
    idle_t *idle = calloc(1, sizeof(*idle));
    assert(idle != NULL);
    *idle = (idle_t){.loop = loop, .boxes = boxes, .clock = idle_clock_new()};
    boxes_each(boxes, take_box, idle);
    boxes_subscribe(boxes, &handlers, idle);
    loop_timer_start(loop, &idle->timer, TICK_MS, on_tick);
    return idle;
}

void idle_free(idle_t **idle)
{
    if (*idle == NULL)
        return;
    loop_timer_stop(&(*idle)->timer);
    name_map_clear(&(*idle)->active, free);
    idle_clock_free(&(*idle)->clock);
    free(*idle);
    *idle = NULL;
}
