/*
 * Containers and their boxes: selects the container of a box that counts, and reports it. See
 * docker_internal.h.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "alloc.h"
#include "docker_internal.h"
#include "list.h"
#include "process_log.h"

/* Delay before a failed inspection is retried, and maximum failures. */
#define AGAIN_MS     1000
#define FAILURES_MAX 3

/* ---- tables ---- */

docker_entry_t *docker_find_entry(const docker_t *docker, const char *id)
{
    return name_map_find(&docker->entries, str_from(id));
}

static void on_inspected(docker_call_t *call, const fetch_result_t *result);

docker_entry_t *docker_add_entry(docker_t *docker, const char *id)
{
    docker_entry_t *entry = docker_find_entry(docker, id);
    if (entry != NULL || docker->entries.count == DOCKER_CONTAINERS_MAX)
        return entry;
    assert(docker_id_valid(str_from(id)));
    entry = mem_alloc(sizeof(*entry));
    *entry = (docker_entry_t){.docker = docker};
    memcpy(entry->id, id, strlen(id) + 1);
    name_map_add(&docker->entries, entry);
    return entry;
}

docker_box_t *docker_find_box(const docker_t *docker, str_t id)
{
    return name_map_find(&docker->boxes, id);
}

docker_box_t *docker_add_box(docker_t *docker, str_t id)
{
    docker_box_t *box = docker_find_box(docker, id);
    if (box != NULL)
        return box;
    box = mem_alloc(sizeof(*box));
    *box = (docker_box_t){.docker = docker};
    list_init(&box->questions);
    assert(id.n <= BOX_ID_MAX);
    memcpy(box->id, id.p, id.n);
    name_map_add(&docker->boxes, box);
    return box;
}

void docker_drop_box(docker_box_t *box)
{
    docker_t *docker = box->docker;
    if (box->first != NULL || box->resume != RESUME_NONE || box->look || docker_call_busy(&box->pause) ||
        !list_is_empty(&box->questions))
        return;
    assert(!docker_call_busy(&box->reading) && box->log == NULL && !docker_call_busy(&box->call) &&
           !loop_timer_running(&box->limit) && !loop_timer_running(&box->change));
    if (list_is_linked(&box->link))
        list_unlink(&box->link);
    name_map_remove(&docker->boxes, box);
    free(box);
}

/* ---- choice of the container ---- */

/* A running container counts before others, one being removed last; then the one started or made last. */
static bool counts_before(const docker_entry_t *a, const docker_entry_t *b)
{
    bool a_runs = a->seen.state == DOCKER_RUNNING, b_runs = b->seen.state == DOCKER_RUNNING;
    bool a_goes = a->seen.state == DOCKER_GONE, b_goes = b->seen.state == DOCKER_GONE;
    if (a_runs != b_runs)
        return a_runs;
    if (a_goes != b_goes)
        return b_goes;
    if (a_runs && a->seen.started_ns != b->seen.started_ns)
        return a->seen.started_ns > b->seen.started_ns;
    if (a->seen.created_ns != b->seen.created_ns)
        return a->seen.created_ns > b->seen.created_ns;
    return strcmp(a->id, b->id) > 0;
}

static void choose(docker_box_t *box)
{
    docker_entry_t *best = box->first;
    unsigned alive = 0;
    for (docker_entry_t *entry = box->first; entry != NULL; entry = entry->next) {
        alive += entry->seen.state != DOCKER_GONE;
        if (counts_before(entry, best))
            best = entry;
    }
    box->chosen = best;
    if (alive > 1 && !box->warned)
        process_log(LOG_ENGINE_DOUBT, "controller", "box %s: %u containers have this id; %.12s counts",
                    box->id, alive, best->id);
    box->warned = alive > 1;
}

