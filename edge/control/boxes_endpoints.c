/*
 * The boxes reported at each address. A control plane may report late, or never, that a box has left its
 * address. When it reports another box at that address, the edge doubts the first one, and asks the control
 * plane about it before the next request. If the control plane then reports both boxes at the address, the
 * edge uses both.
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

/* A host, by its address. */
struct box_host {
    char name[INET6_ADDRSTRLEN];
    list_t endpoints; /* box_endpoint_t.at_host; never empty */
};

/* A port of a host, or all its ports. */
struct box_endpoint {
    char name[ADDRESS_PORT_BYTES]; /* address and fixed port; port 0: all */
    box_host_t *host;
    list_t at_host; /* in host->endpoints */
    list_t boxes;   /* box_entry_t.at_endpoint; never empty */
};

name_map_t boxes_no_endpoints(void)
{
    return NAME_MAP(box_endpoint_t, name);
}

name_map_t boxes_no_hosts(void)
{
    return NAME_MAP(box_host_t, name);
}

static void leave_host(boxes_t *boxes, box_endpoint_t *endpoint)
{
    box_host_t *host = endpoint->host;
    list_unlink(&endpoint->at_host);
    if (!list_is_empty(&host->endpoints))
        return;
    name_map_remove(&boxes->by_host, host);
    free(host);
}

void boxes_leave_endpoint(box_entry_t *entry)
{
    box_endpoint_t *endpoint = entry->endpoint;
    if (endpoint == NULL)
        return;
    entry->endpoint = NULL;
    list_unlink(&entry->at_endpoint);
    if (!list_is_empty(&endpoint->boxes))
        return;
    leave_host(entry->boxes, endpoint);
    name_map_remove(&entry->boxes->by_endpoint, endpoint);
    free(endpoint);
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

static void mistrust_all_at(const box_endpoint_t *endpoint, meeting_t *meeting)
{
    for (list_t *link = endpoint->boxes.next; link != &endpoint->boxes; link = link->next) {
        box_entry_t *entry = CONTAINER_OF(box_entry_t, at_endpoint, link);
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
        process_log(LOG_BOX_ADDRESS_SHARED, "controller",
                    "box %s is reported at the address of box %s: the edge checks the latter first", id,
                    meeting->first->box.id);
    else if (meeting->count > 1)
        process_log(LOG_BOX_ADDRESS_SHARED, "controller",
                    "box %s is reported at the address of box %s and %zu others: the edge checks these first",
                    id, meeting->first->box.id, meeting->count - 1);
}

static box_endpoint_t *endpoint_at(const boxes_t *boxes, const struct in6_addr *address, uint16_t port)
{
    char name[ADDRESS_PORT_BYTES];
    return name_map_find(&boxes->by_endpoint, str_from(address_port_text(address, port, name)));
}

/* Doubts the boxes that the newcomer meets at `endpoint`. */
static void mistrust_others(const box_endpoint_t *endpoint, const box_entry_t *newcomer)
{
    meeting_t meeting = {.newcomer = newcomer};
    const box_endpoint_t *all_ports = endpoint_at(newcomer->boxes, &newcomer->box.address, 0);
    const list_t *endpoints = &endpoint->host->endpoints;
    if (endpoint == all_ports) {
        for (list_t *link = endpoints->next; link != endpoints; link = link->next)
            mistrust_all_at(CONTAINER_OF(box_endpoint_t, at_host, link), &meeting);
    } else {
        mistrust_all_at(endpoint, &meeting);
        if (all_ports != NULL)
            mistrust_all_at(all_ports, &meeting);
    }
    log_meeting(&meeting);
}

static box_host_t *find_or_add_host(boxes_t *boxes, const struct in6_addr *address)
{
    char name[INET6_ADDRSTRLEN];
    box_host_t *host = name_map_find(&boxes->by_host, address_text(address, name));
    if (host != NULL)
        return host;
    host = malloc(sizeof(*host));
    assert(host != NULL);
    memcpy(host->name, name, sizeof(host->name));
    list_init(&host->endpoints);
    name_map_add(&boxes->by_host, host);
    return host;
}

static box_endpoint_t *find_or_add(boxes_t *boxes, const struct in6_addr *address, uint16_t port)
{
    box_endpoint_t *endpoint = endpoint_at(boxes, address, port);
    if (endpoint != NULL)
        return endpoint;
    endpoint = calloc(1, sizeof(*endpoint));
    assert(endpoint != NULL);
    (void)address_port_text(address, port, endpoint->name);
    endpoint->host = find_or_add_host(boxes, address);
    list_insert(&endpoint->host->endpoints, &endpoint->at_host);
    list_init(&endpoint->boxes);
    name_map_add(&boxes->by_endpoint, endpoint);
    return endpoint;
}

void boxes_join_endpoint(box_entry_t *entry)
{
    const store_box_t *box = &entry->box;
    bool has_one = box->state == BOX_RUNNING && box->provider != PROVIDER_PROCESS;
    if (has_one && entry->endpoint != NULL &&
        entry->endpoint == endpoint_at(entry->boxes, &box->address, box->fixed_port))
        return;
    boxes_leave_endpoint(entry);
    if (!has_one)
        return;
    box_endpoint_t *endpoint = find_or_add(entry->boxes, &box->address, box->fixed_port);
    mistrust_others(endpoint, entry);
    entry->endpoint = endpoint;
    list_insert(&endpoint->boxes, &entry->at_endpoint);
}
