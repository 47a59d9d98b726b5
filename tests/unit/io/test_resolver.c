/* Names of servers: against the test's own DNS server on loopback, which answers between turns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "resolver.h"

#define TYPE_A     1
#define TYPE_AAAA  28
#define RCODE_FAIL 2
#define RCODE_NAME 3
#define ANSWER_MAX 8192

/* The server's answers. */
typedef struct zone {
    bool silent;
    uint16_t rcode;
    uint32_t ttl;
    size_t v4_count;
    uint32_t v4; /* the first address, as a number; the others follow */
    size_t v6_count;
} zone_t;

typedef struct world {
    loop_t *loop;
    random_source_t *random;
    resolver_t *resolver;
    resolver_options_t options;
    char servers[64];
    int fd;        /* UDP */
    int listen_fd; /* TCP, on the same port */
    int tcp_fd;    /* the newest connection, or -1 */
    unsigned over_tcp;
    zone_t zone;
    unsigned questions[2]; /* of TYPE_A, of TYPE_AAAA */
    unsigned changes;
} world_t;

/* ---- the DNS server ---- */

static size_t put_record(uint8_t *out, uint16_t type, uint32_t ttl, const void *data, uint16_t n)
{
    uint8_t head[12] = {0xc0, 12, 0, (uint8_t)type, 0, 1};
    uint32_t wire_ttl = htonl(ttl);
    memcpy(head + 6, &wire_ttl, 4);
    head[11] = (uint8_t)n;
    memcpy(out, head, sizeof(head));
    memcpy(out + sizeof(head), data, n);
    return sizeof(head) + n;
}

/* The answer to a question; 0: none. */
static size_t answer(world_t *world, const uint8_t *packet, size_t n, uint8_t *out)
{
    size_t question_end = 12;
    while (question_end < n && packet[question_end] != 0)
        question_end += packet[question_end] + 1u;
    question_end += 5;
    assert_true(question_end <= n);
    uint16_t type = packet[question_end - 3];
    assert_true(type == TYPE_A || type == TYPE_AAAA);
    world->questions[type == TYPE_AAAA]++;
    if (world->zone.silent)
        return 0;
    memcpy(out, packet, question_end);
    out[2] = 0x81;
    out[3] = (uint8_t)(0x80 | world->zone.rcode);
    size_t used = question_end, count = 0;
    if (world->zone.rcode == 0)
        count = type == TYPE_A ? world->zone.v4_count : world->zone.v6_count;
    for (size_t i = count; i-- > 0;) { /* from the last one on: the order of answers must not matter */
        uint32_t v4 = htonl(world->zone.v4 + (uint32_t)i);
        struct in6_addr v6 = {.s6_addr = {0x20, 0x01, 0x0d, 0xb8, [15] = (uint8_t)(i + 1)}};
        const void *data = type == TYPE_A ? (const void *)&v4 : (const void *)&v6;
        used += put_record(out + used, type, world->zone.ttl, data, type == TYPE_A ? 4 : 16);
    }
    memset(out + 6, 0, 6);
    out[7] = (uint8_t)count;
    return used;
}

/* An answer that does not fit is cut, and requested again over TCP. */
static void serve_udp(world_t *world)
{
    uint8_t packet[1500], out[ANSWER_MAX];
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    ssize_t n;
    while ((n = recvfrom(world->fd, packet, sizeof(packet), MSG_DONTWAIT, (struct sockaddr *)&from, &len)) >
           0) {
        size_t used = answer(world, packet, (size_t)n, out);
        if (used == 0)
            continue;
        if (used > 512) {
            out[2] |= 2;
            out[7] = 0;
            used = (size_t)n;
        }
        assert_int_equal(sendto(world->fd, out, used, 0, (struct sockaddr *)&from, len), used);
    }
}

