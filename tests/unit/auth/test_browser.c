/* The fields that browsers send, and the verdict: the rules of docs/access.md for every combination of the
 * fields. */
#include "browser.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define OWN     "https://a-80.p.example:8443"
#define ALLOWED "https://app.example https://b-80.p.example:8443"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* ---- every combination ---- */

static const char *const methods[] = {"GET", "HEAD", "POST", "OPTIONS", "get", "DELETE"};
static const char *const modes[] = {"",          "navigate", "cors", "no-cors", "same-origin",
                                    "websocket", "NAVIGATE"};
static const char *const sites[] = {"", "same-origin", "none", "same-site", "cross-site", "else"};
static const char *const accepts[] = {"", "*/*", "text/html", "application/xhtml+xml,text/html;q=0.9,*/*"};
static const char *const asked[] = {"", "PUT"};
static const char *const with[] = {"", "XMLHttpRequest"};
/* The last three are allowed: the preview's own origin, and two of the list. */
static const char *const origins[] = {"",
                                      "null",
                                      "https://evil.example",
                                      "http://a-80.p.example:8443",
                                      "https://a-80.p.example",
                                      "https://c-80.p.example:8443",
                                      OWN,
                                      "https://app.example",
                                      "https://B-80.p.example:8443"};
#define FIRST_ALLOWED 6

typedef struct combination {
    size_t method, mode, site, accept, asked, with, origin;
    bool body, upgrade;
} combination_t;

static browser_request_t request_of(const combination_t *c)
{
    return (browser_request_t){
        .method = str_from(methods[c->method]),
        .origin = str_from(origins[c->origin]),
        .sec_fetch_mode = str_from(modes[c->mode]),
        .sec_fetch_site = str_from(sites[c->site]),
        .accept = str_from(accepts[c->accept]),
        .x_requested_with = str_from(with[c->with]),
        .access_control_request_method = str_from(asked[c->asked]),
        .has_body = c->body,
        .upgrade = c->upgrade,
    };
}

/* The rules, written a second time over the positions in the tables above. */
static bool is_told_navigation(const combination_t *c)
{
    return c->method <= 1 && !c->upgrade && c->mode == 1;
}

static bool is_navigation(const combination_t *c)
{
    bool guessed = c->method <= 1 && !c->upgrade && c->mode == 0 && c->accept >= 2 && c->with == 0;
    return is_told_navigation(c) || guessed;
}

static bool is_preflight(const combination_t *c)
{
    return c->method == 3 && c->origin != 0 && c->asked == 1 && !c->body && !c->upgrade;
}

static bool suffices(const combination_t *c)
{
    if (c->origin >= FIRST_ALLOWED || (c->origin == 1 && c->site == 1))
        return true;
    if (is_told_navigation(c))
        return true;
    return !c->upgrade && c->origin == 0 && c->site <= 2;
}

/* Increments `c`, the first part fastest. False after the last combination. */
static bool next(combination_t *c)
{
    struct {
        size_t *at, count;
    } parts[] = {
        {&c->method, COUNT(methods)}, {&c->mode, COUNT(modes)},  {&c->site, COUNT(sites)},
        {&c->accept, COUNT(accepts)}, {&c->asked, COUNT(asked)}, {&c->with, COUNT(with)},
        {&c->origin, COUNT(origins)},
    };
    for (size_t i = 0; i < COUNT(parts); i++) {
        if (++*parts[i].at < parts[i].count)
            return true;
        *parts[i].at = 0;
    }
    c->body = !c->body;
    if (c->body)
        return true;
    c->upgrade = !c->upgrade;
    return c->upgrade;
}

