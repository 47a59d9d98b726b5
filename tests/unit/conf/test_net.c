/* Addresses and networks. */
#include "conf_net.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void expect_address(const char *text, bool port_needed, const char *printed)
{
    conf_address_t address;
    const char *why = conf_net_read_address(str_from(text), port_needed, &address);
    if (why != NULL)
        fail_msg("%s: %s", text, why);
    char out[64];
    conf_net_print(&address, out);
    assert_string_equal(out, printed);
}

static void expect_no_address(const char *text, bool port_needed, const char *wanted)
{
    conf_address_t address;
    const char *why = conf_net_read_address(str_from(text), port_needed, &address);
    if (why == NULL || strcmp(why, wanted) != 0)
        fail_msg("%s: \"%s\" instead of \"%s\"", text, why != NULL ? why : "(read)", wanted);
}

static void addresses(void **state)
{
    (void)state;
    expect_address("0.0.0.0:443", true, "0.0.0.0:443");
    expect_address("[::]:443", true, "[::]:443");
    expect_address("127.0.0.1:1", true, "127.0.0.1:1");
    expect_address("255.255.255.255:65535", true, "255.255.255.255:65535");
    expect_address("[2001:DB8:0::1]:8443", true, "[2001:db8::1]:8443");
    expect_address("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", true,
                   "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
    expect_address("10.0.0.5", false, "10.0.0.5");
    expect_address("10.0.0.5:3000", false, "10.0.0.5:3000");
    expect_address("[fd00::5]", false, "[fd00::5]");
    expect_address("[fd00::5]:3000", false, "[fd00::5]:3000");
}

static void refused_addresses(void **state)
{
    (void)state;
    const char *name = "is not a numeric address (names are not looked up)";
    const char *port = "has a port that is not a number from 1 to 65535";
    expect_no_address("10.0.0.5", true, "has no port");
    expect_no_address("[::]", true, "has no port");
    expect_no_address(":443", true, "has no address before the port (0.0.0.0 and [::] mean all addresses)");
    expect_no_address("", true, "has no address before the port (0.0.0.0 and [::] mean all addresses)");
    expect_no_address("443", true, name);
    expect_no_address("localhost:443", true, name);
    expect_no_address("127.1:443", true, name);
    expect_no_address("0x7f.0.0.1:443", true, name);
    expect_no_address("127.0.0.01:443", true, name);
    expect_no_address("127.0.0.256:443", true, name);
    expect_no_address(" 127.0.0.1:443", true, name);
    expect_no_address("[127.0.0.1]:443", true, name);
    expect_no_address("[fe80::1%lo]:443", true, name);
    expect_no_address("127.0.0.1:0", true, port);
    expect_no_address("127.0.0.1:", true, port);
    expect_no_address("127.0.0.1:0443", true, port);
    expect_no_address("127.0.0.1:65536", true, port);
    expect_no_address("127.0.0.1:+1", true, port);
    expect_no_address("127.0.0.1:", false, port);
    expect_no_address("[::1]:", false, port);
    expect_no_address("127.0.0.1:0", false, port);
    expect_no_address("::1", false, "needs brackets around an IPv6 address");
    expect_no_address("::1:3000", false, "needs brackets around an IPv6 address");
    expect_no_address("[::1", false, "has no closing bracket");
    expect_no_address("[::1]443", true, "has text after its bracket that is not a port");
    expect_no_address("[::ffff:10.0.0.1]:443", true,
                      "is an IPv4 address in IPv6 notation (write it as IPv4)");
}

/* The network of `text`, which must be one. */
static conf_network_t network(const char *text)
{
    conf_network_t out;
    const char *why = conf_net_read_network(str_from(text), &out);
    if (why != NULL)
        fail_msg("%s: %s", text, why);
    return out;
}

static struct in6_addr client(const char *text)
{
    struct in6_addr address = IN6ADDR_ANY_INIT;
    struct in_addr v4;
    if (inet_pton(AF_INET, text, &v4) == 1) {
        address.s6_addr[10] = address.s6_addr[11] = 0xff;
        memcpy(&address.s6_addr[12], &v4, sizeof(v4));
    } else {
        assert_int_equal(inet_pton(AF_INET6, text, &address), 1);
    }
    return address;
}

static bool has(const char *net, const char *address)
{
    conf_network_t n = network(net);
    struct in6_addr a = client(address);
    return conf_network_has(&n, 1, &a);
}

static void networks(void **state)
{
    (void)state;
    assert_true(has("10.0.0.0/8", "10.0.0.0"));
    assert_true(has("10.0.0.0/8", "10.255.255.255"));
    assert_false(has("10.0.0.0/8", "9.255.255.255"));
    assert_false(has("10.0.0.0/8", "11.0.0.0"));
    assert_true(has("172.16.0.0/12", "172.31.255.255"));
    assert_false(has("172.16.0.0/12", "172.32.0.0"));
    assert_false(has("172.16.0.0/12", "172.15.255.255"));
    assert_true(has("192.0.2.6/31", "192.0.2.7"));
    assert_false(has("192.0.2.6/31", "192.0.2.8"));
    assert_true(has("192.0.2.7", "192.0.2.7"));
    assert_true(has("192.0.2.7/32", "192.0.2.7"));
    assert_false(has("192.0.2.7/32", "192.0.2.6"));
    assert_true(has("0.0.0.0/0", "255.255.255.255"));
    assert_false(has("0.0.0.0/0", "2001:db8::1"));
    assert_true(has("fd00::/8", "fdff::1"));
    assert_false(has("fd00::/8", "fe00::1"));
    assert_true(has("2001:db8::1", "2001:db8::1"));
    assert_true(has("2001:db8::1/128", "2001:db8::1"));
    assert_false(has("2001:db8::1/128", "2001:db8::2"));
    assert_true(has("2001:db8::/33", "2001:db8:7fff::"));
    assert_false(has("2001:db8::/33", "2001:db8:8000::"));
    assert_true(has("::/0", "2001:db8::1"));
    /* IPv4 clients are kept as ::ffff:a.b.c.d, but no IPv6 network contains them. */
    assert_false(has("::/0", "10.0.0.1"));
    assert_false(has("::/64", "10.0.0.1"));
    assert_true(has("::/64", "::1"));
}

/* However a network was written, it has one text, and that text parses to the same network. */
static void printed_networks(void **state)
{
    (void)state;
    static const char *const texts[][2] = {
        {"192.0.2.7", "192.0.2.7/32"},       {"10.0.0.0/8", "10.0.0.0/8"},
        {"0.0.0.0/0", "0.0.0.0/0"},          {"2001:DB8:0:0:0:0:0:1", "2001:db8::1/128"},
        {"2001:0db8::/32", "2001:db8::/32"}, {"::/0", "::/0"},
        {"0:0:0:0:0:0:0:0/96", "::/96"},
    };
    char text[64];
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        conf_network_t first = network(texts[i][0]);
        conf_net_print_network(&first, text);
        assert_string_equal(text, texts[i][1]);
        conf_network_t second = network(text);
        assert_int_equal(second.bits, first.bits);
        assert_memory_equal(&second.address, &first.address, 16);
    }
}

