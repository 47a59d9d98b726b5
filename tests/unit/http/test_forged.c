/* Fields that the edge withholds from boxes (docs/http.md, "Forwarding"). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "forged.h"

static bool forged(const char *name, bool trusted)
{
    return forged_name(str_from(name), trusted);
}

/* The name with '_' for each '-', one '_' in place of the last '-', and in capitals. */
static void spellings(const char *name, char out[3][64])
{
    for (int i = 0; i < 3; i++)
        snprintf(out[i], 64, "%s", name);
    for (char *at = out[0]; *at != '\0'; at++)
        *at = *at == '-' ? '_' : *at;
    char *last = strrchr(out[1], '-');
    if (last != NULL)
        *last = '_';
    for (char *at = out[2]; *at != '\0'; at++)
        *at = *at >= 'a' && *at <= 'z' ? (char)(*at - 32) : *at;
}

static void from_nobody(void **state)
{
    (void)state;
    static const char *const names[] = {"cf-connecting-ip",
                                        "cf-connecting-ipv6",
                                        "cf-pseudo-ipv4",
                                        "client-ip",
                                        "fastly-client-ip",
                                        "forwarded-for",
                                        "proxy",
                                        "proxy-client-ip",
                                        "true-client-ip",
                                        "wl-proxy-client-ip",
                                        "x-appengine-user-ip",
                                        "x-azure-clientip",
                                        "x-azure-socketip",
                                        "x-client-ip",
                                        "x-cluster-client-ip",
                                        "x-envoy-external-address",
                                        "x-forwarded",
                                        "x-original-forwarded-for",
                                        "x-originating-ip",
                                        "x-proxyuser-ip",
                                        "x-real-ip",
                                        "x-remote-addr",
                                        "x-remote-ip",
                                        "x-true-client-ip"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char spelled[3][64];
        spellings(names[i], spelled);
        for (int j = 0; j < 6; j++)
            if (!forged(spelled[j / 2], j % 2 != 0))
                fail_msg("%s", spelled[j / 2]);
        assert_true(forged(names[i], true));
    }
}

/* A trusted proxy may send these, but not in the spelling that only apps read as the same name. */
static void from_trusted_proxies(void **state)
{
    (void)state;
    static const char *const names[] = {"x-original-url", "x-rewrite-url", "x-forwarded-prefix",
                                        "x-forwarded-ssl", "x-forwarded-a-longer-name-than-any-in-the-list"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char spelled[3][64];
        spellings(names[i], spelled);
        assert_true(forged(names[i], false) && !forged(names[i], true));
        assert_true(forged(spelled[0], true) && forged(spelled[1], true) && forged(spelled[2], false));
        assert_false(forged(spelled[2], true));
    }
}

/* Names that the edge sets itself: only their other spellings reach this check. */
static void aliases(void **state)
{
    (void)state;
    assert_true(forged("x_request_id", true) && forged("X-Request_Id", false) && forged("cdn_loop", true));
    assert_false(forged("x-request-id", false) || forged("cdn-loop", false) || forged("traceparent", false));
}

static void the_apps_own(void **state)
{
    (void)state;
    static const char *const names[] = {"accept-encoding",
                                        "cache-control",
                                        "client",
                                        "client-ip2",
                                        "clientip",
                                        "content-type",
                                        "forward",
                                        "priority",
                                        "pragma",
                                        "proxy2",
                                        "range",
                                        "true-client",
                                        "x",
                                        "x-",
                                        "x-csrf-token",
                                        "x-real",
                                        "x-real-ip2",
                                        "x-real-port",
                                        "x-forward",
                                        "xreal-ip",
                                        "x.real.ip",
                                        "x-a-name-that-is-longer-than-all-of-those-in-the-list",
                                        "w",
                                        ""};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (forged(names[i], false) || forged(names[i], true))
            fail_msg("%s", names[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(from_nobody),
        cmocka_unit_test(from_trusted_proxies),
        cmocka_unit_test(aliases),
        cmocka_unit_test(the_apps_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