static void test_every_combination(void **state)
{
    (void)state;
    combination_t c = {0};
    size_t count = 0;
    do {
        browser_request_t request = request_of(&c);
        if (browser_is_navigation(&request) != is_navigation(&c) ||
            browser_is_preflight(&request) != is_preflight(&c) ||
            browser_cookie_suffices(&request, STR(OWN), STR(ALLOWED)) != suffices(&c))
            fail_msg("method %s, mode \"%s\", site \"%s\", accept \"%s\", asked \"%s\", with \"%s\", origin "
                     "\"%s\", "
                     "body %d, upgrade %d",
                     methods[c.method], modes[c.mode], sites[c.site], accepts[c.accept], asked[c.asked],
                     with[c.with], origins[c.origin], c.body, c.upgrade);
        count++;
    } while (next(&c));
    assert_int_equal(count, COUNT(methods) * COUNT(modes) * COUNT(sites) * COUNT(accepts) * COUNT(asked) *
                                COUNT(with) * COUNT(origins) * 4);
}

/* ---- real browsers ---- */

typedef struct seen {
    const char *what;
    bool navigation, preflight, passes; /* the last row: opened by the cookie, only the own origin allowed */
    const char *method, *origin, *mode, *site, *accept;
    bool body, upgrade;
} seen_t;

#define HTML "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

static const seen_t requests[] = {
    {"address typed", 1, 0, 1, "GET", "", "navigate", "none", HTML, 0, 0},
    {"link on another preview", 1, 0, 1, "GET", "", "navigate", "same-site", HTML, 0, 0},
    {"link on another site", 1, 0, 1, "GET", "", "navigate", "cross-site", HTML, 0, 0},
    {"own asset", 0, 0, 1, "GET", "", "no-cors", "same-origin", "*/*", 0, 0},
    {"own fetch", 0, 0, 1, "GET", "", "cors", "same-origin", "*/*", 0, 0},
    {"own fetch that sends", 0, 0, 1, "POST", OWN, "cors", "same-origin", "*/*", 1, 0},
    {"own form", 0, 0, 1, "POST", OWN, "navigate", "same-origin", HTML, 1, 0},
    {"own WebSocket", 0, 0, 1, "GET", OWN, "websocket", "same-origin", "", 0, 1},
    {"own WebSocket, older browser", 0, 0, 1, "GET", OWN, "", "", "", 0, 1},
    {"WebSocket of a program", 0, 0, 0, "GET", "", "", "", "", 0, 1},
    {"other preview's WebSocket", 0, 0, 0, "GET", "https://b-80.p.example:8443", "websocket", "same-site", "",
     0, 1},
    {"other preview's fetch", 0, 0, 0, "GET", "https://b-80.p.example:8443", "cors", "same-site", "*/*", 0,
     0},
    {"other preview's opaque fetch", 0, 0, 0, "GET", "", "no-cors", "same-site", "*/*", 0, 0},
    {"other preview's script tag", 0, 0, 0, "GET", "", "no-cors", "same-site", "*/*", 0, 0},
    {"other preview's form", 0, 0, 0, "POST", "https://b-80.p.example:8443", "navigate", "same-site", HTML, 1,
     0},
    {"other site's form", 0, 0, 0, "POST", "https://evil.example", "navigate", "cross-site", HTML, 1, 0},
    {"own form of a page without referrer", 0, 0, 1, "POST", "null", "navigate", "same-origin", HTML, 1, 0},
    {"own fetch of a page without referrer", 0, 0, 1, "POST", "null", "cors", "same-origin", "*/*", 1, 0},
    {"form without origin, older browser", 0, 0, 0, "POST", "null", "", "", HTML, 1, 0},
    {"other preview's form without referrer", 0, 0, 0, "POST", "null", "navigate", "same-site", HTML, 1, 0},
    {"form in a sandboxed frame", 0, 0, 0, "POST", "null", "navigate", "cross-site", HTML, 1, 0},
    {"other preview's preflight", 0, 1, 0, "OPTIONS", "https://b-80.p.example:8443", "cors", "same-site",
     "*/*", 0, 0},
    {"page, browser without Fetch metadata", 1, 0, 1, "GET", "", "", "", HTML, 0, 0},
    {"script of such a browser that asks as if it were one", 1, 0, 0, "GET", "https://b-80.p.example:8443",
     "", "", HTML, 0, 0},
    {"curl with a cookie", 0, 0, 1, "GET", "", "", "", "*/*", 0, 0},
    {"upload with curl and a cookie", 0, 0, 1, "POST", "", "", "", "*/*", 1, 0},
};

