/* Addresses: IPv4 as mapped IPv6, their text, and the kinds at the bounds of their ranges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>

#include "address.h"

static struct in6_addr parsed(const char *text)
{
    struct in6_addr address;
    if (!address_parse(text, &address))
        fail_msg("%s is no address", text);
    return address;
}

static void text_and_back(void **state)
{
    (void)state;
    static const struct {
        const char *text, *with_port;
        bool v4;
    } cases[] = {
        {"0.0.0.0", "0.0.0.0:1", true},
        {"192.0.2.1", "192.0.2.1:1", true},
        {"255.255.255.255", "255.255.255.255:1", true},
        {"::", "[::]:1", false},
        {"2001:db8::1", "[2001:db8::1]:1", false},
        {"::1.2.3.4", "[::1.2.3.4]:1", false}, /* IPv4-compatible, which is not mapped */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[INET6_ADDRSTRLEN], with_port[ADDRESS_PORT_BYTES];
        struct in6_addr address = parsed(cases[i].text);
        assert_int_equal(address_is_v4(&address), cases[i].v4);
        assert_int_equal(address_owner_bytes(&address), cases[i].v4 ? 16 : 8);
        assert_true(str_eq(address_text(&address, text), str_from(cases[i].text)));
        assert_string_equal(address_port_text(&address, 1, with_port), cases[i].with_port);
    }
    struct in6_addr mapped = parsed("::ffff:192.0.2.1"), v4 = parsed("192.0.2.1");
    assert_memory_equal(&mapped, &v4, sizeof(v4));
}

static void what_is_no_address(void **state)
{
    (void)state;
    static const char *const texts[] = {"",          "1.2.3", "1.2.3.256", "1.2.3.4 ",
                                        "localhost", "[::1]", "fe80::1%lo"};
    struct in6_addr address = in6addr_loopback;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_false(address_parse(texts[i], &address));
        assert_memory_equal(&address, &in6addr_loopback, sizeof(address));
    }
}

static void of_sockets(void **state)
{
    (void)state;
    static const char *const texts[] = {"192.0.2.1", "2001:db8::1"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct sockaddr_storage made;
        struct in6_addr address = parsed(texts[i]), taken;
        uint16_t port;
        assert_int_equal(address_make(&address, 65535, &made),
                         i == 0 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        assert_true(address_take((const struct sockaddr *)&made, &taken, &port));
        assert_memory_equal(&taken, &address, sizeof(address));
        assert_int_equal(port, 65535);
    }
    const struct sockaddr other = {.sa_family = AF_UNIX};
    struct in6_addr taken = in6addr_loopback;
    uint16_t port = 1;
    assert_false(address_take(&other, &taken, &port));
    assert_memory_equal(&taken, &in6addr_loopback, sizeof(taken));
    assert_int_equal(port, 1);
}

static void four_bytes(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {192, 0, 2, 255};
    struct in6_addr made = address_from_v4(bytes), expected = parsed("192.0.2.255");
    assert_memory_equal(&made, &expected, sizeof(made));
    assert_memory_equal(address_v4(&made), bytes, sizeof(bytes));
}

/* A /64 is one owner, to the last bit of it. */
static void owners(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
    } pairs[] = {
        {"192.0.2.1", "192.0.2.1", true},        {"192.0.2.1", "192.0.2.2", false},
        {"2001:db8::1", "2001:db8::2", true},    {"2001:db8::", "2001:db8::ffff:ffff:ffff:ffff", true},
        {"2001:db8::", "2001:db8:0:1::", false}, {"192.0.2.1", "::1", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        struct in6_addr a, b;
        assert_true(address_parse(pairs[i].a, &a) && address_parse(pairs[i].b, &b));
        assert_int_equal(address_same_owner(&a, &b), pairs[i].same);
    }
}

static void kinds(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool loopback, nowhere, link_local;
    } cases[] = {
        {"126.255.255.255", false, false, false},
        {"127.0.0.0", true, false, false},
        {"127.255.255.255", true, false, false},
        {"128.0.0.0", false, false, false},
        {"0.0.0.0", false, true, false},
        {"0.255.255.255", false, true, false},
        {"1.0.0.0", false, false, false},
        {"169.253.255.255", false, false, false},
        {"169.254.0.0", false, false, true},
        {"169.254.255.255", false, false, true},
        {"169.255.0.0", false, false, false},
        {"::", false, true, false},
        {"::1", true, false, false},
        {"::2", false, false, false},
        {"::127.0.0.1", false, false, false},
        {"fe7f::1", false, false, false},
        {"fe80::", false, false, true},
        {"febf:ffff::1", false, false, true},
        {"fec0::", false, false, false},
        {"2001:db8::7f00:1", false, false, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct in6_addr address = parsed(cases[i].text);
        assert_int_equal(address_is_loopback(&address), cases[i].loopback);
        assert_int_equal(address_is_nowhere(&address), cases[i].nowhere);
        assert_int_equal(address_is_link_local(&address), cases[i].link_local);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_and_back), cmocka_unit_test(what_is_no_address),
        cmocka_unit_test(of_sockets),    cmocka_unit_test(four_bytes),
        cmocka_unit_test(owners),        cmocka_unit_test(kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
