/* Waiting for a port that does not listen yet: how often, and how soon the listener is seen. The test moves
 * the loop's clock. */
#include "probe.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <fcntl.h>

static void test_waits_are_short_beside_what_was_waited(void **state)
{
    (void)state;
    unsigned tries = 0, durations = 0;
    uint32_t last = 0;
    for (uint64_t waited = 0; waited < 30000; tries++) {
        uint32_t wait = probe_wait_ms(waited);
        assert_in_range(wait, 1, PROBE_WAIT_MOST_MS);
        assert_true(wait == 1 || wait <= waited / 8);
        assert_true(wait == PROBE_WAIT_MOST_MS || wait * 2 > waited / 8);
        durations += wait != last;
        last = wait;
        waited += wait;
        if (waited < 16)
            assert_int_equal(waited, tries + 1);
    }
    assert_int_equal(last, PROBE_WAIT_MOST_MS);
    assert_in_range(tries, 100, 230); /* in the 30 s that a request waits at most */
    assert_int_equal(durations, 9);   /* of the loop's */
    assert_int_equal(probe_wait_ms(UINT64_MAX), PROBE_WAIT_MOST_MS);
}

static const struct in6_addr loopback = {.s6_addr = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};

static void on_listening(void *owner)
{
    ++*(unsigned *)owner;
}

/* A port of loopback on which nothing listens, for the lifetime of the socket. */
static int reserve(uint16_t *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

/* One try of the probe is over: it waits again, or has reported. */
static void turn(loop_t *loop)
{
    for (int i = 0; i < 4; i++)
        loop_turn(loop, 0);
}

static void test_listens_at_last(void **state)
{
    (void)state;
    loop_t *loop = loop_new();
    unsigned told = 0;
    uint16_t port;
    int fd = reserve(&port);
    probe_t *probe = probe_start(loop, &loopback, port, on_listening, &told);
    for (int i = 0; i < 40; i++) {
        turn(loop);
        assert_int_equal(told, 0);
        loop_skip(loop, PROBE_WAIT_MOST_MS);
    }
    assert_int_equal(listen(fd, 1), 0);
    uint64_t end = loop_precise_us() + 30000000;
    while (told == 0 && loop_precise_us() < end) {
        turn(loop);
        loop_skip(loop, PROBE_WAIT_MOST_MS);
    }
    assert_int_equal(told, 1);
    turn(loop);
    assert_int_equal(told, 1);
    probe_stop(&probe);
    assert_null(probe);
    probe_stop(&probe);
    close(fd);
    loop_free(&loop);
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

/* A port that neither accepts nor refuses for a second is tried anew. */
static void test_silence_is_no_answer(void **state)
{
    (void)state;
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);
    loop_t *loop = loop_new();
    unsigned told = 0;
    uint16_t port;
    loop_hold(loop);
    int fd = reserve(&port), queued = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(listen(fd, 0), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(connect(queued, (struct sockaddr *)&address, len), 0); /* the queue is full */
    probe_t *probe = probe_start(loop, &loopback, port, on_listening, &told);
    turn(loop);
    unsigned connecting = open_descriptors();
    loop_skip(loop, 999);
    turn(loop);
    assert_int_equal(open_descriptors(), connecting);
    loop_skip(loop, 1);
    turn(loop);
    assert_int_equal(open_descriptors(), connecting - 1); /* it waits */
    loop_skip(loop, PROBE_WAIT_MOST_MS);
    turn(loop);
    assert_int_equal(open_descriptors(), connecting);
    assert_int_equal(told, 0);
    probe_stop(&probe);
    close(queued);
    close(fd);
    loop_free(&loop);
}

/* Without a listener the probe has no end, and stopping it leaves no trace. */
static void test_is_stopped_at_any_time(void **state)
{
    (void)state;
    loop_t *loop = loop_new();
    unsigned told = 0;
    uint16_t port;
    int fd = reserve(&port);
    for (int turns = 0; turns < 4; turns++) {
        probe_t *probe = probe_start(loop, &loopback, port, on_listening, &told);
        for (int i = 0; i < turns; i++)
            loop_turn(loop, 0);
        probe_stop(&probe);
        loop_skip(loop, 2000);
        turn(loop);
    }
    assert_int_equal(told, 0);
    close(fd);
    loop_free(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_are_short_beside_what_was_waited),
        cmocka_unit_test(test_listens_at_last),
        cmocka_unit_test(test_silence_is_no_answer),
        cmocka_unit_test(test_is_stopped_at_any_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
