/* Ports of a tree of processes, from texts as /proc has them, and of this process. */
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "dev_ports.h"

#define HEAD                                                                                                 \
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
#define LINE(address, state, inode)                                                                          \
    "   0: " address " 00000000:0000 " state " 00000000:00000000 00:00000000 00000000  1000        0 " inode \
    " 1 0000000000000000 100 0 0 10 0\n"
#define LINE6(address, state, inode)                                                                         \
    "   0: " address " 00000000000000000000000000000000:0000 " state                                         \
    " 00000000:00000000 00:00000000 00000000  1000        0 " inode " 1 0000000000000000 100 0 0 10 0\n"
#define ANY6 "00000000000000000000000000000000"
#define ONE6 "00000000000000000000000001000000"

static const unsigned long inodes[] = {11, 12, 13, 14, 15, 16, 17};

static size_t parse(const char *tcp, const char *tcp6, dev_port_t *out)
{
    return dev_ports_parse(tcp, tcp6, inodes, sizeof(inodes) / sizeof(inodes[0]), out);
}

static void tables_are_read(void **state)
{
    dev_port_t ports[DEV_PORTS_MAX];
    (void)state;
    const char *tcp = HEAD LINE("0100007F:1770", "0A", "11")        /* 127.0.0.1:6000 */
        LINE("00000000:0BB8", "0A", "12")                           /* 0.0.0.0:3000 */
        LINE("0500A8C0:0FA0", "0A", "13")                           /* 192.168.0.5:4000 */
        LINE("0100007F:0FA1", "01", "14")                           /* established */
        LINE("0100007F:0FA2", "0A", "99");                          /* of another process */
    const char *tcp6 = HEAD LINE6(ONE6 ":1388", "0A", "15")         /* [::1]:5000 */
        LINE6(ANY6 ":0BB8", "0A", "16")                             /* [::]:3000 */
        LINE6("0000000000000000FFFF00000100007F:1B58", "0A", "17"); /* ::ffff:127.0.0.1:7000 */
    assert_int_equal(parse(tcp, tcp6, ports), 5);
    static const dev_port_t want[] = {{3000, false, false},
                                      {4000, false, true},
                                      {5000, true, false},
                                      {6000, false, false},
                                      {7000, false, false}};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(ports[i].port, want[i].port);
        assert_int_equal(ports[i].v6, want[i].v6);
        assert_int_equal(ports[i].outside, want[i].outside);
    }
}

static void nonsense_is_left_out(void **state)
{
    dev_port_t ports[DEV_PORTS_MAX];
    (void)state;
    assert_int_equal(parse(NULL, NULL, ports), 0);
    assert_int_equal(parse("", "\n\n", ports), 0);
    assert_int_equal(parse("   0: 0100007F", LINE("0100007:1770", "0A", "11"), ports), 0);
    assert_int_equal(parse(LINE("0100007F:0000", "0A", "11"), "no table", ports), 0);
    assert_int_equal(dev_ports_parse(LINE("0100007F:1770", "0A", "11"), "", inodes, 0, ports), 0);
}

static void there_is_a_bound(void **state)
{
    dev_port_t ports[DEV_PORTS_MAX];
    static char text[DEV_PORTS_MAX * 400];
    size_t used = 0;
    (void)state;
    for (unsigned i = 0; i < DEV_PORTS_MAX + 5; i++)
        used += (size_t)snprintf(
            text + used, sizeof(text) - used,
            "   0: 0100007F:%04X 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 11 1\n",
            9000 - i);
    assert_int_equal(parse(text, "", ports), DEV_PORTS_MAX);
    for (size_t i = 1; i < DEV_PORTS_MAX; i++)
        assert_true(ports[i - 1].port < ports[i].port);
}

static void this_process_is_found(void **state)
{
    dev_port_t ports[DEV_PORTS_MAX];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    (void)state;
    assert_int_equal(bind(fd, (const struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    size_t count = dev_ports_find(getpid(), ports), found = 0;
    for (size_t i = 0; i < count; i++)
        found += ports[i].port == ntohs(at.sin_port) && !ports[i].v6 && !ports[i].outside;
    assert_int_equal(found, 1);
    assert_true(dev_ports_is_taken(ntohs(at.sin_port), &ports[0]));
    assert_int_equal(ports[0].port, ntohs(at.sin_port));
    assert_false(ports[0].v6 || ports[0].outside);
    assert_true(dev_ports_is_taken(ntohs(at.sin_port), NULL));
    /* It accepts, and says nothing. */
    const dev_port_t mute = {.port = ntohs(at.sin_port)};
    assert_false(dev_ports_speaks_http(&mute, 50));
    close(fd);
    assert_false(dev_ports_is_taken(ntohs(at.sin_port), NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_read),
        cmocka_unit_test(nonsense_is_left_out),
        cmocka_unit_test(there_is_a_bound),
        cmocka_unit_test(this_process_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
