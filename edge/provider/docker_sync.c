/*
 * Keeps the docker provider in step with the engine. Events name the containers to inspect; before them, and
 * after any gap in them, all are listed and inspected. The stream of events is requested together with the
 * listing and from a little before it, since podman answers only at the first event: containers that change
 * in between are inspected twice rather than missed. See docker_internal.h.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "alloc.h"
#include "docker_internal.h"
#include "list.h"
#include "process_log.h"

/* Time from which events are requested before the listing; covers a difference of the clocks. */
#define EVENTS_BEFORE_S 10
/* The engine counts as back after this time of events. */
#define STEADY_MS 1000

uint32_t docker_backoff_ms(unsigned failures, uint64_t random)
{
    uint32_t most = DOCKER_BACKOFF_FIRST_MS;
    for (unsigned i = 1; i < failures && most < DOCKER_BACKOFF_LAST_MS; i++)
        most *= 2;
    most = most < DOCKER_BACKOFF_LAST_MS ? most : DOCKER_BACKOFF_LAST_MS;
    return most / 2 + (uint32_t)(random % (most / 2 + 1));
}

/* xorshift: only spreads retries. */
static uint64_t next_random(docker_t *docker)
{
    docker->random ^= docker->random << 13;
    docker->random ^= docker->random >> 7;
    docker->random ^= docker->random << 17;
    return docker->random;
}

/* ---- requests ---- */

/* `text`, percent-encoded. The caller frees it. */
static char *encode(const char *text)
{
    char *out = mem_alloc(strlen(text) * 3 + 1);
    size_t n = 0;
    for (; *text != '\0'; text++) {
        bool plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
                     (*text >= '0' && *text <= '9');
        n += (size_t)snprintf(out + n, 4, plain ? "%c" : "%%%02X", (unsigned char)*text);
    }
    out[n] = '\0';
    return out;
}

/* The parameter "filters": `name` is one of `values`, which is released. The caller frees it. */
static char *make_filters(const char *name, json_t *values)
{
    json_t *filters = json_pack("{s:o}", name, values);
    char *text = filters != NULL ? json_dumps(filters, JSON_COMPACT) : NULL;
    assert(text != NULL); /* the configuration is valid UTF-8 */
    char *encoded = encode(text);
    free(text);
    json_decref(filters);
    return encoded;
}

/* ---- the end of a try ---- */

static bool uncount(void *item, void *arg)
{
    docker_entry_t *entry = item;
    (void)arg;
    entry->counted = false;
    return true;
}

static bool put_off_waiting(void *item, void *arg)
{
    docker_box_t *box = item;
    (void)arg;
    if (box->resume == RESUME_SYNC)
        docker_put_off(box);
    return true;
}

static void end_try(docker_t *docker)
{
    fetch_cancel(&docker->events);
    docker_call_cancel(&docker->list);
    loop_timer_stop(&docker->steady);
    if (docker->sync == SYNC_INSPECTING)
        name_map_each(&docker->entries, uncount, NULL);
    docker->uninspected = 0;
    docker->sync = SYNC_WAITING;
}

static void on_retry(deadline_t *deadline);

/* Changes may have been missed: a new listing, soon. `why`: the engine did not answer; NULL: it did. */
static void gap(docker_t *docker, const char *why)
{
    if (docker->sync == SYNC_OFF || docker->sync == SYNC_WAITING)
        return;
    end_try(docker);
    docker->tries++;
    if (why != NULL && !docker->lost) {
        const char *fault = docker_engine_fault(docker->engine);
        why = fault != NULL ? fault : why; /* libcurl's message knows only hosts and ports */
        process_log(LOG_ENGINE_LOST, "controller",
                    "the container engine at %s cannot be used: %s; running boxes are still served",
                    docker_engine_socket(docker->engine), why);
        docker->lost = true;
    }
    if (why != NULL)
        name_map_each(&docker->boxes, put_off_waiting, NULL);
    uint32_t wait = docker_backoff_ms(docker->tries, next_random(docker));
    deadline_set(docker->loop, &docker->retry, loop_now(docker->loop) + wait, on_retry);
}

static void on_steady(loop_timer_t *timer)
{
    docker_t *docker = CONTAINER_OF(docker_t, steady, timer);
    docker->tries = 0;
    if (docker->lost)
        process_log(LOG_ENGINE_BACK, "controller", "the container engine at %s can be used again",
                    docker_engine_socket(docker->engine));
    docker->lost = false;
}

/* ---- the listing ---- */

static bool remove_unlisted(void *item, void *arg)
{
    docker_entry_t *entry = item;
    const docker_t *docker = arg;
    if (entry->listed != docker->listing)
        docker_remove_entry(entry);
    return true;
}

static bool notify_one(void *item, void *arg)
{
    docker_box_t *box = item;
    (void)arg;
    docker_notify(box);
    docker_drop_box(box);
    return true;
}

static void finish(docker_t *docker)
{
    const provider_t *provider = &docker->provider;
    docker->sync = SYNC_DONE;
    name_map_each(&docker->entries, remove_unlisted, docker);
    provider->handlers->sync_began(provider->owner, &docker->provider);
    name_map_each(&docker->boxes, notify_one, NULL);
    provider->handlers->sync_ended(provider->owner, &docker->provider);
    name_map_each(&docker->boxes, put_off_waiting, NULL);
    loop_timer_start(docker->loop, &docker->steady, STEADY_MS, on_steady);
}

