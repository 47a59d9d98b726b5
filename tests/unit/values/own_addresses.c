#include "own_addresses.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "address.h"

#define ADDRESSES_MAX 8

bool own_fixture(size_t i, char text[INET6_ADDRSTRLEN])
{
    struct ifaddrs *list;
    struct in6_addr address;
    uint16_t port;
    size_t seen = 0;
    bool found = false;
    assert_int_equal(getifaddrs(&list), 0);
    for (const struct ifaddrs *at = list; at != NULL && !found && i < ADDRESSES_MAX; at = at->ifa_next) {
        if (at->ifa_addr == NULL || (at->ifa_flags & IFF_LOOPBACK) != 0 || (at->ifa_flags & IFF_UP) == 0 ||
            !address_take(at->ifa_addr, &address, &port) || address_is_link_local(&address))
            continue;
        found = seen++ == i;
    }
    freeifaddrs(list);
    if (found)
        (void)address_text(&address, text);
    return found;
}
