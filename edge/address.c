#include "address.h"

#include <arpa/inet.h>
#include <assert.h>

static char *write_octet(char *at, unsigned octet)
{
    if (octet >= 100)
        *at++ = (char)('0' + octet / 100);
    if (octet >= 10)
        *at++ = (char)('0' + octet / 10 % 10);
    *at++ = (char)('0' + octet % 10);
    return at;
}

str_t address_text(const struct in6_addr *address, char out[INET6_ADDRSTRLEN])
{
    if (!IN6_IS_ADDR_V4MAPPED(address)) {
        const char *text = inet_ntop(AF_INET6, address, out, INET6_ADDRSTRLEN);
        assert(text != NULL);
        return str_from(text);
    }
    char *at = out;
    for (unsigned i = 12; i < 16; i++) {
        if (i != 12)
            *at++ = '.';
        at = write_octet(at, address->s6_addr[i]);
    }
    *at = '\0';
    return str_make(out, (size_t)(at - out));
}
