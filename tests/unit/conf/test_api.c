/* The API part of a configuration: valid values, and errors. */
#include "conf_fixture.h"

#define PLACE                                                                                                \
    "preview_domain: preview.box.example.com\n"                                                              \
    "listeners: [{address: \"127.0.0.1:443\", kind: tls}]\n"

static void upstreams_are_read(void **state)
{
    (void)state;
    conf_t *conf = fixture_good(
        PLACE
        "upstreams:\n"
        "  - name: api\n"
        "    servers: [\"10.0.0.1:8080\", {address: \"API-2.internal:81\", weight: 7}, \"[fd00::1]:82\"]\n"
        "    balance: hash\n"
        "    protocol: h2\n"
        "    health_path: /health\n"
        "    first_byte: 1h\n"
        "api: {hosts: [API.example.org]}\n");
    const conf_upstream_t *up = &conf->upstreams[0];
    assert_int_equal(conf->upstream_count, 1);
    assert_string_equal(up->name, "api");
    assert_int_equal(up->server_count, 3);
    assert_string_equal(up->servers[0].host, "10.0.0.1");
    assert_string_equal(up->servers[0].text, "10.0.0.1:8080");
    assert_int_equal(up->servers[0].port, 8080);
    assert_int_equal(up->servers[0].weight, 1);
    assert_string_equal(up->servers[1].host, "api-2.internal");
    assert_string_equal(up->servers[1].text, "api-2.internal:81");
    assert_int_equal(up->servers[1].weight, 7);
    assert_string_equal(up->servers[2].host, "fd00::1");
    assert_string_equal(up->servers[2].text, "[fd00::1]:82");
    assert_int_equal(up->balance, CONF_BALANCE_HASH);
    assert_int_equal(up->protocol, CONF_PROTOCOL_H2);
    assert_string_equal(up->health_path, "/health");
    assert_int_equal(up->first_byte, 3600000);
    assert_int_equal(up->retry_percent, 20);
    assert_true(up->pool_after_body);
    assert_int_equal(up->queue, 1024);
    assert_string_equal(up->tls_ca, "");
    assert_string_equal(conf->api.upstream, "api");
    assert_int_equal(conf->api.upstream_index, 0);
    assert_true(conf->api.previews);
    assert_null(conf->api.default_limits);
    assert_true(conf_is_api_host(conf, STR("api.EXAMPLE.org.:8443")));
    assert_true(conf_is_api_host(conf, STR("api.example.org")));
    assert_false(conf_is_api_host(conf, STR("xapi.example.org")));
    assert_false(conf_is_api_host(conf, STR("")));
    conf_release(&conf);
}

static void origins_are_listed_by_name(void **state)
{
    (void)state;
    conf_t *conf = fixture_good(PLACE "upstreams: [{name: api, servers: [\"10.0.0.1:80\"]}]\n"
                                      "api: {hosts: [api.test], cors: [\"https://a.test\", \"*\"]}\n");
    assert_true(conf_lists_origin(conf, STR("https://a.test")) &&
                conf_allows_origin(conf, STR("https://a.test")));
    static const str_t others[] = {
        {"https://b.test", 14}, {"null", 4}, {"*", 1}, {"", 0}, {"https://a.test:443", 18}};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_true(!conf_lists_origin(conf, others[i]) && conf_allows_origin(conf, others[i]));
    conf_release(&conf);
}

