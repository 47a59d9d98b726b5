/*
 * Which boxes were told to be at an address. A control plane may be late in saying that a box has left one,
 * or fail to: when another box is told there, its word about the first one stands no longer, and that one is
 * asked about before a request goes to it. Where the control plane then says that both are there, they are.
 */
#include <assert.h>
#include <stdlib.h>

#include "address.h"
#include "boxes_impl.h"
#include "process_log.h"

struct box_place {
    char name[ADDRESS_PORT_BYTES]; /* its address and fixed port */
    h2o_linklist_t boxes;          /* box_entry_t by `at_place`; never empty */
};

name_map_t boxes_no_places(void)
{
    return NAME_MAP(box_place_t, name);
}

void boxes_leave_place(box_entry_t *entry)
{
    box_place_t *place = entry->place;
    if (place == NULL)
        return;
    entry->place = NULL;
    h2o_linklist_unlink(&entry->at_place);
    if (!h2o_linklist_is_empty(&place->boxes))
        return;
    name_map_remove(&entry->boxes->by_place, place);
    free(place);
}

void boxes_mistrust(box_entry_t *entry)
{
    assert(entry->box.state == BOX_RUNNING);
    entry->box.doubted = true;
    boxes_changed(entry);
}

static void mistrust_others(const box_place_t *place, const box_entry_t *newcomer)
{
    for (h2o_linklist_t *link = place->boxes.next; link != &place->boxes; link = link->next) {
        box_entry_t *entry = H2O_STRUCT_FROM_MEMBER(box_entry_t, at_place, link);
        if (entry->box.provider != PROVIDER_HTTP || entry->box.state != BOX_RUNNING || entry->box.doubted)
            continue;
        process_log("controller", "box %s is told to be where box %s is: that one is asked about first",
                    newcomer->box.id, entry->box.id);
        boxes_mistrust(entry);
    }
}

static box_place_t *find_or_add(boxes_t *boxes, const char name[ADDRESS_PORT_BYTES])
{
    box_place_t *place = name_map_find(&boxes->by_place, str_from(name));
    if (place != NULL)
        return place;
    place = malloc(sizeof(*place));
    assert(place != NULL);
    memcpy(place->name, name, sizeof(place->name));
    h2o_linklist_init_anchor(&place->boxes);
    name_map_add(&boxes->by_place, place);
    return place;
}

void boxes_take_place(box_entry_t *entry)
{
    char name[ADDRESS_PORT_BYTES] = "";
    (void)address_port_text(&entry->box.address, entry->box.fixed_port, name);
    bool has_one = entry->box.state == BOX_RUNNING && entry->box.provider != PROVIDER_PROCESS;
    if (has_one && entry->place != NULL && strcmp(entry->place->name, name) == 0)
        return;
    boxes_leave_place(entry);
    if (!has_one)
        return;
    box_place_t *place = find_or_add(entry->boxes, name);
    mistrust_others(place, entry);
    entry->place = place;
    h2o_linklist_insert(&place->boxes, &entry->at_place);
}