static void several_networks(void **state)
{
    (void)state;
    conf_network_t list[] = {network("10.0.0.0/8"), network("2001:db8::/32")};
    struct in6_addr v4 = client("10.1.2.3");
    struct in6_addr v6 = client("2001:db8::7");
    struct in6_addr other = client("192.0.2.1");
    assert_true(conf_network_has(list, 2, &v4));
    assert_true(conf_network_has(list, 2, &v6));
    assert_false(conf_network_has(list, 1, &v6));
    assert_false(conf_network_has(list, 2, &other));
    assert_false(conf_network_has(NULL, 0, &v4));
}

static void expect_no_network(const char *text, const char *wanted)
{
    conf_network_t out;
    const char *why = conf_net_read_network(str_from(text), &out);
    if (why == NULL || strcmp(why, wanted) != 0)
        fail_msg("%s: \"%s\" instead of \"%s\"", text, why != NULL ? why : "(read)", wanted);
}

static void refused_networks(void **state)
{
    (void)state;
    expect_no_network("", "is not a numeric address or network");
    expect_no_network("example.com", "is not a numeric address or network");
    expect_no_network("[::1]", "is not a numeric address or network");
    expect_no_network("10.0.0/8", "is not a numeric address or network");
    expect_no_network("10.0.0.0/33", "has a prefix length that is not 0 to 32");
    expect_no_network("10.0.0.0/", "has a prefix length that is not 0 to 32");
    expect_no_network("10.0.0.0/08", "has a prefix length that is not 0 to 32");
    expect_no_network("fd00::/129", "has a prefix length that is not 0 to 128");
    expect_no_network("fd00::/-1", "has a prefix length that is not 0 to 128");
    expect_no_network("10.0.0.1/8", "has bits set after its prefix (the rest must be 0)");
    expect_no_network("10.0.0.1/31", "has bits set after its prefix (the rest must be 0)");
    expect_no_network("fd00::1/127", "has bits set after its prefix (the rest must be 0)");
    expect_no_network("0.0.0.1/0", "has bits set after its prefix (the rest must be 0)");
    expect_no_network("::ffff:10.0.0.0/104", "is an IPv4 network in IPv6 notation (write it as IPv4)");
}

