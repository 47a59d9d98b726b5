/* Checks that an address from a provider may be a box's. */
#include "address.h"
#include "boxes_internal.h"

/* Covers "this network" too (RFC 1122): the kernel takes 0.0.0.0 for the machine itself. */
const char *boxes_refusal(const boxes_t *boxes, box_provider_t kind, const provider_box_t *report)
{
    if (report->state != BOX_RUNNING)
        return NULL;
    if (address_is_nowhere(&report->address))
        return "The box runs, but has no network address that the edge could connect to.";
    if (address_is_link_local(&report->address) || IN6_IS_ADDR_MULTICAST(&report->address))
        return "The edge never connects to the box's address.";
    if (kind == PROVIDER_PROCESS)
        return address_is_loopback(&report->address) ? NULL : "The box is not on this machine.";
    if (address_is_loopback(&report->address) ||
        !conf_network_has(boxes->conf->origins, boxes->conf->origin_count, &report->address))
        return "The box's address is not in origins.allow of this edge.";
    if (report->fixed_port != 0) {
        struct sockaddr_storage address;
        (void)address_make(&report->address, report->fixed_port, &address);
        if (conf_listens_on(boxes->conf, (struct sockaddr *)&address))
            return "The box's address is the edge's own.";
    }
    return NULL;
}
