/* The names that an app has for itself, in each field that may have them, and at their bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "turn_back.h"

typedef struct rewriting {
    const char *value, *expected; /* NULL: unchanged */
} rewriting_t;

static const turn_back_t https = {.port = 3000, .https = true, .authority = {"a-3000.p.test:8443", 18}};
static const turn_back_t http = {.port = 3000, .authority = {"a-3000.p.test", 13}};

static void expect(str_t (*turn)(arena_t *, const turn_back_t *, str_t), const turn_back_t *to,
                   const rewriting_t *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        arena_t arena;
        arena_init(&arena);
        size_t n = strlen(cases[i].value);
        char *exact = malloc(n != 0 ? n : 1); /* no byte behind it may be read */
        memcpy(exact, cases[i].value, n);
        str_t got = turn(&arena, to, str_make(exact, n));
        const char *expected = cases[i].expected != NULL ? cases[i].expected : cases[i].value;
        if (!str_eq(got, str_from(expected)))
            fail_msg("%s: %.*s", cases[i].value, STR_ARG(got));
        assert_true(cases[i].expected != NULL || got.p == exact);
        arena_clear(&arena);
        free(exact);
    }
}

#define EXPECT(turn, to, cases) expect(turn, to, cases, sizeof(cases) / sizeof(*(cases)))

static void test_urls(void **state)
{
    (void)state;
    static const rewriting_t cases[] = {
        {"http://localhost:3000/x?y#z", "https://a-3000.p.test:8443/x?y#z"},
        {"http://localhost:3000", "https://a-3000.p.test:8443"},
        {"https://localhost:3000?q", "https://a-3000.p.test:8443?q"},
        {"HTTP://LocalHost:3000#f", "https://a-3000.p.test:8443#f"},
        {"http://127.0.0.1:3000/", "https://a-3000.p.test:8443/"},
        {"http://[::1]:3000/", "https://a-3000.p.test:8443/"},
        {"ws://localhost:3000/hmr", "wss://a-3000.p.test:8443/hmr"},
        {"wss://localhost:3000/hmr", "wss://a-3000.p.test:8443/hmr"},
        {"//localhost:3000/x", "//a-3000.p.test:8443/x"},
        /* Another host or port, or none that can be told. */
        {"http://localhost:30001/", NULL},
        {"http://localhost:300/", NULL},
        {"http://localhost:03000/", NULL},
        {"http://localhost:3000.evil/", NULL},
        {"http://localhost:3000@evil/", NULL},
        {"http://localhost:3000\\evil/", NULL},
        {"http://localhost:*/", NULL},
        {"http://localhost.evil:3000/", NULL},
        {"http://xlocalhost:3000/", NULL},
        {"http://u@localhost:3000/", NULL},
        {"http://127.0.0.11:3000/", NULL},
        {"http://[::1:3000/", NULL},
        {"http://localhost/", NULL},
        {"ftp://localhost:3000/", NULL},
        {" http://localhost:3000/", NULL},
        {"localhost:3000/x", NULL}, /* a relative path, or a scheme "localhost" */
        {"http:/localhost:3000/", NULL},
        {"/x?u=http://localhost:3000/", NULL},
        {"http://localhost:", NULL},
        {"http://", NULL},
        {"//", NULL},
        {"", NULL},
    };
    EXPECT(turn_back_url, &https, cases);
    static const rewriting_t plain[] = {
        {"https://localhost:3000/x", "http://a-3000.p.test/x"},
        {"wss://localhost:3000/", "ws://a-3000.p.test/"},
    };
    EXPECT(turn_back_url, &http, plain);
}

/* An app at the default port of its scheme need not name it. */
static void test_default_ports(void **state)
{
    (void)state;
    static const turn_back_t port_80 = {.port = 80, .authority = {"a", 1}};
    static const turn_back_t port_443 = {.port = 443, .https = true, .authority = {"a", 1}};
    static const turn_back_t port_1 = {.port = 1, .authority = {"a", 1}};
    static const turn_back_t port_65535 = {.port = 65535, .authority = {"a", 1}};
    static const rewriting_t at_80[] = {
        {"http://localhost/", "http://a/"},     {"http://localhost:80/", "http://a/"},
        {"ws://localhost", "ws://a"},           {"//localhost/", "//a/"},
        {"https://localhost:80/", "http://a/"}, {"https://localhost/", NULL},
        {"http://localhost:8/", NULL},          {"http://localhost:/", NULL},
    };
    static const rewriting_t at_443[] = {
        {"https://localhost/", "https://a/"}, {"wss://localhost/", "wss://a/"}, {"http://localhost/", NULL}};
    static const rewriting_t at_1[] = {{"http://localhost:1/", "http://a/"}, {"http://localhost:10/", NULL}};
    static const rewriting_t at_65535[] = {{"http://localhost:65535", "http://a"},
                                           {"http://localhost:65536", NULL}};
    EXPECT(turn_back_url, &port_80, at_80);
    EXPECT(turn_back_url, &port_443, at_443);
    EXPECT(turn_back_url, &port_1, at_1);
    EXPECT(turn_back_url, &port_65535, at_65535);
}

