/* Which addresses are this machine's own. */
#include "own_address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "address.h"
#include "own_addresses.h"

static bool is_own(const char *text)
{
    struct in6_addr address;
    assert_true(address_parse(text, &address));
    return own_address(&address);
}

static void addresses_of_this_machine(void **state)
{
    (void)state;
    static const char *const always[] = {"127.0.0.1", "127.5.0.1",       "::1", "0.0.0.0", "0.0.0.1",
                                         "::",        "::ffff:127.0.0.1"};
    char text[INET6_ADDRSTRLEN];
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++)
        if (!is_own(always[i]))
            fail_msg("%s", always[i]);
    for (size_t i = 0; own_fixture(i, text); i++)
        if (!is_own(text))
            fail_msg("%s", text);
}

/* Documentation addresses (RFC 5737, RFC 3849), a broadcast, a multicast: also without a route to them. */
static void addresses_of_others(void **state)
{
    (void)state;
    static const char *const others[] = {"203.0.113.7",     "198.51.100.1", "2001:db8::7",
                                         "255.255.255.255", "224.0.0.1",    "ff02::1"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        if (is_own(others[i]))
            fail_msg("%s", others[i]);
}

/* If the system cannot be asked, an address may be ours. */
static void without_a_descriptor(void **state)
{
    (void)state;
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){0, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    bool own = is_own("203.0.113.7");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_true(own);
    assert_false(is_own("203.0.113.7"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_of_this_machine),
        cmocka_unit_test(addresses_of_others),
        cmocka_unit_test(without_a_descriptor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