static void upstreams_are_refused(void **state)
{
    (void)state;
    fixture_bad(
        PLACE "upstreams:\n"
              "  - {name: a, servers: [\"10.0.0.1\", \"h:0\", \"0.0.0.0:1\", \"127.0.0.1:443\"]}\n",
        "e.yaml:4:25: upstreams[0].servers[0]: \"10.0.0.1\" has no port; allowed: an address or a host "
        "name, and a port, such as 10.0.0.1:8080 or api.internal:8080\n"
        "e.yaml:4:37: upstreams[0].servers[1]: \"h:0\" has a port that is not a number from 1 to 65535; "
        "allowed: an address or a host name, and a port, such as 10.0.0.1:8080 or api.internal:8080\n"
        "e.yaml:4:44: upstreams[0].servers[2]: 0.0.0.0:1 is in 0.0.0.0/8, which is no host's address; "
        "allowed: an address where one server can be\n"
        "e.yaml:4:57: upstreams[0].servers[3]: 127.0.0.1:443 is a listener of the edge itself; allowed: "
        "another address\n");
    fixture_bad(
        PLACE "upstreams:\n"
              "  - {name: a, servers: [\"h:1\", \"H:1\"]}\n"
              "  - {name: a, servers: [\"h:1\"], tls: true, tls_key: k.pem}\n",
        "e.yaml:4:32: upstreams[0].servers[1]: \"h:1\" is given twice, first in line 4; give each server "
        "once, with a weight\n"
        "e.yaml:5:5: upstreams[1].tls_certificate: is missing; needed: a certificate and its key are given "
        "together\n"
        "e.yaml:5:12: upstreams[1].name: \"a\" is given twice, first in line 4; give each name once\n");
    fixture_bad(
        PLACE "upstreams: [{name: a, servers: [\"h:1\"], balance: fair}]\n",
        "e.yaml:3:50: upstreams[0].balance: \"fair\" is none of the choices; allowed: `p2c`, `round_robin`, "
        "`least_connections` or `hash`\n");
}

static void rates(void **state)
{
    (void)state;
    conf_t *conf = fixture_good(PLACE "plans:\n"
                                      "  - {name: a, rate: 10/s, burst: 20, in_flight: 3}\n"
                                      "  - {name: b, rate: 1/d}\n"
                                      "  - {name: c, rate: 1000000/s}\n"
                                      "  - {name: d, rate: 0}\n"
                                      "  - {name: e, rate: 60000000/min}\n");
    assert_int_equal(conf->plans[0].rate_count, 10);
    assert_int_equal(conf->plans[0].rate_period_ms, 1000);
    assert_int_equal(conf->plans[0].burst, 20);
    assert_int_equal(conf->plans[0].in_flight, 3);
    assert_int_equal(conf->plans[1].rate_count, 1);
    assert_int_equal(conf->plans[1].rate_period_ms, 86400000);
    assert_int_equal(conf->plans[1].burst, 1);
    assert_int_equal(conf->plans[3].rate_count, 0);
    assert_ptr_equal(conf_plan(conf, "e"), &conf->plans[4]);
    assert_null(conf_plan(conf, "f"));
    conf_release(&conf);
    static const struct {
        const char *rate, *why;
    } bad[] = {{"10", "has no unit"},
               {"10/w", "has an unknown unit"},
               {"0/s", "is never (write 0 for no limit)"},
               {"1000001/s", "is more than 1000000/s"},
               {"60000001/min", "is more than 1000000/s"},
               {"x/s", "does not begin with a whole number"},
               {"/s", "does not begin with a whole number"}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[256], errors[512];
        snprintf(text, sizeof(text), PLACE "plans: [{name: a, rate: %s}]\n", bad[i].rate);
        snprintf(errors, sizeof(errors),
                 "e.yaml:3:25: plans[0].rate: \"%s\" %s; allowed: a number and `/s`, `/min`, `/h` or `/d`, "
                 "at most "
                 "1000000/s; `0` is no limit\n",
                 bad[i].rate, bad[i].why);
        fixture_bad(text, errors);
    }
}

#define SHA "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"