/* Takes questions from the newest connection, each with its length before it. */
static void serve_tcp(world_t *world)
{
    uint8_t packet[1500], out[2 + ANSWER_MAX];
    int fd = accept4(world->listen_fd, NULL, NULL, SOCK_NONBLOCK);
    if (fd >= 0) {
        if (world->tcp_fd >= 0)
            close(world->tcp_fd);
        world->tcp_fd = fd;
    }
    while (world->tcp_fd >= 0 && recv(world->tcp_fd, packet, 2, MSG_PEEK) == 2) {
        size_t n = (size_t)packet[0] << 8 | packet[1];
        assert_true(n < sizeof(packet) - 2);
        if (recv(world->tcp_fd, packet, n + 2, MSG_PEEK) != (ssize_t)n + 2)
            return;
        assert_int_equal(recv(world->tcp_fd, packet, n + 2, 0), n + 2);
        size_t used = answer(world, packet + 2, n, out + 2);
        out[0] = (uint8_t)(used >> 8);
        out[1] = (uint8_t)used;
        assert_int_equal(send(world->tcp_fd, out, used + 2, MSG_NOSIGNAL), used + 2);
        world->over_tcp++;
    }
}

static void turn(world_t *world)
{
    loop_turn(world->loop, 5);
    serve_udp(world);
    serve_tcp(world);
}

/* Turns until `condition`; a generous bound ends a test that would hang. */
#define UNTIL(world, condition)                                                                              \
    do {                                                                                                     \
        uint64_t end_us = loop_precise_us() + 20000000;                                                      \
        while (!(condition) && loop_precise_us() < end_us)                                                   \
            turn(world);                                                                                     \
        assert_true(condition);                                                                              \
    } while (0)

/* ---- the world ---- */

static void on_changed(void *owner)
{
    world_t *world = owner;
    world->changes++;
}

static int setup(void **state)
{
    world_t *world = calloc(1, sizeof(*world));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int rc = -1;
    while (rc != 0) { /* until a port is free for both */
        address.sin_port = 0;
        world->fd = socket(AF_INET, SOCK_DGRAM, 0);
        world->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        assert_int_equal(bind(world->fd, (struct sockaddr *)&address, sizeof(address)), 0);
        assert_int_equal(getsockname(world->fd, (struct sockaddr *)&address, &len), 0);
        rc = bind(world->listen_fd, (struct sockaddr *)&address, sizeof(address));
        if (rc != 0) {
            close(world->fd);
            close(world->listen_fd);
        }
    }
    assert_int_equal(listen(world->listen_fd, 10), 0);
    world->tcp_fd = -1;
    snprintf(world->servers, sizeof(world->servers), "127.0.0.1:%u", ntohs(address.sin_port));
    world->loop = loop_new();
    world->random = random_source_new();
    world->options = (resolver_options_t){.servers = world->servers,
                                          .ttl_least_ms = 20,
                                          .ttl_most_ms = 40,
                                          .ttl_none_ms = 30,
                                          .retry_first_ms = 10,
                                          .retry_last_ms = 40};
    world->zone = (zone_t){.ttl = 60, .v4_count = 2, .v4 = 0xc0000201, .v6_count = 1};
    world->resolver = resolver_new(world->loop, &world->options, world->random, on_changed, world);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    world_t *world = *state;
    resolver_free(&world->resolver);
    assert_null(world->resolver);
    random_source_free(&world->random);
    loop_free(&world->loop);
    close(world->fd);
    close(world->listen_fd);
    if (world->tcp_fd >= 0)
        close(world->tcp_fd);
    free(world);
    return 0;
}

static void want(world_t *world, const char *name)
{
    resolver_set(world->resolver, &name, 1);
}

/* The addresses of a name as one text. */
static const char *shown(const world_t *world, const char *name)
{
    static char text[RESOLVER_ADDRESSES_MAX * INET6_ADDRSTRLEN];
    const struct in6_addr *addresses;
    size_t count = resolver_look(world->resolver, name, &addresses), used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        char one[INET6_ADDRSTRLEN];
        inet_ntop(AF_INET6, &addresses[i], one, sizeof(one));
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i != 0 ? " " : "", one);
    }
    return text;
}

/* ---- times ---- */

