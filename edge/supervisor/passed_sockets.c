/*
 * See passed_sockets.h.
 */
#include "passed_sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "listener_set.h"
#include "sd_listen.h"

static int option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof(value);
    return getsockopt(fd, level, name, &value, &len) == 0 ? value : -1;
}

/* Returns the reason against `fd`, or NULL. */
static const char *why_not(int fd)
{
    int domain = option(fd, SOL_SOCKET, SO_DOMAIN);
    if (domain < 0)
        return "is not a socket";
    if (domain != AF_INET && domain != AF_INET6)
        return "is neither an IPv4 nor an IPv6 socket";
    if (option(fd, SOL_SOCKET, SO_PROTOCOL) != IPPROTO_TCP)
        return "is not a TCP socket";
    if (option(fd, SOL_SOCKET, SO_ACCEPTCONN) != 1)
        return "does not listen (Accept=yes passes connections, which the edge does not take)";
    return NULL;
}

static const char *text_of(const conf_address_t *address, char out[ADDRESS_PORT_BYTES])
{
    struct in6_addr in;
    uint16_t port;
    if (!address_take((const struct sockaddr *)&address->sa, &in, &port))
        return "an unknown address";
    return address_port_text(&in, port, out);
}

static bool same_address(const conf_address_t *a, const conf_address_t *b)
{
    struct in6_addr a_in, b_in;
    uint16_t a_port, b_port;
    return a->sa.ss_family == b->sa.ss_family &&
           address_take((const struct sockaddr *)&a->sa, &a_in, &a_port) &&
           address_take((const struct sockaddr *)&b->sa, &b_in, &b_port) && a_port == b_port &&
           memcmp(&a_in, &b_in, sizeof(a_in)) == 0;
}

static bool has(const passed_sockets_t *sockets, const conf_address_t *address)
{
    for (size_t i = 0; i < sockets->count; i++)
        if (same_address(&sockets->at[i].address, address))
            return true;
    return false;
}

bool passed_sockets_add(passed_sockets_t *sockets, int fd, const char *name, char *error, size_t error_len)
{
    char text[ADDRESS_PORT_BYTES];
    passed_socket_t one = {.fd = fd, .address.len = sizeof(one.address.sa)};
    const char *why = sockets->count == PROCESS_LISTENERS_MAX ? "is one too many" : why_not(fd);
    if (why == NULL && getsockname(fd, (struct sockaddr *)&one.address.sa, &one.address.len) < 0)
        why = "has no address";
    if (why != NULL)
        snprintf(error, error_len, "the socket %s that was passed %s", name, why);
    else if (has(sockets, &one.address))
        snprintf(error, error_len, "two sockets were passed for %s: one is shared by all workers",
                 text_of(&one.address, text));
    else if (!listener_socket_prepare(fd))
        snprintf(error, error_len, "the socket for %s that was passed cannot be used: %s",
                 text_of(&one.address, text), strerror(errno));
    else {
        one.ipv4 = one.address.sa.ss_family == AF_INET6 && option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0;
        sockets->at[sockets->count++] = one;
        return true;
    }
    close(fd);
    return false;
}

bool passed_sockets_take(passed_sockets_t *sockets, char *error, size_t error_len)
{
    unsigned count = 0;
    bool ok = sd_listen_take(PROCESS_LISTENERS_MAX, &count, error, error_len);
    for (unsigned i = 0; ok && i < count; i++) {
        char name[64];
        int fd = SD_LISTEN_FIRST + (int)i;
        str_t given = sd_listen_name(getenv("LISTEN_FDNAMES"), i);
        snprintf(name, sizeof(name), "\"%.*s\" (descriptor %d)", (int)(given.n < 32 ? given.n : 32), given.p,
                 fd);
        ok = passed_sockets_add(sockets, fd, name, error, error_len);
    }
    sd_listen_forget();
    return ok;
}

passed_match_t passed_sockets_find(const passed_sockets_t *sockets, const conf_listener_t *listener, int *fd)
{
    for (size_t i = 0; sockets != NULL && i < sockets->count; i++) {
        const passed_socket_t *one = &sockets->at[i];
        if (!same_address(&one->address, &listener->address))
            continue;
        *fd = one->fd;
        return one->ipv4 == listener->ipv4 ? PASSED_FOUND : PASSED_OTHER_IPV4;
    }
    return PASSED_NONE;
}

static bool is_wanted(const passed_socket_t *one, const conf_t *conf)
{
    for (size_t i = 0; i < conf->listener_count; i++)
        if (same_address(&one->address, &conf->listeners[i].address))
            return true;
    return false;
}

void passed_sockets_warn(const passed_sockets_t *sockets, const conf_t *conf, FILE *out)
{
    for (size_t i = 0; i < sockets->count; i++) {
        char text[ADDRESS_PORT_BYTES];
        if (!is_wanted(&sockets->at[i], conf))
            fprintf(out,
                    "a socket was passed for %s, where no listener is configured: clients that connect there "
                    "wait in vain (boxedge.socket and `listeners` must name the same addresses)\n",
                    text_of(&sockets->at[i].address, text));
    }
}

void passed_sockets_close(passed_sockets_t *sockets)
{
    for (size_t i = 0; i < sockets->count; i++)
        close(sockets->at[i].fd);
    sockets->count = 0;
}
