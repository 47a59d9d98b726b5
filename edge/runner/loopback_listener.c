#include "loopback_listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <unistd.h>

static bool accepts(const struct sockaddr *address, socklen_t len)
{
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool ok = connect(fd, address, len) == 0;
    if (!ok && errno == EINPROGRESS) {
        /* On loopback the answer has arrived once connect releases the socket. */
        struct pollfd ready = {.fd = fd, .events = POLLOUT};
        int error = 0;
        socklen_t error_len = sizeof(error);
        ok = poll(&ready, 1, 1) == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_len) == 0 &&
             error == 0;
    }
    close(fd);
    return ok;
}

unsigned loopback_listener_find(uint16_t port)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return (accepts((const struct sockaddr *)&v4, sizeof(v4)) ? LOOPBACK_LISTENER_V4 : 0) |
           (accepts((const struct sockaddr *)&v6, sizeof(v6)) ? LOOPBACK_LISTENER_V6 : 0);
}