static void test_times(void **state)
{
    (void)state;
    const resolver_options_t *options = &resolver_defaults;
    assert_int_equal(resolver_ttl_ms(options, 0), 30000);
    assert_int_equal(resolver_ttl_ms(options, -1), 30000);
    assert_int_equal(resolver_ttl_ms(options, 1), 1000);
    assert_int_equal(resolver_ttl_ms(options, 60), 60000);
    assert_int_equal(resolver_ttl_ms(options, 300), 300000);
    assert_int_equal(resolver_ttl_ms(options, 301), 300000);
    assert_int_equal(resolver_ttl_ms(options, INT32_MAX), 300000);
    assert_int_equal(resolver_retry_ms(options, 1, 0), 1000);
    assert_int_equal(resolver_retry_ms(options, 3, 0), 4000);
    assert_int_equal(resolver_retry_ms(options, 7, 0), 60000);
    assert_int_equal(resolver_retry_ms(options, UINT32_MAX, 0), 60000);
    assert_in_range(resolver_retry_ms(options, 1, 0xffff), 500, 501);
    assert_in_range(resolver_retry_ms(options, 100, 0x8000), 45000, 45000);
    resolver_options_t least = {.ttl_least_ms = 5000, .ttl_most_ms = 6000};
    assert_int_equal(resolver_ttl_ms(&least, 1), 5000);
}

/* ---- answers ---- */

static void test_both_families(void **state)
{
    world_t *world = *state;
    assert_string_equal(shown(world, "api.test"), "");
    want(world, "api.test");
    UNTIL(world, world->changes == 1);
    assert_string_equal(shown(world, "api.test"), "::ffff:192.0.2.1 ::ffff:192.0.2.2 2001:db8::1");
    assert_string_equal(shown(world, "other.test"), "");
}

static void test_asked_again_after_the_ttl(void **state)
{
    world_t *world = *state;
    want(world, "api.test");
    UNTIL(world, world->questions[0] >= 4 && world->questions[1] >= 4);
    assert_int_equal(world->changes, 1); /* the same answer is no change */
    world->zone = (zone_t){.ttl = 1, .v4_count = 1, .v4 = 0xc6336407};
    UNTIL(world, world->changes == 2);
    assert_string_equal(shown(world, "api.test"), "::ffff:198.51.100.7");
    world->zone = (zone_t){.ttl = 0, .v6_count = 2};
    UNTIL(world, world->changes == 3);
    assert_string_equal(shown(world, "api.test"), "2001:db8::1 2001:db8::2");
}

static void fails(world_t *world, zone_t how)
{
    unsigned before = world->questions[0];
    world->zone = how;
    /* Several attempts, each of which asks the only server at most twice. */
    UNTIL(world, world->questions[0] >= before + 6);
    assert_int_equal(world->changes, 1);
    assert_string_equal(shown(world, "api.test"), "::ffff:192.0.2.1 ::ffff:192.0.2.2 2001:db8::1");
}

static void test_failures_keep_the_last_answer(void **state)
{
    world_t *world = *state;
    zone_t good = world->zone;
    want(world, "api.test");
    UNTIL(world, world->changes == 1);
    fails(world, (zone_t){.rcode = RCODE_FAIL});
    world->zone = good;
    unsigned before = world->questions[1];
    UNTIL(world, world->questions[1] >= before + 4);
    assert_int_equal(world->changes, 1);
    resolver_figures_t figures = resolver_figures(world->resolver);
    assert_int_equal(figures.names, 1);
    assert_int_equal(figures.failing, 0);
    assert_int_equal(figures.oldest_ms, 0);
    assert_true(figures.failures >= 1);
    fails(world, (zone_t){.rcode = RCODE_NAME});
    figures = resolver_figures(world->resolver);
    assert_int_equal(figures.failing, 1);
    assert_true(figures.oldest_ms > 0);
    fails(world, (zone_t){.ttl = 60}); /* no address */
    good.v4++;
    world->zone = good;
    UNTIL(world, world->changes == 2);
    assert_string_equal(shown(world, "api.test"), "::ffff:192.0.2.2 ::ffff:192.0.2.3 2001:db8::1");
}

