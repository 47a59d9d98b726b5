/* Listeners as /proc shows them, and the text about them: this process stands for a box. */
#include "box_ports_message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>

/* -1: none; 1: on loopback only; 0: reachable by others. */
static int seen(uint16_t port)
{
    static box_ports_t table;
    box_ports_read((uint32_t)getpid(), &table);
    assert_true(table.known);
    const box_port_t *found = box_ports_find(table.ports, table.count, port);
    return found != NULL ? found->loopback : -1;
}

/* Of `family`, bound to `address` and a free port; -1: this machine cannot. */
static int bind_to(int family, const char *address, uint16_t *port)
{
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct sockaddr_in four = {.sin_family = AF_INET};
    bool is_six = family == AF_INET6;
    struct sockaddr *sa = is_six ? (struct sockaddr *)&six : (struct sockaddr *)&four;
    socklen_t len = is_six ? sizeof(six) : sizeof(four);
    int zero = 0;
    assert_int_equal(inet_pton(family, address, is_six ? (void *)&six.sin6_addr : &four.sin_addr), 1);
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && is_six)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
    if (fd >= 0 && bind(fd, sa, len) != 0) {
        close(fd);
        return -1;
    }
    if (fd >= 0)
        assert_int_equal(getsockname(fd, sa, &len), 0);
    *port = ntohs(is_six ? six.sin6_port : four.sin_port);
    return fd;
}

/* A port that is free at one address may be in use at another of this machine: then the test tries another
 * port. */
static int bind_unseen(int family, const char *address, uint16_t *port)
{
    for (;;) {
        int fd = bind_to(family, address, port);
        if (fd < 0 || seen(*port) == -1)
            return fd;
        close(fd);
    }
}

static void expect(int family, const char *address, bool only)
{
    uint16_t port = 0;
    int fd = bind_unseen(family, address, &port); /* bound only: not seen */
    if (fd < 0)
        return; /* a machine without IPv6 */
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(seen(port), only);
    close(fd);
    assert_int_equal(seen(port), -1);
}

static void addresses(void **state)
{
    (void)state;
    expect(AF_INET6, "::1", true);
    expect(AF_INET6, "::ffff:127.0.0.1", true);
    expect(AF_INET6, "::ffff:127.9.9.9", true);
    expect(AF_INET6, "::", false);
    expect(AF_INET6, "::ffff:0.0.0.0", false);
    expect(AF_INET, "127.0.0.1", true);
    expect(AF_INET, "127.9.9.9", true);
    expect(AF_INET, "0.0.0.0", false);
}

static void unknown(void **state)
{
    static box_ports_t table;
    (void)state;
    box_ports_read(0, &table);
    assert_false(table.known);
    box_ports_read(UINT32_MAX, &table);
    assert_false(table.known || table.count != 0);
}

/* At most as many as fit into an answer, the requested one first. */
static void what_is_said(void **state)
{
    static box_ports_t table = {.known = true, .count = BOX_PORTS_MAX};
    box_ports_answer_t picked, read;
    char bytes[BOX_PORTS_BYTES];
    str_t label;
    store_box_t box = {.provider = PROVIDER_DOCKER};
    (void)state;
    for (uint16_t i = 0; i < BOX_PORTS_MAX; i++)
        table.ports[i] = (box_port_t){(uint16_t)(1000 + i), i == 200};
    box_ports_pick(&table, &box, 1200, &picked);
    assert_int_equal(picked.count, BOX_PORTS_ANSWER_MAX);
    assert_true(picked.ports[0].port == 1200 && picked.ports[0].loopback && picked.ports[1].port == 1000);
    size_t n = box_ports_write(STR("box-1200"), &picked, bytes);
    assert_true(box_ports_parse(str_make(bytes, n), &label, &read));
    assert_true(str_eq(label, STR("box-1200")) && read.known);
    assert_memory_equal(read.ports, picked.ports, sizeof(picked.ports));
    for (size_t i = 0; i + 8 < n; i++)
        if (box_ports_parse(str_make(bytes, i), &label, &read))
            assert_true(label.n <= BOX_PORTS_LABEL_MAX);
    box = (store_box_t){.provider = PROVIDER_DOCKER, .port_count = 1, .ports = {1005}};
    box_ports_pick(&table, &box, 1200, &picked);
    assert_true(picked.count == 1 && picked.ports[0].port == 1005);
    /* A process shares the machine's network: only its declared port is its own. */
    box.provider = PROVIDER_PROCESS;
    box_ports_pick(&table, &box, 1200, &picked);
    assert_true(picked.count == 1 && picked.ports[0].port == 1005);
    box.port_count = 0;
    box_ports_pick(&table, &box, 1200, &picked);
    assert_true(picked.known && picked.count == 0);
}

/* A line travels whole up to its bound, beside the maximum number of ports, and as text in any form. */
static void a_line_is_said(void **state)
{
    box_ports_answer_t sent = {.known = true, .count = BOX_PORTS_ANSWER_MAX}, read;
    char bytes[BOX_PORTS_BYTES], text[BOX_PORTS_LABEL_MAX + 1];
    str_t label;
    (void)state;
    memset(text, 'l', BOX_PORTS_LABEL_MAX);
    memset(sent.line, 'x', BOX_PORTS_LINE_MAX);
    size_t n = box_ports_write(str_make(text, BOX_PORTS_LABEL_MAX), &sent, bytes);
    assert_int_equal(n, BOX_PORTS_BYTES);
    assert_true(box_ports_parse(str_make(bytes, n), &label, &read));
    assert_string_equal(read.line, sent.line);
    assert_true(str_eq(label, str_make(text, BOX_PORTS_LABEL_MAX)));
    assert_false(box_ports_parse(str_make(bytes, n - BOX_PORTS_LABEL_MAX), &label, &read)); /* no label */
    for (size_t i = 0; i < n - BOX_PORTS_LABEL_MAX; i++)
        assert_false(box_ports_parse(str_make(bytes, i), &label, &read));
    bytes[1] = (char)(BOX_PORTS_LINE_MAX + 1);
    assert_false(box_ports_parse(str_make(bytes, n), &label, &read));
    sent = (box_ports_answer_t){.line = "a\xff\x01z"};
    n = box_ports_write(STR("box-1"), &sent, bytes);
    assert_true(box_ports_parse(str_make(bytes, n), &label, &read));
    assert_string_equal(read.line, "a? z");
    assert_true(!read.known && str_eq(label, STR("box-1")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),
        cmocka_unit_test(unknown),
        cmocka_unit_test(what_is_said),
        cmocka_unit_test(a_line_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