static const char *not_for_boxes(const char *text)
{
    conf_address_t address;
    assert_null(conf_net_read_address(str_from(text), false, &address));
    return conf_net_not_for_boxes(&address);
}

static void addresses_that_are_no_boxes(void **state)
{
    (void)state;
    assert_string_equal(not_for_boxes("169.254.0.0"), "a link-local address");
    assert_string_equal(not_for_boxes("169.254.169.254:80"), "a link-local address");
    assert_string_equal(not_for_boxes("169.254.255.255"), "a link-local address");
    assert_string_equal(not_for_boxes("[fe80::1]"), "a link-local address");
    assert_string_equal(not_for_boxes("[febf::1]"), "a link-local address");
    assert_string_equal(not_for_boxes("0.0.0.0:3000"), "in 0.0.0.0/8, which is no host's address");
    assert_string_equal(not_for_boxes("0.1.2.3"), "in 0.0.0.0/8, which is no host's address");
    assert_string_equal(not_for_boxes("[::]"), "the unspecified address");
    assert_string_equal(not_for_boxes("224.0.0.1"), "a multicast address");
    assert_string_equal(not_for_boxes("239.255.255.255"), "a multicast address");
    assert_string_equal(not_for_boxes("[ff02::1]"), "a multicast address");
    assert_string_equal(not_for_boxes("255.255.255.255"), "the broadcast address");
    static const char *const right[] = {"127.0.0.1",   "[::1]",    "1.0.0.0",   "169.253.255.255",
                                        "169.255.0.0", "10.0.0.1", "[fec0::1]", "223.255.255.255",
                                        "240.0.0.1",   "[fd00::1]"};
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
        assert_null(not_for_boxes(right[i]));
}

static bool listens(const char *listener, const char *text)
{
    conf_listener_t own = {.kind = CONF_LISTENER_TLS};
    assert_null(conf_net_read_address(str_from(listener), true, &own.address));
    conf_t conf = {.listeners = &own, .listener_count = 1};
    conf_address_t address;
    assert_null(conf_net_read_address(str_from(text), true, &address));
    return conf_listens_on(&conf, (const struct sockaddr *)&address.sa);
}

static void own_listeners(void **state)
{
    (void)state;
    assert_true(listens("10.0.0.1:443", "10.0.0.1:443"));
    assert_false(listens("10.0.0.1:443", "10.0.0.1:444"));
    assert_false(listens("10.0.0.1:443", "10.0.0.2:443"));
    assert_false(listens("10.0.0.1:443", "127.0.0.1:443"));
    assert_true(listens("0.0.0.0:443", "127.0.0.1:443"));
    assert_true(listens("0.0.0.0:443", "127.9.9.9:443"));
    assert_true(listens("[::]:443", "127.0.0.1:443"));
    assert_true(listens("[::]:443", "[::1]:443"));
    assert_true(listens("[::]:443", "0.0.0.0:443")); /* which connects to loopback */
    assert_false(listens("[::]:443", "[::1]:80"));
    assert_false(listens("0.0.0.0:443", "10.0.0.1:443")); /* whose address that is cannot be known here */
    assert_true(listens("[fd00::1]:443", "[fd00::1]:443"));

    conf_listener_t own = {.kind = CONF_LISTENER_TLS};
    assert_null(conf_net_read_address(STR("127.0.0.1:443"), true, &own.address));
    conf_t conf = {.listeners = &own, .listener_count = 1};
    struct sockaddr_in6 mapped = {
        .sin6_family = AF_INET6, .sin6_port = htons(443), .sin6_addr = client("127.0.0.1")};
    assert_true(conf_listens_on(&conf, (const struct sockaddr *)&mapped));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses),        cmocka_unit_test(refused_addresses),
        cmocka_unit_test(networks),         cmocka_unit_test(several_networks),
        cmocka_unit_test(refused_networks), cmocka_unit_test(addresses_that_are_no_boxes),
        cmocka_unit_test(own_listeners),    cmocka_unit_test(printed_networks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
