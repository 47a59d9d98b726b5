/* passed_sockets.h: which sockets are accepted, and which listener each is for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/tcp.h>

#include "listener_set.h"

static char error[512];

static conf_address_t address_of(int family, const char *text, uint16_t port)
{
    conf_address_t address = {.sa.ss_family = (sa_family_t)family};
    if (family == AF_INET) {
        struct sockaddr_in *in = (struct sockaddr_in *)&address.sa;
        assert_int_equal(inet_pton(family, text, &in->sin_addr), 1);
        in->sin_port = htons(port);
        address.len = sizeof(*in);
    } else {
        struct sockaddr_in6 *in = (struct sockaddr_in6 *)&address.sa;
        assert_int_equal(inet_pton(family, text, &in->sin6_addr), 1);
        in->sin6_port = htons(port);
        address.len = sizeof(*in);
    }
    return address;
}

/* A bound socket; `only`: IPV6_V6ONLY. */
static int bound(int family, int type, const char *text, int only)
{
    const conf_address_t address = address_of(family, text, 0);
    int fd = socket(family, type, 0);
    assert_true(fd >= 0);
    if (family == AF_INET6)
        assert_int_equal(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)), 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address.sa, address.len), 0);
    return fd;
}

static int listening(int family, const char *text, int only)
{
    int fd = bound(family, SOCK_STREAM, text, only);
    assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in6 in;
    socklen_t len = sizeof(in);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    return ntohs(in.sin6_port); /* at the IPv4 port, too */
}

static conf_listener_t listener_at(int family, const char *text, uint16_t port, bool ipv4)
{
    conf_listener_t listener = {.address = address_of(family, text, port), .ipv4 = ipv4};
    snprintf(listener.text, sizeof(listener.text), family == AF_INET ? "%s:%u" : "[%s]:%u", text, port);
    return listener;
}

static bool add(passed_sockets_t *sockets, int fd)
{
    return passed_sockets_add(sockets, fd, "\"x\"", error, sizeof(error));
}

static void assert_refused(int fd, const char *why)
{
    passed_sockets_t sockets = {.count = 0};
    assert_false(add(&sockets, fd));
    assert_non_null(strstr(error, why));
    assert_int_equal(sockets.count, 0);
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* closed */
}

static void only_listening_tcp_sockets_are_taken(void **state)
{
    (void)state;
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int local = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(local, (const struct sockaddr *)&name, sizeof(sa_family_t)), 0);
    assert_int_equal(listen(local, 1), 0);
    assert_refused(local, "neither an IPv4 nor an IPv6 socket");
    assert_refused(bound(AF_INET, SOCK_DGRAM, "127.0.0.1", 0), "is not a TCP socket");
    assert_refused(bound(AF_INET, SOCK_STREAM, "127.0.0.1", 0), "does not listen");
    assert_refused(open("/dev/null", O_RDWR), "is not a socket");
}

