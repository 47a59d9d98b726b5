#include "address.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdio.h>

/* Octets in decimal: every request writes its client's address twice or more. */
#define TEN(tens)                                                                                            \
    tens "0", tens "1", tens "2", tens "3", tens "4", tens "5", tens "6", tens "7", tens "8", tens "9"
static const char octets[256][4] = {
    TEN(""),   TEN("1"),  TEN("2"),  TEN("3"),  TEN("4"),  TEN("5"),  TEN("6"),  TEN("7"),
    TEN("8"),  TEN("9"),  TEN("10"), TEN("11"), TEN("12"), TEN("13"), TEN("14"), TEN("15"),
    TEN("16"), TEN("17"), TEN("18"), TEN("19"), TEN("20"), TEN("21"), TEN("22"), TEN("23"),
    TEN("24"), "250",     "251",     "252",     "253",     "254",     "255"};

/* Writes four bytes with the NUL, and returns the end of the digits. */
static char *write_octet(char *at, unsigned octet)
{
    memcpy(at, octets[octet], sizeof(octets[octet]));
    return at + 1 + (octet >= 10) + (octet >= 100);
}

struct in6_addr address_from_v4(const void *four_bytes)
{
    struct in6_addr mapped = {.s6_addr = {[10] = 0xff, [11] = 0xff}};
    memcpy(&mapped.s6_addr[12], four_bytes, 4);
    return mapped;
}

bool address_parse(const char *text, struct in6_addr *out)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (inet_pton(AF_INET, text, &v4) == 1)
        *out = address_from_v4(&v4);
    else if (inet_pton(AF_INET6, text, &v6) == 1)
        *out = v6;
    else
        return false;
    return true;
}

bool address_take(const struct sockaddr *from, struct in6_addr *address, uint16_t *port)
{
    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)from;
        *address = address_from_v4(&v4->sin_addr);
        *port = ntohs(v4->sin_port);
        return true;
    }
    if (from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)from;
        *address = v6->sin6_addr;
        *port = ntohs(v6->sin6_port);
        return true;
    }
    return false;
}

str_t address_text(const struct in6_addr *address, char out[INET6_ADDRSTRLEN])
{
    if (!address_is_v4(address)) {
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
    return str_make(out, (size_t)(at - out));
}

const char *address_port_text(const struct in6_addr *address, uint16_t port, char out[ADDRESS_PORT_BYTES])
{
    char text[INET6_ADDRSTRLEN];
    (void)address_text(address, text);
    int n = snprintf(out, ADDRESS_PORT_BYTES, address_is_v4(address) ? "%s:%u" : "[%s]:%u", text, port);
    assert(n > 0 && n < ADDRESS_PORT_BYTES);
    return out;
}

socklen_t address_make(const struct in6_addr *address, uint16_t port, struct sockaddr_storage *out)
{
    *out = (struct sockaddr_storage){0};
    if (address_is_v4(address)) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)out;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        memcpy(&v4->sin_addr, address_v4(address), 4);
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
    return IN6_IS_ADDR_LOOPBACK(address) || (address_is_v4(address) && address_v4(address)[0] == 127);
}

bool address_is_nowhere(const struct in6_addr *address)
{
    return IN6_IS_ADDR_UNSPECIFIED(address) || (address_is_v4(address) && address_v4(address)[0] == 0);
}

bool address_is_link_local(const struct in6_addr *address)
{
    const uint8_t *v4 = address_v4(address);
    return IN6_IS_ADDR_LINKLOCAL(address) || (address_is_v4(address) && v4[0] == 169 && v4[1] == 254);
}
