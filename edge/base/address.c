#include "address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>

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

const char *address_port_text(const struct in6_addr *address, uint16_t port, char out[ADDRESS_PORT_BYTES])
{
    char text[INET6_ADDRSTRLEN];
    (void)address_text(address, text);
    int n =
        snprintf(out, ADDRESS_PORT_BYTES, IN6_IS_ADDR_V4MAPPED(address) ? "%s:%u" : "[%s]:%u", text, port);
    assert(n > 0 && n < ADDRESS_PORT_BYTES);
    return out;
}

socklen_t address_make(const struct in6_addr *address, uint16_t port, struct sockaddr_storage *out)
{
    *out = (struct sockaddr_storage){0};
    if (IN6_IS_ADDR_V4MAPPED(address)) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)out;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        memcpy(&v4->sin_addr, address->s6_addr + 12, 4);
        return sizeof(*v4);
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    v6->sin6_addr = *address;
    return sizeof(*v6);
}

bool address_is_loopback(const struct in6_addr *address)
{
    return IN6_IS_ADDR_LOOPBACK(address) || (IN6_IS_ADDR_V4MAPPED(address) && address->s6_addr[12] == 127);
}