void docker_notify(docker_box_t *box)
{
    const provider_t *provider = &box->docker->provider;
    const docker_entry_t *chosen = box->chosen;
    provider_box_t reported = {.state = BOX_GONE};
    memcpy(reported.id, box->id, sizeof(reported.id));
    if (chosen != NULL && chosen->seen.state != DOCKER_GONE) {
        reported = chosen->seen.box;
        /* A pause between two looks goes unseen, and does no harm: a frozen container keeps its connections.
         * Boxes known from a previous controller are compared by process and address (boxes.c). */
        reported.renewed = box->reported ? strcmp(box->reported_container, chosen->id) != 0 ||
                                               box->reported_started_ns != chosen->seen.started_ns
                                         : reported.pid == 0 && reported.state == BOX_RUNNING;
        memcpy(box->reported_container, chosen->id, sizeof(box->reported_container));
        box->reported_started_ns = chosen->seen.started_ns;
        box->reported = true;
    }
    box->look = false;
    provider->handlers->box(provider->owner, (provider_t *)provider, &reported);
}

/* Removes the container from its box. */
static void leave_box(docker_entry_t *entry)
{
    docker_box_t *box = entry->box;
    if (box == NULL)
        return;
    docker_entry_t **at = &box->first;
    while (*at != entry)
        at = &(*at)->next;
    *at = entry->next;
    entry->box = NULL;
    entry->next = NULL;
    if (box->target == entry)
        box->target = NULL;
    choose(box);
}

static void join_box(docker_entry_t *entry)
{
    docker_box_t *box = docker_add_box(entry->docker, str_from(entry->seen.box.id));
    entry->box = box;
    entry->next = box->first;
    box->first = entry;
}

/* The box lost a container, or one changed: reports it, and continues a waiting resume. */
static void box_changed(docker_box_t *box, docker_entry_t *seen, bool failed)
{
    if (box == NULL)
        return;
    if (!failed)
        docker_notify(box);
    docker_resume_seen(box, seen, failed);
    docker_drop_box(box);
}

static void free_entry(docker_entry_t *entry)
{
    docker_t *docker = entry->docker;
    name_map_remove(&docker->entries, entry);
    loop_timer_stop(&entry->again);
    docker_call_cancel(&entry->inspect);
    docker_container_fini(&entry->seen);
    free(entry);
}

void docker_remove_entry(docker_entry_t *entry)
{
    docker_box_t *box = entry->box;
    docker_t *docker = entry->docker;
    bool counted = entry->counted;
    leave_box(entry);
    free_entry(entry);
    box_changed(box, NULL, false);
    if (counted)
        docker_sync_counted(docker);
}

/* ---- inspections ---- */

static void begin_inspect(docker_entry_t *entry)
{
    entry->covers = entry->requested;
    entry->inspect.method = "GET";
    entry->inspect.timeout_ms = DOCKER_INSPECT_MS;
    entry->inspect.most = DOCKER_ANSWER_MAX;
    entry->inspect.done = on_inspected;
    entry->inspect.path = docker_text("/containers/%s/json", entry->id);
    docker_call_begin(entry->docker->engine, &entry->inspect);
}

void docker_inspect(docker_entry_t *entry, bool background)
{
    entry->requested++;
    if (docker_call_busy(&entry->inspect)) {
        bool waits = entry->inspect.fetch == NULL;
        if (!waits)
            return; /* another inspection follows */
        if (background || entry->inspect.class == DOCKER_URGENT) {
            entry->covers = entry->requested;
            return;
        }
        docker_call_cancel(&entry->inspect); /* now urgent: it changes the queue */
    }
    loop_timer_stop(&entry->again);
    entry->inspect.class = background ? DOCKER_BACKGROUND : DOCKER_URGENT;
    begin_inspect(entry);
}

static void on_again(loop_timer_t *timer)
{
    docker_inspect(CONTAINER_OF(docker_entry_t, again, timer), true);
}

/* Counts runs that end soon; the engine may have restarted the container between two looks. */
static void count_crash(docker_entry_t *entry, const docker_container_t *seen)
{
    uint64_t now = loop_now(entry->docker->loop);
    bool ran = entry->known == DOCKER_KNOWN_BOX && entry->seen.state == DOCKER_RUNNING;
    bool runs = seen->state == DOCKER_RUNNING, anew = seen->started_ns != entry->seen.started_ns;
    bool ended = ran && (seen->state == DOCKER_STOPPED || seen->state == DOCKER_CHANGING || (runs && anew));
    if (ended)
        entry->crashes = now - entry->ran_ms < DOCKER_CRASH_MS ? entry->crashes + 1 : 0;
    if (runs && (!ran || anew))
        entry->ran_ms = now;
}