static void test_requests_of_browsers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(requests); i++) {
        const seen_t *seen = &requests[i];
        bool preflight = seen->preflight;
        browser_request_t request = {
            .method = str_from(seen->method),
            .origin = str_from(seen->origin),
            .sec_fetch_mode = str_from(seen->mode),
            .sec_fetch_site = str_from(seen->site),
            .accept = str_from(seen->accept),
            .access_control_request_method = preflight ? STR("PUT") : STR(""),
            .has_body = seen->body,
            .upgrade = seen->upgrade,
        };
        if (browser_is_navigation(&request) != seen->navigation ||
            browser_is_preflight(&request) != seen->preflight ||
            browser_cookie_suffices(&request, STR(OWN), STR("")) != seen->passes)
            fail_msg("%s", seen->what);
    }
}

/* Requests that other sites' pages make a visitor's browser send. */
static void test_embedded(void **state)
{
    (void)state;
    static const struct {
        const char *site, *mode, *dest;
        bool embedded;
    } cases[] = {
        {"", "", "", false},
        {"none", "navigate", "document", false},
        {"same-origin", "navigate", "iframe", false},
        {"same-origin", "cors", "empty", false},
        {"cross-site", "navigate", "document", false}, /* a link */
        {"same-site", "navigate", "document", false},
        {"cross-site", "navigate", "iframe", true},
        {"same-site", "navigate", "frame", true},
        {"cross-site", "navigate", "embed", true},
        {"cross-site", "navigate", "", true},
        {"cross-site", "no-cors", "image", true},
        {"cross-site", "cors", "empty", true},
        {"same-site", "cors", "document", true},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        browser_request_t request = {.sec_fetch_site = str_from(cases[i].site),
                                     .sec_fetch_mode = str_from(cases[i].mode),
                                     .sec_fetch_dest = str_from(cases[i].dest)};
        assert_int_equal(browser_is_embedded(&request), cases[i].embedded);
    }
    browser_request_t ahead = {.sec_fetch_site = STR("cross-site"),
                               .sec_fetch_mode = STR("navigate"),
                               .sec_fetch_dest = STR("document"),
                               .sec_purpose = STR("prefetch")};
    assert_true(browser_is_embedded(&ahead));
    ahead.sec_fetch_site = STR("same-origin");
    assert_false(browser_is_embedded(&ahead));
}

/* ---- origins ---- */

static void test_origins(void **state)
{
    (void)state;
    static const struct {
        const char *origin, *allowed;
        bool expected;
    } cases[] = {
        {OWN, "", true},
        {"HTTPS://A-80.P.example:8443", "", true},
        {"", "", false},
        {"", " ", false},
        {"null", "null", false},
        {"Null", "https://x.example null", false},
        {"https://x.example", "https://x.example", true},
        {"https://x.example", "https://y.example https://x.example", true},
        {"https://x.example", "https://x.example https://y.example", true},
        {"https://x.example", "  https://y.example  https://x.example  ", true},
        {"https://x.example", "https://x.example:444", false},
        {"https://x.example:444", "https://x.example", false},
        {"https://x.exampl", "https://x.example", false},
        {"https://x.example.org", "https://x.example", false},
        {"ttps://x.example", "https://x.example", false},
        {"http://x.example", "https://x.example", false},
        {"https://x.example https://y.example", "https://x.example https://y.example", false},
        {" ", "https://x.example  https://y.example", false},
        {"*", "https://x.example", false},
        {"https://a-80.p.example:84430", "", false},
        {"https://a-80.p.example:844", "", false},
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        if (origin_is_allowed(str_from(cases[i].origin), STR(OWN), str_from(cases[i].allowed)) !=
            cases[i].expected)
            fail_msg("\"%s\" on \"%s\"", cases[i].origin, cases[i].allowed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_combination),
        cmocka_unit_test(test_requests_of_browsers),
        cmocka_unit_test(test_embedded),
        cmocka_unit_test(test_origins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