static void names_must_be_there(void **state)
{
    (void)state;
    fixture_bad(
        PLACE "plans: [{name: free, rate: 1/s}, {name: free, rate: 1/s}]\n"
              "api:\n"
              "  hosts: [api.example.org]\n"
              "  default_plan: fre\n"
              "  client_plan: none\n"
              "  keys: [{name: k, sha256: " SHA ", plan: pro}, {name: l, sha256: " SHA ", plan: free}]\n",
        "e.yaml:3:41: plans[1].name: \"free\" is given twice, first in line 3; give each name once\n"
        "e.yaml:5:10: api.upstream: is missing; needed: one of `upstreams`, for the requests of api.hosts\n"
        "e.yaml:6:17: api.default_plan: \"fre\" is not one of `plans`; allowed: free, free\n"
        "e.yaml:7:16: api.client_plan: \"none\" is not one of `plans`; allowed: free, free\n"
        "e.yaml:8:100: api.keys[0].plan: \"pro\" is not one of `plans`; allowed: free, free\n"
        "e.yaml:8:124: api.keys[1].sha256: is the same key as in line 8; give each key once\n");
    fixture_bad(PLACE
                "upstreams: [{name: a, servers: [\"h:1\"]}]\napi: {hosts: [x.example.org], upstream: b}\n",
                "e.yaml:4:41: api.upstream: \"b\" is not one of `upstreams`; allowed: a\n");
    fixture_bad(PLACE "api: {hosts: [x.example.org], upstream: b}\n",
                "e.yaml:3:41: api.upstream: \"b\" is not one of `upstreams`; allowed: none is declared\n");
}

static void hosts_beside_the_previews(void **state)
{
    (void)state;
    fixture_bad(
        PLACE
        "upstreams: [{name: a, servers: [\"h:1\"]}]\n"
        "api: {hosts: [a.preview.box.example.com, preview.box.example.com, b.example.org, B.example.org]}\n",
        "e.yaml:4:15: api.hosts: \"a.preview.box.example.com\" lies under preview_domain; allowed: a name "
        "beside it\n"
        "e.yaml:4:42: api.hosts: \"preview.box.example.com\" lies under preview_domain; allowed: a name "
        "beside it\n"
        "e.yaml:4:82: api.hosts[3]: \"B.example.org\" is given twice; allowed: a list of at most 64 host "
        "names, each once\n");
    fixture_doubtful(
        PLACE "upstreams: [{name: a, servers: [\"h:1\"]}]\napi: {hosts: [api.box.example.com]}\n",
        "e.yaml:4:15: warning: api.hosts: \"api.box.example.com\" and the previews may count as one site "
        "for browsers, so that cookies of a preview reach it; give the previews a domain of their own\n");
}

#define COSTS                                                                                                \
    PLACE "api:\n"                                                                                           \
          "  costs:\n"                                                                                       \
          "    - {method: POST, path: /v2/box, cost: 10}\n"                                                  \
          "    - {path: \"/v2/box/{id}/status\", cost: 0}\n"                                                 \
          "    - {method: GET, path: \"/v2/box/{id}/*\", cost: 3}\n"                                         \
          "    - {method: PUT, path: \"/v2/box/{id}/files/*\", cost: 7}\n"

