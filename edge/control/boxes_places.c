/*
 * The boxes reported at each address. A control plane may report late, or never, that a box has left its
 * address. When another box is reported there, the edge doubts the first one: it asks the control plane
 * about that box before a request goes there. If the control plane then reports both there, both are there.
 *
 * A box with a fixed port is only at that port of its address. Boxes with different ports do not meet, so one
 * address may carry many. A box without a fixed port is at every port, and meets all.
 */
#include <assert.h>
#include <stdlib.h>

#include "address.h"
#include "boxes_internal.h"
#include "list.h"
#include "process_log.h"

/* An address. */
struct box_site {
    char name[INET6_ADDRSTRLEN];
    list_t places; /* box_place_t.at_site; never empty */
};

/* A port of a site, or all its ports. */
struct box_place {
    char name[ADDRESS_PORT_BYTES]; /* address and fixed port; port 0: all */
    box_site_t *site;
    list_t at_site; /* in site->places */
    list_t boxes;   /* box_entry_t.at_place; never empty */
};

name_map_t boxes_no_places(void)
{
    return NAME_MAP(box_place_t, name);
}

name_map_t boxes_no_sites(void)
{
    return NAME_MAP(box_site_t, name);
}

static void leave_site(boxes_t *boxes, box_place_t *place)
{
    box_site_t *site = place->site;
    list_unlink(&place->at_site);
    if (!list_is_empty(&site->places))
        return;
    name_map_remove(&boxes->by_site, site);
    free(site);
}

void boxes_leave_place(box_entry_t *entry)
{
    box_place_t *place = entry->place;
    if (place == NULL)
        return;
    entry->place = NULL;
    list_unlink(&entry->at_place);
    if (!list_is_empty(&place->boxes))
        return;
    leave_site(entry->boxes, place);
    name_map_remove(&entry->boxes->by_place, place);
    free(place);
}

void boxes_mistrust(box_entry_t *entry)
{
    assert(entry->box.state == BOX_RUNNING);
    entry->doubted_us = loop_wall_us(entry->boxes->loop);
    if (entry->box.doubted)
        return;
    entry->box.doubted = true;
    boxes_changed(entry);
}

bool boxes_doubt(boxes_t *boxes, str_t id, uint64_t since_ms)
{
    box_entry_t *entry = name_map_find(&boxes->by_id, id);
    if (entry == NULL || entry->box.provider != PROVIDER_HTTP || entry->box.state != BOX_RUNNING ||
        entry->reported_ms > since_ms)
        return false;
    boxes_mistrust(entry);
    return true;
}

/* The boxes that a newcomer meets. */
typedef struct meeting {
    const box_entry_t *newcomer, *first; /* the first doubted, whose id is logged */
    size_t count;
} meeting_t;

static void mistrust_all_at(const box_place_t *place, meeting_t *meeting)
{
    for (list_t *link = place->boxes.next; link != &place->boxes; link = link->next) {
        box_entry_t *entry = CONTAINER_OF(box_entry_t, at_place, link);
        if (entry->box.provider != PROVIDER_HTTP || entry->box.state != BOX_RUNNING)
            continue;
        if (!entry->box.doubted && meeting->count++ == 0)
            meeting->first = entry;
        boxes_mistrust(entry);
    }
}

static void log_meeting(const meeting_t *meeting)
{
    const char *id = meeting->newcomer->box.id;
    if (meeting->count == 1)
        process_log("controller",
                    "box %s is reported at the address of box %s: the edge checks the latter first", id,
                    meeting->first->box.id);
    else if (meeting->count > 1)
        process_log("controller",
                    "box %s is reported at the address of box %s and %zu others: the edge checks these first",
                    id, meeting->first->box.id, meeting->count - 1);
}

static box_place_t *place_at(const boxes_t *boxes, const struct in6_addr *address, uint16_t port)
{
    char name[ADDRESS_PORT_BYTES];
    return name_map_find(&boxes->by_place, str_from(address_port_text(address, port, name)));
}

/* Doubts the boxes that the newcomer meets at `place`. */
static void mistrust_others(const box_place_t *place, const box_entry_t *newcomer)
{
    meeting_t meeting = {.newcomer = newcomer};
    const box_place_t *all_ports = place_at(newcomer->boxes, &newcomer->box.address, 0);
    const list_t *places = &place->site->places;
    if (place == all_ports) {
        for (list_t *link = places->next; link != places; link = link->next)
            mistrust_all_at(CONTAINER_OF(box_place_t, at_site, link), &meeting);
    } else {
        mistrust_all_at(place, &meeting);
        if (all_ports != NULL)
            mistrust_all_at(all_ports, &meeting);
    }
    log_meeting(&meeting);
}

static box_site_t *find_or_add_site(boxes_t *boxes, const struct in6_addr *address)
{
    char name[INET6_ADDRSTRLEN];
    box_site_t *site = name_map_find(&boxes->by_site, address_text(address, name));
    if (site != NULL)
        return site;
    site = malloc(sizeof(*site));
    assert(site != NULL);
    memcpy(site->name, name, sizeof(site->name));
    list_init(&site->places);
    name_map_add(&boxes->by_site, site);
    return site;
}

static box_place_t *find_or_add(boxes_t *boxes, const struct in6_addr *address, uint16_t port)
{
    box_place_t *place = place_at(boxes, address, port);
    if (place != NULL)
        return place;
    place = calloc(1, sizeof(*place));
    assert(place != NULL);
    (void)address_port_text(address, port, place->name);
    place->site = find_or_add_site(boxes, address);
    list_insert(&place->site->places, &place->at_site);
    list_init(&place->boxes);
    name_map_add(&boxes->by_place, place);
    return place;
}

void boxes_take_place(box_entry_t *entry)
{
    const store_box_t *box = &entry->box;
    bool has_one = box->state == BOX_RUNNING && box->provider != PROVIDER_PROCESS;
    if (has_one && entry->place != NULL &&
        entry->place == place_at(entry->boxes, &box->address, box->fixed_port))
        return;
    boxes_leave_place(entry);
    if (!has_one)
        return;
    box_place_t *place = find_or_add(entry->boxes, &box->address, box->fixed_port);
    mistrust_others(place, entry);
    entry->place = place;
    list_insert(&place->boxes, &entry->at_place);
}