static void each_gets_what_the_edge_wants(void **state)
{
    (void)state;
    passed_sockets_t sockets = {.count = 0};
    int fd = listening(AF_INET, "127.0.0.1", 0), on = 0;
    socklen_t len = sizeof(on);
    assert_true(add(&sockets, fd));
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    assert_int_equal(on, 1);
    passed_sockets_close(&sockets);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

static void one_for_each_address_up_to_the_bound(void **state)
{
    (void)state;
    passed_sockets_t sockets = {.count = 0};
    int first = listening(AF_INET, "127.0.0.1", 0);
    assert_true(add(&sockets, first));
    assert_false(add(&sockets, dup(first)));
    assert_non_null(strstr(error, "two sockets were passed for 127.0.0.1:"));
    while (sockets.count < PROCESS_LISTENERS_MAX)
        assert_true(add(&sockets, listening(AF_INET, "127.0.0.1", 0)));
    assert_false(add(&sockets, listening(AF_INET, "127.0.0.1", 0)));
    assert_non_null(strstr(error, "is one too many"));
    passed_sockets_close(&sockets);
}

static void a_listener_has_its_own_address(void **state)
{
    (void)state;
    passed_sockets_t sockets = {.count = 0};
    int v4 = listening(AF_INET, "127.0.0.1", 0), v6 = listening(AF_INET6, "::1", 1);
    int both = listening(AF_INET6, "::", 0);
    uint16_t v4_port = port_of(v4), v6_port = port_of(v6), both_port = port_of(both);
    assert_true(add(&sockets, v4) && add(&sockets, v6) && add(&sockets, both));
    const struct {
        conf_listener_t listener;
        passed_match_t match;
        int fd;
    } rows[] = {
        {listener_at(AF_INET, "127.0.0.1", v4_port, false), PASSED_FOUND, v4},
        {listener_at(AF_INET6, "::1", v6_port, false), PASSED_FOUND, v6},
        {listener_at(AF_INET6, "::", both_port, true), PASSED_FOUND, both},
        {listener_at(AF_INET6, "::", both_port, false), PASSED_OTHER_IPV4, both},
        {listener_at(AF_INET6, "::1", v6_port, true), PASSED_OTHER_IPV4, v6},
        {listener_at(AF_INET, "127.0.0.1", (uint16_t)(v4_port + 1), false), PASSED_NONE, -1},
        {listener_at(AF_INET, "127.0.0.2", v4_port, false), PASSED_NONE, -1},
        {listener_at(AF_INET6, "::1", v4_port, false), PASSED_NONE, -1},
        /* The same bytes in another family. */
        {listener_at(AF_INET6, "::ffff:127.0.0.1", v4_port, false), PASSED_NONE, -1},
        {listener_at(AF_INET, "0.0.0.0", both_port, false), PASSED_NONE, -1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int fd = -1;
        assert_int_equal(passed_sockets_find(&sockets, &rows[i].listener, &fd), rows[i].match);
        assert_int_equal(fd, rows[i].fd);
        assert_int_equal(passed_sockets_find(NULL, &rows[i].listener, &fd), PASSED_NONE);
    }
    passed_sockets_close(&sockets);
}

static char *warnings(const passed_sockets_t *sockets, conf_listener_t *listeners, size_t count)
{
    char *text = NULL;
    size_t len = 0;
    const conf_t conf = {.listeners = listeners, .listener_count = count};
    FILE *out = open_memstream(&text, &len);
    passed_sockets_warn(sockets, &conf, out);
    fclose(out);
    return text;
}

static void one_without_a_listener_is_said(void **state)
{
    (void)state;
    passed_sockets_t sockets = {.count = 0};
    int fd = listening(AF_INET, "127.0.0.1", 0);
    conf_listener_t listener = listener_at(AF_INET, "127.0.0.1", port_of(fd), false);
    assert_true(add(&sockets, fd));
    char *text = warnings(&sockets, &listener, 1);
    assert_string_equal(text, "");
    free(text);
    text = warnings(&sockets, NULL, 0);
    assert_non_null(strstr(text, listener.text));
    free(text);
    passed_sockets_close(&sockets);
}

/* All workers have the queue of one socket, while sets come and go. */
static void workers_share_one_queue(void **state)
{
    (void)state;
    passed_sockets_t sockets = {.count = 0};
    int fd = listening(AF_INET6, "::1", 1);
    conf_listener_t listener = listener_at(AF_INET6, "::1", port_of(fd), false);
    assert_true(add(&sockets, fd));
    const listener_sources_t from = {.passed = &sockets};
    for (unsigned workers = 1; workers <= 3; workers++) {
        const conf_t conf = {.listeners = &listener, .listener_count = 1, .workers = workers};
        listener_set_t *set = listener_set_open(&conf, &from, 0, error, sizeof(error));
        assert_non_null(set);
        assert_int_equal(set->at[0].count, workers);
        int client = socket(AF_INET6, SOCK_STREAM, 0);
        assert_int_equal(connect(client, (const struct sockaddr *)&listener.address.sa, listener.address.len),
                         0);
        int taken = accept(set->at[0].fds[workers - 1], NULL, NULL);
        assert_true(taken >= 0);
        close(taken);
        close(client);
        listener_set_free(&set);
    }
    listener.ipv4 = true;
    const conf_t conf = {.listeners = &listener, .listener_count = 1, .workers = 1};
    assert_null(listener_set_open(&conf, &from, 0, error, sizeof(error)));
    assert_non_null(strstr(error, "takes no IPv4 clients"));
    passed_sockets_close(&sockets);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_listening_tcp_sockets_are_taken),
        cmocka_unit_test(each_gets_what_the_edge_wants),
        cmocka_unit_test(one_for_each_address_up_to_the_bound),
        cmocka_unit_test(a_listener_has_its_own_address),
        cmocka_unit_test(one_without_a_listener_is_said),
        cmocka_unit_test(workers_share_one_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