static void costs(void **state)
{
    (void)state;
    conf_t *conf = fixture_good(COSTS);
    static const struct {
        const char *method, *path;
        uint32_t cost;
    } cases[] = {{"POST", "/v2/box", 10},
                 {"GET", "/v2/box", 1},
                 {"PUT", "/v2/box/x/status", 0},
                 {"GET", "/v2/box/x/a", 3},
                 {"GET", "/v2/box/x/a/b/c", 3},
                 {"GET", "/v2/box/x/", 3},
                 {"GET", "/v2/box/x", 1},
                 {"POST", "/v2/box/x/a", 1},
                 {"GET", "*", 1},
                 {"GET", "", 1},
                 {"GET", "/", 1},
                 /* Another spelling of a path is never cheaper. */
                 {"POST", "/v2/box/", 10},
                 {"POST", "/V2/box", 10},
                 {"POST", "/v2/%62ox", 10},
                 {"POST", "//v2/./box", 10},
                 {"POST", "/x/../v2/box", 10},
                 {"POST", "/../v2/box;a=b", 10},
                 {"POST", "\\v2\\box", 1}, /* no path: it begins with no slash */
                 {"POST", "/v2\\box", 10},
                 {"post", "/v2/box", 10},
                 {"Post", "/v2/box/", 10},
                 {"POST", "/v2/box%", 1},
                 {"POST", "/v2/box%zz", 1},
                 {"POST", "/v2/box%3f", 10},
                 {"POST", "/v2/box%3fx/y", 10},
                 {"POST", "/v2/box%23", 10},
                 {"POST", "/v2/box#a", 10},
                 {"POST", "/v2/box%00", 10},
                 {"POST", "/v2/box/%00.json", 10},
                 {"POST", "/v2/b%256fx", 10},
                 {"POST", "/v2/b%25256fx", 10},
                 {"POST", "/v2%252Fbox%253f", 10},
                 {"PUT", "/v2/box/x%2Ffiles/b", 7},
                 {"PUT", "/v2/box/x/files/a/../../STATUS", 7},
                 {"PUT", "/v2/box/x/Status", 1},
                 {"PUT", "/v2/box/x%2Fstatus", 1},
                 {"GET", "/v2/box//status", 1},
                 {"GET", "/..", 1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t cost = conf_cost_of(conf, str_from(cases[i].method), str_from(cases[i].path));
        if (cost != cases[i].cost)
            fail_msg("%s %s costs %u", cases[i].method, cases[i].path, cost);
    }
    conf_release(&conf);
}

/* A path of `n` bytes that a generous server reads as /v2/box, in memory of exactly that size. */
static uint32_t cost_of_padded(const conf_t *conf, size_t n)
{
    static const char end[] = "/v2/box";
    char *path = malloc(n);
    assert_non_null(path);
    memset(path, '/', n);
    memcpy(path + n - strlen(end), end, strlen(end));
    uint32_t cost = conf_cost_of(conf, STR("POST"), str_make(path, n));
    free(path);
    return cost;
}

static void costs_of_long_paths(void **state)
{
    (void)state;
    conf_t *conf = fixture_good(COSTS "    - {method: POST, path: /never, cost: 20}\n");
    assert_int_equal(cost_of_padded(conf, 8), 10);
    assert_int_equal(cost_of_padded(conf, 4096), 10);
    assert_int_equal(cost_of_padded(conf, 4097), 20); /* as the dearest */
    assert_int_equal(cost_of_padded(conf, 30000), 20);
    char plain[5000];
    memset(plain, 'a', sizeof(plain));
    plain[0] = '/';
    assert_int_equal(conf_cost_of(conf, STR("POST"), str_make(plain, sizeof(plain))), 1);
    conf_release(&conf);
}

static bool unkeyed(const conf_t *conf, const char *method, const char *path)
{
    return conf_is_unkeyed(conf, str_from(method), str_from(path));
}

static bool proves(const conf_t *conf, const char *method, const char *path)
{
    return conf_proves_key(conf, str_from(method), str_from(path));
}

/* In every reading of a path: no other spelling passes without a key, and none proves a key. */
static void routes_without_a_key(void **state)
{
    (void)state;
    conf_t *conf = fixture_good(BASE "api: {unkeyed: [/open, {path: /v2/hook/*, method: POST}]}\n");
    assert_true(unkeyed(conf, "GET", "/open"));
    assert_true(unkeyed(conf, "POST", "/v2/hook/a/b"));
    assert_true(unkeyed(conf, "POST", "/v2/hook/a%20b"));
    static const char *const closed[] = {"/open/",
                                         "/OPEN",
                                         "/open;x",
                                         "/%6fpen",
                                         "/v2/hook",
                                         "/v2/hook/../box",
                                         "/v2/hook/..%2fbox",
                                         "/v2/hook/%252e%252e/box",
                                         "",
                                         "*"};
    for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++)
        if (unkeyed(conf, "POST", closed[i]))
            fail_msg("%s", closed[i]);
    assert_false(unkeyed(conf, "GET", "/v2/hook/a"));
    assert_false(unkeyed(conf, "post", "/v2/hook/a"));
    assert_true(proves(conf, "GET", "/v2/box/a"));
    assert_true(proves(conf, "GET", "/v2/hook/a"));
    static const char *const open[] = {"/open",        "/v2/hook/a",  "/V2/hook/a",        "/v2/hook/x/../a",
                                       "/v2%2fhook/a", "/v2/../open", "/v2/box/../hook/a", "/status",
                                       "/v2"};
    for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++)
        if (proves(conf, "POST", open[i]))
            fail_msg("%s", open[i]);
    conf_release(&conf);
    conf = fixture_good(BASE "api: {unkeyed: [], proves: []}\n");
    assert_int_equal(conf->api.unkeyed_count, 0);
    assert_false(proves(conf, "GET", "/v2/box"));
    conf_release(&conf);
    conf = fixture_good(BASE);
    assert_true(unkeyed(conf, "GET", "/v2/box/a/browser/cdp"));
    assert_false(unkeyed(conf, "POST", "/v2/box/a/browser/cdp"));
    assert_true(proves(conf, "PUT", "/v2/box"));
    assert_int_equal(conf->api.new_keys_count, 60);
    conf_release(&conf);
}