static void test_refresh(void **state)
{
    (void)state;
    static const rewriting_t cases[] = {
        {"0; url=http://localhost:3000/x", "0; url=https://a-3000.p.test:8443/x"},
        {"1.5;URL = 'http://localhost:3000/x'", "1.5;URL = 'https://a-3000.p.test:8443/x'"},
        {"5,\"http://localhost:3000\"", "5,\"https://a-3000.p.test:8443\""},
        {"5 http://localhost:3000/", "5 https://a-3000.p.test:8443/"},
        {"5; http://localhost:3000/", "5; https://a-3000.p.test:8443/"},
        {"5", NULL},
        {"5;", NULL},
        {"5; url=", NULL},
        {"5; url='", NULL},
        {"5; url", NULL},
        {"5;url=/x", NULL},
        {"url=http://localhost:3000/", NULL},
        {"5http://localhost:3000/", NULL},
        {"5; url=localhost:3000/x", NULL},
        {"", NULL},
    };
    EXPECT(turn_back_refresh, &https, cases);
}

static void test_origins(void **state)
{
    (void)state;
    static const rewriting_t cases[] = {
        {"http://localhost:3000", "https://a-3000.p.test:8443"},
        {"http://localhost:3000/", NULL},
        {"http://localhost:3001", NULL},
        {"//localhost:3000", NULL},
        {"localhost:3000", NULL},
        {"*", NULL},
        {"null", NULL},
        {"https://other.example", NULL},
        {"http://localhost:3000 http://localhost:3000", NULL},
        {"", NULL},
    };
    EXPECT(turn_back_origin, &https, cases);
}

static void test_policies(void **state)
{
    (void)state;
    static const rewriting_t cases[] = {
        {"default-src 'self'; connect-src 'self' ws://localhost:3000 http://127.0.0.1:3000/api;",
         "default-src 'self'; connect-src 'self' wss://a-3000.p.test:8443 https://a-3000.p.test:8443/api;"},
        {"connect-src ws://localhost:*", "connect-src wss://a-3000.p.test:8443"},
        {"img-src localhost:3000,img-src\tlocalhost:*;",
         "img-src a-3000.p.test:8443,img-src\ta-3000.p.test:8443;"},
        {"localhost:3000", "a-3000.p.test:8443"},
        {"report-uri http://localhost:3000/csp", "report-uri https://a-3000.p.test:8443/csp"},
        {"img-src localhost:3001 xlocalhost:3000 localhost:3000x http://localhost", NULL},
        {"img-src //localhost:3000 'localhost:3000'", NULL},
        {"img-src http://u@localhost:3000", NULL},
        {"img-src http://other.example/localhost:3000", NULL},
        {"", NULL},
    };
    EXPECT(turn_back_policy, &https, cases);
}

/* Sources beyond the bound pass as they are, so that the result is bounded too. */
static void test_policy_bound(void **state)
{
    (void)state;
    arena_t arena;
    arena_init(&arena);
    char value[2048], expected[2048];
    size_t n = 0, wanted = 0;
    for (int i = 0; i <= TURN_BACK_SOURCES_MAX; i++) {
        const char *turned = i < TURN_BACK_SOURCES_MAX ? "a-3000.p.test:8443" : "localhost:3000";
        n += (size_t)snprintf(value + n, sizeof(value) - n, "localhost:3000 ");
        wanted += (size_t)snprintf(expected + wanted, sizeof(expected) - wanted, "%s ", turned);
    }
    assert_true(str_eq(turn_back_policy(&arena, &https, str_from(value)), str_from(expected)));
    arena_clear(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),     cmocka_unit_test(test_default_ports),
        cmocka_unit_test(test_refresh),  cmocka_unit_test(test_origins),
        cmocka_unit_test(test_policies), cmocka_unit_test(test_policy_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