/* Updates the container from `seen`, which is taken over. */
static void take_seen(docker_entry_t *entry, docker_read_t read, docker_container_t *seen)
{
    docker_box_t *before = entry->box;
    bool moves = before != NULL && (read != DOCKER_OK || strcmp(before->id, seen->box.id) != 0);
    if (moves)
        leave_box(entry);
    count_crash(entry, seen);
    bool ended = entry->known == DOCKER_KNOWN_BOX && entry->seen.state != DOCKER_STOPPED;
    if (ended && seen->state == DOCKER_STOPPED)
        entry->ended_ms = loop_now(entry->docker->loop);
    docker_container_fini(&entry->seen);
    entry->seen = *seen;
    docker_known_t known = read == DOCKER_OK ? DOCKER_KNOWN_BOX : DOCKER_KNOWN_OTHER;
    if (entry->known == DOCKER_KNOWN_NOT && known == DOCKER_KNOWN_OTHER)
        process_log(LOG_ENGINE_DOUBT, "controller", "container %.12s: its label %s.id is not a valid box id",
                    entry->id, entry->docker->label);
    if (entry->known != known && seen->doubt != NULL)
        process_log(LOG_ENGINE_DOUBT, "controller", "box %s: %s", seen->box.id, seen->doubt);
    entry->known = known;
    if (known == DOCKER_KNOWN_BOX && entry->box == NULL)
        join_box(entry);
    if (entry->box != NULL)
        choose(entry->box);
    if (moves)
        box_changed(before, NULL, false);
}

/* Applies the answer to an inspection. False if it is useless. */
static bool take_answer(docker_entry_t *entry, const fetch_result_t *result)
{
    docker_container_t seen;
    if (result->status != 200)
        return false;
    docker_read_t read =
        docker_read_container(result->body, entry->docker->label, entry->docker->idle_ms, &seen);
    if (read == DOCKER_MALFORMED || strcmp(seen.id, entry->id) != 0) {
        docker_container_fini(&seen);
        return false;
    }
    take_seen(entry, read, &seen);
    return true;
}

/* An unknown container makes the listing incomplete, and it is retried; one that repeatedly fails is ignored.
 * A box keeps its state. */
static void take_failure(docker_entry_t *entry, bool counted)
{
    docker_t *docker = entry->docker;
    entry->failures += entry->failures <= FAILURES_MAX;
    bool given_up = entry->failures > FAILURES_MAX;
    if (counted && entry->known == DOCKER_KNOWN_NOT && !given_up)
        docker->incomplete = true;
    if (!counted && !given_up)
        loop_timer_start(docker->loop, &entry->again, AGAIN_MS, on_again);
    if (given_up && entry->known == DOCKER_KNOWN_NOT) {
        entry->known = DOCKER_KNOWN_OTHER;
        process_log(LOG_ENGINE_DOUBT, "controller", "container %.12s cannot be inspected: it is left out",
                    entry->id);
    }
}

static void on_inspected(docker_call_t *call, const fetch_result_t *result)
{
    docker_entry_t *entry = CONTAINER_OF(docker_entry_t, inspect, call);
    docker_t *docker = entry->docker;
    if (result->status == 404) {
        docker_remove_entry(entry);
        return;
    }
    bool failed = !take_answer(entry, result), counted = entry->counted;
    entry->counted = false;
    entry->answered = entry->covers;
    if (failed)
        take_failure(entry, counted);
    else
        entry->failures = 0;
    if (entry->requested != entry->covers && !docker_call_busy(call)) {
        call->class = DOCKER_URGENT;
        begin_inspect(entry);
    }
    box_changed(entry->box, entry, failed);
    if (counted)
        docker_sync_counted(docker);
}

/* ---- the end ---- */

static bool free_box(void *item, void *arg)
{
    docker_box_t *box = item;
    (void)arg;
    docker_resume_cancel(box);
    docker_reading_end(box);
    box->first = NULL;
    box->look = false;
    docker_drop_box(box);
    return true;
}

static bool free_one(void *item, void *arg)
{
    (void)arg;
    free_entry(item);
    return true;
}

void docker_free_boxes(docker_t *docker)
{
    name_map_each(&docker->boxes, free_box, NULL);
    name_map_each(&docker->entries, free_one, NULL);
}