void docker_sync_counted(docker_t *docker)
{
    if (docker->sync != SYNC_INSPECTING)
        return;
    assert(docker->uninspected > 0);
    if (--docker->uninspected > 0)
        return;
    if (docker->incomplete)
        gap(docker, NULL);
    else
        finish(docker);
}

static void on_listed_one(void *owner, const char *id)
{
    docker_t *docker = owner;
    docker_entry_t *entry = docker_add_entry(docker, id);
    if (entry == NULL || entry->counted)
        return; /* too many, or listed twice */
    entry->listed = docker->listing;
    entry->counted = true;
    docker->uninspected++;
    docker_inspect(entry, true);
}

static void on_listed(docker_call_t *call, const fetch_result_t *result)
{
    docker_t *docker = CONTAINER_OF(docker_t, list, call);
    char why[64];
    assert(docker->sync == SYNC_LISTING);
    if (result->status != 200) {
        snprintf(why, sizeof(why), "it answers the listing with %d", result->status);
        gap(docker, result->status != 0 ? why : result->error);
        return;
    }
    docker->sync = SYNC_INSPECTING;
    docker->incomplete = false;
    docker->uninspected = 1; /* the listing itself, until all its containers are counted */
    if (!docker_read_list(result->body, on_listed_one, docker)) {
        gap(docker, "its list of containers does not follow the Docker Engine API");
        return;
    }
    if (docker->events == NULL) /* the stream ended meanwhile */
        gap(docker, NULL);
    else
        docker_sync_counted(docker);
}

static void begin_listing(docker_t *docker)
{
    char *label = docker_text("%s.id", docker->label);
    char *filters = make_filters("label", json_pack("[s]", label));
    docker->list.method = "GET";
    docker->list.timeout_ms = DOCKER_LIST_MS;
    docker->list.most = DOCKER_LIST_MAX;
    docker->list.done = on_listed;
    docker->list.path = docker_text("/containers/json?all=1&filters=%s", filters);
    free(filters);
    free(label);
    docker_call_begin(docker->engine, &docker->list);
}

/* ---- events ---- */

static void on_line(void *owner, str_t line)
{
    docker_t *docker = owner;
    docker_event_t event;
    if (docker->events == NULL)
        return; /* this piece of the stream has caused a gap */
    if (!docker_read_event(line, docker->label, &event)) {
        gap(docker, "its events do not follow the Docker Engine API");
        return;
    }
    docker_entry_t *entry = event.container[0] != '\0' ? docker_find_entry(docker, event.container) : NULL;
    if (entry == NULL && event.labelled && event.container[0] != '\0')
        entry = docker_add_entry(docker, event.container);
    if (entry == NULL || event.passing)
        return;
    entry->listed = docker->listing; /* it existed after the listing began, or its inspection finds it gone */
    docker_inspect(entry, false);
}

static void on_event_data(void *owner, str_t bytes)
{
    docker_t *docker = owner;
    if (!docker_lines_feed(docker->lines, bytes, on_line, docker) && docker->events != NULL)
        gap(docker, NULL);
}

static void on_events_end(void *owner, const fetch_result_t *result)
{
    docker_t *docker = owner;
    char why[64];
    docker->events = NULL;
    if (result->status >= 300) {
        snprintf(why, sizeof(why), "it answers the request for events with %d", result->status);
        gap(docker, why);
    } else if (docker->sync != SYNC_LISTING) {
        gap(docker, NULL);
    } /* else the result of the listing decides */
}

static void begin_events(docker_t *docker)
{
    static const fetch_handlers_t handlers = {.data = on_event_data, .done = on_events_end};
    uint64_t since = loop_wall_us(docker->loop) / 1000000 - EVENTS_BEFORE_S;
    char *filters = make_filters("type", json_pack("[ss]", "container", "network"));
    char *url =
        docker_text("http://localhost/events?since=%llu&filters=%s", (unsigned long long)since, filters);
    free(filters);
    fetch_request_t request = {.method = "GET",
                               .url = url,
                               .unix_socket = docker_engine_socket(docker->engine),
                               .most = DOCKER_ANSWER_MAX};
    docker_lines_reset(docker->lines);
    docker->events = fetch_start(docker->fetcher, &request, &handlers, docker);
    free(url);
}

/* ---- tries ---- */

static void on_retry(deadline_t *deadline)
{
    docker_t *docker = CONTAINER_OF(docker_t, retry, deadline);
    assert(docker->sync == SYNC_WAITING);
    docker->sync = SYNC_LISTING;
    docker->listing++;
    begin_events(docker);
    begin_listing(docker);
}

void docker_sync_restart(docker_t *docker)
{
    end_try(docker);
    docker->tries = 0;
    deadline_set(docker->loop, &docker->retry, loop_now(docker->loop), on_retry);
}

void docker_sync_stop(docker_t *docker)
{
    end_try(docker);
    deadline_clear(&docker->retry);
    docker->sync = SYNC_OFF;
}
