#include "process_guests.h"

#include <assert.h>
#include <stdlib.h>

#include "address.h"

/* The answer to a resume of a box that runs: at the next turn. */
#define AT_ONCE_MS 1

typedef struct entry {
    process_guests_t *guests;
    process_guest_t guest; /* an empty id: a free place */
    bool resuming;         /* `resumed` must answer */
    loop_timer_t patience; /* runs while resuming */
    loop_timer_t lease;
} entry_t;

struct process_guests {
    loop_t *loop;
    provider_t *provider;
    entry_t entries[PROCESS_GUESTS_MAX];
};

process_guests_t *process_guests_new(loop_t *loop, provider_t *provider)
{
    process_guests_t *guests = calloc(1, sizeof(*guests));
    assert(guests != NULL);
    guests->loop = loop;
    guests->provider = provider;
    for (size_t i = 0; i < PROCESS_GUESTS_MAX; i++)
        guests->entries[i].guests = guests;
    return guests;
}

void process_guests_free(process_guests_t **guests)
{
    process_guests_t *g = *guests;
    *guests = NULL;
    for (size_t i = 0; g != NULL && i < PROCESS_GUESTS_MAX; i++) {
        loop_timer_stop(&g->entries[i].patience);
        loop_timer_stop(&g->entries[i].lease);
    }
    free(g);
}

/* The guest of this id; an empty id finds a free place. */
static entry_t *find(process_guests_t *guests, str_t id)
{
    for (size_t i = 0; i < PROCESS_GUESTS_MAX; i++)
        if (str_eq(str_from(guests->entries[i].guest.id), id))
            return &guests->entries[i];
    return NULL;
}

bool process_guests_has(const process_guests_t *guests, str_t id)
{
    for (size_t i = 0; i < PROCESS_GUESTS_MAX; i++)
        if (id.n != 0 && str_eq(str_from(guests->entries[i].guest.id), id))
            return true;
    return false;
}

/* ---- reports ---- */

static void report(const entry_t *entry, bool gone)
{
    static const uint8_t loopback4[] = {127, 0, 0, 1};
    const process_guest_t *guest = &entry->guest;
    provider_t *provider = entry->guests->provider;
    provider_box_t box = {.state = gone                  ? BOX_GONE
                                   : guest->listens != 0 ? BOX_RUNNING
                                                         : BOX_PAUSED,
                          .keep_alive = true,
                          .pid = guest->pid,
                          .ports = {guest->port},
                          .port_count = 1,
                          .address = guest->loopback6 ? in6addr_loopback : address_from_v4(loopback4)};
    box.fixed_port = guest->listens != guest->port ? guest->listens : 0;
    memcpy(box.id, guest->id, sizeof(box.id));
    provider->handlers->box(provider->owner, provider, &box);
}

static void answer(entry_t *entry, provider_result_t result, const char *sentence)
{
    provider_t *provider = entry->guests->provider;
    if (!entry->resuming)
        return;
    entry->resuming = false;
    loop_timer_stop(&entry->patience);
    provider->handlers->resumed(provider->owner, provider, str_from(entry->guest.id), result, sentence);
}

static void on_patience(loop_timer_t *timer)
{
    entry_t *entry = CONTAINER_OF(entry_t, patience, timer);
    if (entry->guest.listens != 0)
        answer(entry, PROVIDER_OK, NULL);
    else
        answer(entry, PROVIDER_FAILED, "The command of this box listens on no port at the moment.");
}

static void end(entry_t *entry)
{
    loop_timer_stop(&entry->lease);
    report(entry, true);
    answer(entry, PROVIDER_GONE, NULL);
    entry->guest = (process_guest_t){.id = ""};
}

static void on_lease(loop_timer_t *timer)
{
    end(CONTAINER_OF(entry_t, lease, timer));
}

/* ---- callers ---- */

const char *process_guests_put(process_guests_t *guests, const process_guest_t *guest, bool *fresh)
{
    assert(guest->id[0] != '\0' && guest->lease[0] != '\0' && guest->port != 0);
    entry_t *entry = find(guests, str_from(guest->id));
    *fresh = entry == NULL;
    if (entry != NULL && strcmp(entry->guest.lease, guest->lease) != 0)
        return "box_taken";
    if (entry == NULL)
        entry = find(guests, STR(""));
    if (entry == NULL)
        return "too_many_boxes";
    entry->guest = *guest;
    loop_timer_start(guests->loop, &entry->lease, PROCESS_LEASE_MS, on_lease);
    report(entry, false);
    if (guest->listens != 0)
        answer(entry, PROVIDER_OK, NULL);
    return NULL;
}

bool process_guests_drop(process_guests_t *guests, str_t id, str_t lease)
{
    entry_t *entry = id.n != 0 ? find(guests, id) : NULL;
    if (entry == NULL || !str_eq(str_from(entry->guest.lease), lease))
        return false;
    end(entry);
    return true;
}

/* ---- the provider ---- */

bool process_guests_report(process_guests_t *guests, str_t id)
{
    entry_t *entry = id.n != 0 ? find(guests, id) : NULL;
    if (entry != NULL)
        report(entry, false);
    return entry != NULL;
}

void process_guests_report_all(process_guests_t *guests)
{
    for (size_t i = 0; i < PROCESS_GUESTS_MAX; i++)
        if (guests->entries[i].guest.id[0] != '\0')
            report(&guests->entries[i], false);
}

bool process_guests_resume(process_guests_t *guests, str_t id)
{
    entry_t *entry = id.n != 0 ? find(guests, id) : NULL;
    if (entry == NULL)
        return false;
    assert(!entry->resuming);
    entry->resuming = true;
    loop_timer_start(guests->loop, &entry->patience,
                     entry->guest.listens != 0 ? AT_ONCE_MS : PROCESS_GUEST_PATIENCE_MS, on_patience);
    return true;
}

void process_guests_set_conf(process_guests_t *guests, const conf_t *conf)
{
    for (size_t i = 0; i < conf->process_count; i++) {
        entry_t *entry = find(guests, str_from(conf->processes[i].id));
        if (entry != NULL)
            end(entry);
    }
}
