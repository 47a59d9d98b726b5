/*
 * Which boxes were told to be at an address. A control plane may be late in saying that a box has left one,
 * or fail to: when another box is told there, its word about the first one stands no longer, and that one is
 * asked about before a request goes to it. Where the control plane then says that both are there, they are.
 */
#include <assert.h>
#include <search.h>
#include <stdlib.h>

#include "boxes_impl.h"
#include "process_log.h"

struct box_place {
    struct in6_addr address;
    uint16_t fixed_port;
    h2o_linklist_t boxes; /* box_entry_t by `at_place`; never empty */
};

static int compare(const void *a, const void *b)
{
    const box_place_t *x = a, *y = b;
    int order = memcmp(&x->address, &y->address, sizeof(x->address));
    return order != 0 ? order : (x->fixed_port > y->fixed_port) - (x->fixed_port < y->fixed_port);
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
    (void)tdelete(place, &entry->boxes->places, compare);
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

static box_place_t *find_or_add(boxes_t *boxes, const box_place_t *key)
{
    box_place_t *const *found = tfind(key, &boxes->places, compare);
    if (found != NULL)
        return *found;
    box_place_t *place = malloc(sizeof(*place));
    assert(place != NULL);
    *place = *key;
    h2o_linklist_init_anchor(&place->boxes);
    if (tsearch(place, &boxes->places, compare) == NULL)
        abort();
    return place;
}

void boxes_take_place(box_entry_t *entry)
{
    box_place_t key = {.address = entry->box.address, .fixed_port = entry->box.fixed_port};
    bool has_one = entry->box.state == BOX_RUNNING && entry->box.provider != PROVIDER_PROCESS;
    if (has_one && entry->place != NULL && compare(entry->place, &key) == 0)
        return;
    boxes_leave_place(entry);
    if (!has_one)
        return;
    box_place_t *place = find_or_add(entry->boxes, &key);
    mistrust_others(place, entry);
    entry->place = place;
    h2o_linklist_insert(&place->boxes, &entry->at_place);
}
