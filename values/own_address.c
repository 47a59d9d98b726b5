#include "own_address.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"

/* connect() of a datagram socket needs a port; nothing is sent to it. */
#define ANY_PORT 9

/* The source address that the kernel would use towards `to`. Returns false without a route. */
static bool source_for(int fd, const struct in6_addr *to, struct in6_addr *source)
{
    struct sockaddr_storage peer, own;
    socklen_t len = sizeof(own);
    uint16_t port;
    socklen_t peer_len = address_make(to, ANY_PORT, &peer);
    return connect(fd, (const struct sockaddr *)&peer, peer_len) == 0 &&
           getsockname(fd, (struct sockaddr *)&own, &len) == 0 &&
           address_take((const struct sockaddr *)&own, source, &port);
}

bool own_address(const struct in6_addr *address)
{
    struct in6_addr source;
    if (address_is_loopback(address) || address_is_nowhere(address))
        return true;
    int fd = socket(address_is_v4(address) ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno != EAFNOSUPPORT; /* an unsupported family has no address on this machine */
    bool own = source_for(fd, address, &source) && IN6_ARE_ADDR_EQUAL(&source, address);
    close(fd);
    return own;
}