static void costs_that_are_none(void **state)
{
    (void)state;
    fixture_doubtful(
        PLACE "plans: [{name: p, rate: 1/s, burst: 5}]\napi: {costs: [{path: /a, cost: 6}]}\n",
        "e.yaml:4:32: warning: api.costs[0].cost: is more than the burst of any plan (5): such requests "
        "never pass\n");
    fixture_bad(
        PLACE "api: {costs: [{path: a, cost: 1, method: get}], keys: [{name: k, sha256: 00, plan: p}]}\n",
        "e.yaml:3:22: api.costs[0].path: \"a\" does not begin with a slash; allowed: a path such as /v2/box, "
        "/v2/box/{id}/exec or /v2/box/*\n"
        "e.yaml:3:42: api.costs[0].method: \"get\" is neither a method in capitals nor \"*\"; allowed: a "
        "method such as `POST`, or `*`\n"
        "e.yaml:3:74: api.keys[0].sha256: \"00\" is not 64 hexadecimal digits long; allowed: 64 hexadecimal "
        "digits\n"
        "e.yaml:3:84: api.keys[0].plan: \"p\" is not one of `plans`; allowed: none is declared\n");
    static const struct {
        const char *path, *why;
    } bad[] = {{"/v2/box*", "has a \"*\" that is not its last segment"},
               {"/v2/*/exec", "has a \"*\" that is not its last segment"},
               {"/v2/**", "has a \"*\" that is not its last segment"},
               {"/v2/box-{id}", "has a brace that is not around a whole segment"},
               {"/v2/{id", "has a brace that is not around a whole segment"},
               {"/v2//box", "has two slashes in a row"},
               {"/v2/box?x=1", "has a query, a parameter or an encoded character"},
               {"/v2/%62ox", "has a query, a parameter or an encoded character"}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[256], errors[512];
        snprintf(text, sizeof(text), PLACE "api: {costs: [{cost: 1, path: \"%s\"}]}\n", bad[i].path);
        snprintf(errors, sizeof(errors),
                 "e.yaml:3:31: api.costs[0].path: \"%s\" %s; allowed: a path such as /v2/box, "
                 "/v2/box/{id}/exec or /v2/box/*\n",
                 bad[i].path, bad[i].why);
        fixture_bad(text, errors);
    }
    static const char *const good[] = {"/", "/*", "/v2/box/", "/{a}/{b}/*", "/{}", "/a.b/c-d_e~"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char text[256];
        snprintf(text, sizeof(text), PLACE "api: {costs: [{cost: 1, path: \"%s\"}]}\n", good[i]);
        conf_t *conf = fixture_good(text);
        conf_release(&conf);
    }
}

/* Writes `count` elements "prefix<n>suffix" with commas between them. */
static void print_elements(FILE *out, size_t count, const char *prefix, const char *suffix)
{
    for (size_t i = 0; i < count; i++)
        fprintf(out, "%s%s%zu%s", i != 0 ? ", " : "", prefix, i, suffix);
}