static void test_unknown_until_it_is_there(void **state)
{
    world_t *world = *state;
    zone_t good = world->zone;
    world->zone = (zone_t){.rcode = RCODE_NAME};
    want(world, "api.test");
    UNTIL(world, world->questions[0] >= 4);
    assert_int_equal(world->changes, 0);
    assert_string_equal(shown(world, "api.test"), "");
    world->zone = good;
    UNTIL(world, world->changes == 1);
}

static void test_bound_of_addresses(void **state)
{
    world_t *world = *state;
    const struct in6_addr *addresses;
    world->zone = (zone_t){.ttl = 60, .v4_count = 100, .v4 = 0xc0000201, .v6_count = 100};
    want(world, "api.test");
    UNTIL(world, world->changes == 1);
    assert_int_equal(resolver_look(world->resolver, "api.test", &addresses), RESOLVER_ADDRESSES_MAX);
    assert_int_equal(addresses[0].s6_addr[15], 1);
    assert_int_equal(addresses[63].s6_addr[15], 64);
    assert_true(world->over_tcp >= 2);
    world->zone.v4_count = world->zone.v6_count = 32;
    UNTIL(world, world->changes == 2);
    assert_int_equal(resolver_look(world->resolver, "api.test", &addresses), 64);
}

static void test_hosts_file(void **state)
{
    world_t *world = *state;
    want(world, "localhost");
    UNTIL(world, world->changes == 1);
    assert_non_null(strstr(shown(world, "localhost"), "127.0.0.1"));
    assert_int_equal(world->questions[0], 0);
}

/* ---- names that are added and removed ---- */

static void test_names_that_stay_are_not_asked_anew(void **state)
{
    world_t *world = *state;
    static const char *const both[] = {"api.test", "other.test", "api.test"};
    resolver_free(&world->resolver);
    world->options.ttl_least_ms = world->options.ttl_most_ms = 3600000;
    world->resolver = resolver_new(world->loop, &world->options, world->random, on_changed, world);
    want(world, "api.test");
    UNTIL(world, world->changes == 1);
    assert_int_equal(world->questions[0], 1);
    resolver_set(world->resolver, both, 3);
    assert_string_not_equal(shown(world, "api.test"), "");
    UNTIL(world, shown(world, "other.test")[0] != '\0');
    assert_int_equal(world->questions[0], 2);
    want(world, "other.test");
    assert_string_equal(shown(world, "api.test"), "");
    assert_string_not_equal(shown(world, "other.test"), "");
}

static void test_dropped_while_asked(void **state)
{
    world_t *world = *state;
    zone_t good = world->zone;
    world->zone.silent = true;
    want(world, "api.test");
    UNTIL(world, world->questions[0] >= 1 && world->questions[1] >= 1);
    resolver_set(world->resolver, NULL, 0);
    want(world, "api.test"); /* anew, beside the earlier question */
    world->zone = good;
    UNTIL(world, world->changes == 1);
    assert_string_not_equal(shown(world, "api.test"), "");
    world->zone.silent = true;
    unsigned before = world->questions[0];
    UNTIL(world, world->questions[0] > before); /* freed by teardown while the question is open */
}

/* No socket event reports a lost question. */
static void test_a_silent_server_is_asked_again(void **state)
{
    world_t *world = *state;
    zone_t good = world->zone;
    world->zone.silent = true;
    want(world, "api.test");
    UNTIL(world, world->questions[0] >= 2 && world->questions[1] >= 2);
    assert_string_equal(shown(world, "api.test"), "");
    world->zone = good;
    UNTIL(world, world->changes == 1);
    assert_string_not_equal(shown(world, "api.test"), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times),
        cmocka_unit_test_setup_teardown(test_both_families, setup, teardown),
        cmocka_unit_test_setup_teardown(test_asked_again_after_the_ttl, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failures_keep_the_last_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_until_it_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bound_of_addresses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hosts_file, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_that_stay_are_not_asked_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dropped_while_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_silent_server_is_asked_again, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
