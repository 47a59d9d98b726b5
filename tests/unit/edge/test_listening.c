/* What listens where, as /proc shows it: this process stands for a box. */
#include "listening.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>

static int listen_on(const char *text, uint16_t *port)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(*port)};
    socklen_t len = sizeof(address);
    int zero = 0, one = 1;
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    assert_int_equal(inet_pton(AF_INET6, text, &address.sin6_addr), 1);
    if (bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, 1) != 0) {
        close(fd);
        return -1;
    }
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port = ntohs(address.sin6_port);
    return fd;
}

static void expect(const char *address, bool only)
{
    uint16_t port = 0;
    int fd = listen_on(address, &port);
    if (fd < 0)
        return; /* a machine without IPv6 */
    assert_int_equal(listening_only_on_loopback((uint32_t)getpid(), port), only);
    close(fd);
    assert_false(listening_only_on_loopback((uint32_t)getpid(), port)); /* nothing does any more */
}

static void addresses(void **state)
{
    (void)state;
    expect("::1", true);
    expect("::ffff:127.0.0.1", true);
    expect("::ffff:127.9.9.9", true);
    expect("::", false);
    expect("::ffff:0.0.0.0", false);
}

static void ipv4(void **state)
{
    (void)state;
    const uint32_t addresses[] = {INADDR_LOOPBACK, INADDR_ANY};
    for (int i = 0; i < 2; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(addresses[i])}};
        socklen_t len = sizeof(address);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
        assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
        assert_false(
            listening_only_on_loopback((uint32_t)getpid(), ntohs(address.sin_port))); /* bound only */
        assert_int_equal(listen(fd, 1), 0);
        assert_int_equal(listening_only_on_loopback((uint32_t)getpid(), ntohs(address.sin_port)), i == 0);
        close(fd);
    }
}

static void unknown(void **state)
{
    (void)state;
    assert_false(listening_only_on_loopback(0, 80));
    assert_false(listening_only_on_loopback(UINT32_MAX, 80));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(ipv4),
        cmocka_unit_test(unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