static void bounds(void **state)
{
    (void)state;
    static const struct {
        const char *before, *prefix, *suffix, *after;
        size_t max;
        const char *error;
    } cases[] = {
        {"upstreams: [", "{name: u", ", servers: [\"h:1\"]}", "]\n", 16,
         "e.yaml:3:12: upstreams: has 17 elements; allowed: a list of 0 to 16 maps\n"},
        {"upstreams: [{name: u, servers: [", "\"h", ":1\"", "]}]\n", 64,
         "e.yaml:3:32: upstreams[0].servers: has 65 elements; allowed: a list of 1 to 64 maps\n"},
        {"plans: [", "{name: p", ", rate: 1/s}", "]\n", 256,
         "e.yaml:3:8: plans: has 257 elements; allowed: a list of 0 to 256 maps\n"},
        {"api: {costs: [", "{cost: 1, path: /", "}", "]}\n", 256,
         "e.yaml:3:14: api.costs: has 257 elements; allowed: a list of 0 to 256 maps\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        for (size_t more = 0; more < 2; more++) {
            char *text = NULL;
            size_t len = 0;
            FILE *out = open_memstream(&text, &len);
            assert_non_null(out);
            fprintf(out, PLACE "%s", cases[i].before);
            print_elements(out, cases[i].max + more, cases[i].prefix, cases[i].suffix);
            fprintf(out, "%s", cases[i].after);
            fclose(out);
            if (more != 0) {
                fixture_bad(text, cases[i].error);
            } else {
                conf_t *conf = fixture_good(text);
                conf_release(&conf);
            }
            free(text);
        }
    }
    fixture_bad(
        PLACE "upstreams: [{name: u, servers: [{address: \"h:1\", weight: 0}, "
              "{address: \"i:1\", weight: 101}]}]\nplans: [{name: p, rate: 1/s, burst: 0}]\n",
        "e.yaml:3:58: upstreams[0].servers[0].weight: \"0\" is too small; allowed: a whole number from 1 to "
        "100\n"
        "e.yaml:3:87: upstreams[0].servers[1].weight: \"101\" is too large; allowed: a whole number from 1 "
        "to 100\n"
        "e.yaml:4:37: plans[0].burst: \"0\" is too small; allowed: a whole number of units from 1 to "
        "1000000\n");
}

/* Commands and the table of servers use a server's name: whole, or refused. */
static void long_names_of_servers(void **state)
{
    (void)state;
#define LABEL_59 "a1234567890123456789012345678901234567890123456789012345678"
#define HOST_252 LABEL_59 "." LABEL_59 "." LABEL_59 "." LABEL_59 ".b23456789012"
    _Static_assert(sizeof(HOST_252) == 252 + 1, "with one more it is as long as a name can be");
    conf_t *conf = fixture_good(PLACE "upstreams: [{name: u, servers: [\"" HOST_252 "C:65535\"]}]\n");
    assert_string_equal(conf->upstreams[0].servers[0].text, HOST_252 "c:65535");
    assert_string_equal(conf->upstreams[0].servers[0].host, HOST_252 "c");
    conf_release(&conf);
    fixture_bad(PLACE "upstreams: [{name: u, servers: [\"" HOST_252 "CD:1\"]}]\n",
                "e.yaml:3:33: upstreams[0].servers[0]: \"" LABEL_59
                ".a123...\" is too long; allowed: an address "
                "or a host name, and a port, such as 10.0.0.1:8080 or api.internal:8080\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(upstreams_are_read),
        cmocka_unit_test(origins_are_listed_by_name),
        cmocka_unit_test(upstreams_are_refused),
        cmocka_unit_test(rates),
        cmocka_unit_test(names_must_be_there),
        cmocka_unit_test(hosts_beside_the_previews),
        cmocka_unit_test(costs),
        cmocka_unit_test(costs_of_long_paths),
        cmocka_unit_test(routes_without_a_key),
        cmocka_unit_test(costs_that_are_none),
        cmocka_unit_test(bounds),
        cmocka_unit_test(long_names_of_servers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
