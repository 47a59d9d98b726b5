/* The box's view of a request, and the client's view of a response (docs/http.md, "Forwarding"). */
#include "context_fixture.h"

#include "forward.h"

/* A codec that does nothing: the exchange is only a carrier of heads here. */
static const client_ops_t no_ops;

static exchange_t *new_exchange(context_fixture_t *f)
{
    exchange_t *ex = exchange_new(&f->client, &no_ops, NULL);
    ex->request.version = HTTP_1_1;
    ex->request.method = STR("GET");
    ex->request.authority = STR("a-3000.preview.test");
    ex->request.target = STR("/p%41th/../x?q=1&q=%20");
    *test_preview(ex) = (store_preview_t){.id = "a", .port = 3000};
    memcpy(ex->request_id, "rid", 4);
    return ex;
}

static void add(exchange_t *ex, const char *name, const char *value)
{
    fields_add(&ex->arena, &ex->request.fields, field_lookup(str_from(name)), str_from(name),
               str_from(value));
}

static bool has(str_t text, const char *line)
{
    char pattern[512];
    int n = snprintf(pattern, sizeof(pattern), "\r\n%s\r\n", line);
    return memmem(text.p, text.n, pattern, (size_t)n) != NULL;
}

static size_t count(str_t text, const char *needle)
{
    size_t found = 0;
    for (size_t i = 0; i + strlen(needle) <= text.n; i++)
        found += str_ieq(str_make(text.p + i, strlen(needle)), str_from(needle));
    return found;
}

static int setup(void **state)
{
    *state = context_fixture_new();
    return 0;
}

static int teardown(void **state)
{
    context_fixture_free(*state);
    return 0;
}

static void test_target_and_host_pass_as_they_came(void **state)
{
    exchange_t *ex = new_exchange(*state);
    add(ex, "X-Custom", "v");
    str_t head = forward_request_head(ex, &ex->arena, STR(""));
    assert_true(
        str_starts(head, STR("GET /p%41th/../x?q=1&q=%20 HTTP/1.1\r\nHost: a-3000.preview.test\r\n")));
    assert_true(has(head, "X-Custom: v"));
    assert_memory_equal(head.p + head.n - 4, "\r\n\r\n", 4);
    exchange_end(&ex, EXCHANGE_END_COMPLETE);
}

static void test_own_fields(void **state)
{
    exchange_t *ex = new_exchange(*state);
    str_t head = forward_request_head(ex, &ex->arena, STR(""));
    assert_true(has(head, "X-Forwarded-For: 192.0.2.1"));
    assert_true(has(head, "X-Real-IP: 192.0.2.1"));
    assert_true(has(head, "X-Forwarded-Proto: http"));
    assert_true(has(head, "X-Forwarded-Host: a-3000.preview.test"));
    assert_true(has(head, "X-Forwarded-Port: 8080"));
    assert_true(has(head, "X-Request-Id: rid"));
    assert_true(has(head, "CDN-Loop: boxedge-here;host=a-3000.preview.test"));
    exchange_end(&ex, EXCHANGE_END_COMPLETE);
}

/* Addresses and ids from an untrusted client are ignored in every spelling. */
static void test_spoofs_are_dropped(void **state)
{
    exchange_t *ex = new_exchange(*state);
    static const char *const names[] = {"X-Forwarded-For",
                                        "x_forwarded_for",
                                        "X-Forwarded_Proto",
                                        "X-FORWARDED-HOST",
                                        "X-Forwarded-Port",
                                        "X-Forwarded-Ssl",
                                        "X-Request-Id",
                                        "x_request_id",
                                        "Forwarded",
                                        "X-Forwarded-Prefix",
                                        "X-Real-IP",
                                        "x_real_ip",
                                        "True-Client-IP",
                                        "CF-Connecting-IP",
                                        "cf_connecting_ip",
                                        "X-Client-IP",
                                        "X-Cluster-Client-IP",
                                        "Fastly-Client-IP",
                                        "X-Original-Forwarded-For",
                                        "Proxy",
                                        "X-Original-URL",
                                        "X_Original_URL",
                                        "X-Rewrite-URL",
                                        "Client_IP",
                                        "X-Forwarded",
                                        "Forwarded-For"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        add(ex, names[i], "spoofed");
    add(ex, "cdn_loop", "spoofed");
    str_t head = forward_request_head(ex, &ex->arena, STR(""));
    assert_int_equal(count(head, "spoofed"), 0);
    exchange_end(&ex, EXCHANGE_END_COMPLETE);
}

static void test_trusted_proxies_are_believed(void **state)
{
    context_fixture_t *f = *state;
    assert_int_equal(inet_pton(AF_INET6, "::ffff:10.1.2.3", &f->client.address), 1);
    exchange_t *ex = new_exchange(f);
    add(ex, "X-Forwarded-For", "6.6.6.6, 198.51.100.7");
    add(ex, "X-Real-IP", "spoofed");
    add(ex, "Forwarded", "for=spoofed");
    add(ex, "CF-Connecting-IP", "spoofed");
    add(ex, "True-Client-IP", "spoofed");
    add(ex, "Proxy", "spoofed");
    add(ex, "X_Original_URL", "spoofed");
    add(ex, "X-Original-URL", "/theirs");
    add(ex, "X-Forwarded-Prefix", "/theirs");
    add(ex, "X-Forwarded-Proto", "https");
    add(ex, "X-Forwarded-Host", "outer.example");
    add(ex, "X-Forwarded-Port", "443");
    add(ex, "x_forwarded_for", "spoofed");
    remote_find(ex);
    str_t head = forward_request_head(ex, &ex->arena, STR(""));
    assert_true(has(head, "X-Forwarded-For: 198.51.100.7"));
    assert_true(has(head, "X-Real-IP: 198.51.100.7"));
    assert_true(has(head, "X-Original-URL: /theirs"));
    assert_true(has(head, "X-Forwarded-Prefix: /theirs"));
    assert_true(has(head, "X-Forwarded-Proto: https"));
    assert_true(has(head, "X-Forwarded-Host: outer.example"));
    assert_true(has(head, "X-Forwarded-Port: 443"));
    assert_int_equal(count(head, "spoofed"), 0);
    exchange_end(&ex, EXCHANGE_END_COMPLETE);
}

static void test_hop_by_hop_fields_end_here(void **state)
{
    exchange_t *ex = new_exchange(*state);
    add(ex, "Connection", "keep-alive, X-Hop ,x-other");
    add(ex, "Keep-Alive", "hop");
    add(ex, "Proxy-Connection", "hop");
    add(ex, "Proxy-Authorization", "hop");
    add(ex, "TE", "trailers");
    add(ex, "Upgrade", "h2c");
    add(ex, "HTTP2-Settings", "hop");
    add(ex, "Expect", "100-continue");
    add(ex, "x-hop", "hop");
    add(ex, "X-Other", "hop");
    add(ex, "X-Stays", "here");
    str_t head = forward_request_head(ex, &ex->arena, STR(""));
    assert_int_equal(count(head, "hop"), 0);
    assert_int_equal(count(head, "\r\nte:"), 0);
    assert_int_equal(count(head, "\r\nupgrade:"), 0);
    assert_int_equal(count(head, "\r\nexpect:"), 0);
    assert_int_equal(count(head, "\r\nconnection:"), 0);
    assert_true(has(head, "X-Stays: here"));
    exchange_end(&ex, EXCHANGE_END_COMPLETE);
}

static void test_framing(void **state)
{
    exchange_t *ex = new_exchange(*state);
    assert_int_equal(count(forward_request_head(ex, &ex->arena, STR("")), "\r\ncontent-length:"), 0);
    ex->request.has_body = true;
    assert_true(has(forward_request_head(ex, &ex->arena, STR("")), "Transfer-Encoding: chunked"));
    ex->request.content_length = 12345;
    str_t head = forward_request_head(ex, &ex->arena, STR(""));
    assert_true(has(head, "Content-Length: 12345"));
    assert_int_equal(count(head, "\r\ntransfer-encoding:"), 0);
    ex->request.has_body = false;
    ex->request.content_length = 0; /* a POST without a body declares that to the box as well */
    assert_true(has(forward_request_head(ex, &ex->arena, STR("")), "Content-Length: 0"));
    exchange_end(&ex, EXCHANGE_END_COMPLETE);
}

/* When the edge removes parts of a request, the request declares that nothing else follows. */
static void test_close(void **state)
{
    exchange_t *ex = new_exchange(*state);
    assert_int_equal(count(forward_request_head(ex, &ex->arena, STR("")), "\r\nconnection:"), 0);
    ex->request.method = STR("HEAD");
    assert_true(has(forward_request_head(ex, &ex->arena, STR("")), "Connection: close"));
    ex->request.method = STR("GET");
    ex->request.has_body = true;
    assert_true(has(forward_request_head(ex, &ex->arena, STR("")), "Connection: close"));
    ex->target.pool_after_body = true; /* a server of an upstream */
    assert_int_equal(count(forward_request_head(ex, &ex->arena, STR("")), "\r\nconnection:"), 0);
    exchange_end(&ex, EXCHANGE_END_COMPLETE);
}

static void test_websocket(void **state)
{
    exchange_t *ex = new_exchange(*state);
    ex->request.websocket = true;
    add(ex, "Sec-WebSocket-Key", "theirs");
    add(ex, "Sec-WebSocket-Version", "13");
    add(ex, "Sec-WebSocket-Protocol", "chat");
    str_t head = forward_request_head(ex, &ex->arena, STR("dGhlIHNhbXBsZSBub25jZQ=="));
    assert_true(has(head, "Connection: Upgrade"));
    assert_true(has(head, "Upgrade: websocket"));
    assert_true(has(head, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="));
    assert_true(has(head, "Sec-WebSocket-Version: 13"));
    assert_true(has(head, "Sec-WebSocket-Protocol: chat"));
    assert_int_equal(count(head, "sec-websocket-key"), 1);
    exchange_end(&ex, EXCHANGE_END_COMPLETE);
}

static void test_traceparent(void **state)
{
    static const struct {
        const char *value;
        bool kept;
    } cases[] = {
        {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", true},
        {"00-4BF92F3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false},
        {"00-00000000000000000000000000000000-00f067aa0ba902b7-01", false},
        {"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", false},
        {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0", false},
        {"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", false},
        {"junk", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        exchange_t *ex = new_exchange(*state);
        add(ex, "traceparent", cases[i].value);
        str_t head = forward_request_head(ex, &ex->arena, STR(""));
        assert_int_equal(count(head, "\r\ntraceparent: "), cases[i].kept);
        assert_int_equal(count(head, cases[i].value), cases[i].kept);
        exchange_end(&ex, EXCHANGE_END_COMPLETE);
    }
    exchange_t *ex = new_exchange(*state);
    assert_int_equal(count(forward_request_head(ex, &ex->arena, STR("")), "\r\ntraceparent: "), 0);
    exchange_end(&ex, EXCHANGE_END_COMPLETE);
}

static void test_loop_marks_add_up(void **state)
{
    exchange_t *ex = new_exchange(*state);
    add(ex, "CDN-Loop", "a");
    add(ex, "cdn-loop", "b");
    assert_true(has(forward_request_head(ex, &ex->arena, STR("")),
                    "CDN-Loop: a, b, boxedge-here;host=a-3000.preview.test"));
    exchange_end(&ex, EXCHANGE_END_COMPLETE);
}

static void test_localhost(void **state)
{
    exchange_t *ex = new_exchange(*state);
    test_preview(ex)->host_header = HOST_HEADER_LOCALHOST;
    add(ex, "Origin", "http://a-3000.preview.test");
    str_t head = forward_request_head(ex, &ex->arena, STR(""));
    assert_true(has(head, "Host: localhost:3000"));
    assert_true(has(head, "Origin: http://localhost:3000"));
    assert_true(has(head, "X-Forwarded-Host: a-3000.preview.test")); /* for absolute URLs */
    assert_int_equal(count(head, "x-forwarded-"), 4);
    exchange_end(&ex, EXCHANGE_END_COMPLETE);
    ex = new_exchange(*state);
    test_preview(ex)->host_header = HOST_HEADER_LOCALHOST_BARE;
    add(ex, "Origin", "http://a-3000.preview.test");
    head = forward_request_head(ex, &ex->arena, STR(""));
    assert_true(has(head, "Host: localhost:3000"));
    assert_true(has(head, "Origin: http://localhost:3000"));
    assert_int_equal(count(head, "x-forwarded-"), 1); /* -For */
    assert_int_equal(count(head, "\r\nX-Request-Id: rid\r\n"), 1);
    fields_t fields = {0};
    forward_request_fields(ex, &ex->arena, &fields);
    assert_true(str_eq(fields.at[2].value, STR("localhost:3000"))); /* :authority */
    assert_null(fields_find(&fields, FIELD_X_FORWARDED_HOST));
    assert_null(fields_find(&fields, FIELD_X_FORWARDED_PROTO));
    assert_null(fields_find(&fields, FIELD_X_FORWARDED_PORT));
    exchange_end(&ex, EXCHANGE_END_COMPLETE);
    static const struct {
        const char *referer, *expected;
    } cases[] = {
        {"http://a-3000.preview.test/x?y", "http://localhost:3000/x?y"},
        {"HTTP://A-3000.preview.test", "http://localhost:3000"},
        {"http://a-3000.preview.test?q", "http://localhost:3000?q"},
        {"https://a-3000.preview.test/", "https://a-3000.preview.test/"},
        {"http://a-3000.preview.test:81/", "http://a-3000.preview.test:81/"},
        {"http://a-3000.preview.test.evil/", "http://a-3000.preview.test.evil/"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char line[128];
        ex = new_exchange(*state);
        test_preview(ex)->host_header = HOST_HEADER_LOCALHOST;
        add(ex, "Referer", cases[i].referer);
        (void)snprintf(line, sizeof(line), "Referer: %s", cases[i].expected);
        assert_true(has(forward_request_head(ex, &ex->arena, STR("")), line));
        exchange_end(&ex, EXCHANGE_END_COMPLETE);
    }
    ex = new_exchange(*state);
    test_preview(ex)->host_header = HOST_HEADER_LOCALHOST;
    add(ex, "Origin", "https://elsewhere.example");
    assert_true(has(forward_request_head(ex, &ex->arena, STR("")), "Origin: https://elsewhere.example"));
    exchange_end(&ex, EXCHANGE_END_COMPLETE);
}

/* Browsers omit the default port of an origin, but not all clients that of a Host. */
static void test_own_origin_without_its_default_port(void **state)
{
    static const struct {
        conf_listener_kind_t kind;
        const char *authority, *origin, *expected;
    } cases[] = {
        {CONF_LISTENER_TLS, "a-80.preview.test:443", "https://a-80.preview.test", "http://localhost"},
        {CONF_LISTENER_PLAIN, "a-80.preview.test:80", "http://a-80.preview.test", "http://localhost"},
        {CONF_LISTENER_TLS, "a-80.preview.test:80", "https://a-80.preview.test:80", "http://localhost"},
        {CONF_LISTENER_TLS, "a-80.preview.test:80", "https://a-80.preview.test", "https://a-80.preview.test"},
    };
    context_fixture_t *f = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char line[128];
        f->client.kind = cases[i].kind;
        exchange_t *ex = new_exchange(f);
        *test_preview(ex) =
            (store_preview_t){.id = "a", .port = 80, .host_header = HOST_HEADER_LOCALHOST_BARE};
        ex->request.authority = str_from(cases[i].authority);
        add(ex, "Origin", cases[i].origin);
        str_t head = forward_request_head(ex, &ex->arena, STR(""));
        (void)snprintf(line, sizeof(line), "Origin: %s", cases[i].expected);
        assert_true(has(head, line));
        assert_true(has(head, "Host: localhost:80"));
        exchange_end(&ex, EXCHANGE_END_COMPLETE);
    }
}

/* A trusted proxy's claims do not contradict a bare localhost either. */
static void test_localhost_behind_a_proxy(void **state)
{
    static const char *const names[] = {"X-Forwarded-Proto", "X-Forwarded-Host",   "X-Forwarded-Port",
                                        "X-Forwarded-Ssl",   "X-Forwarded-Scheme", "X-Forwarded-Server",
                                        "X-Original-URL",    "X-Rewrite-URL",      "Forwarded"};
    context_fixture_t *f = *state;
    assert_int_equal(inet_pton(AF_INET6, "::ffff:10.1.2.3", &f->client.address), 1);
    exchange_t *ex = new_exchange(f);
    test_preview(ex)->host_header = HOST_HEADER_LOCALHOST_BARE;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        add(ex, names[i], "theirs");
    remote_find(ex);
    str_t head = forward_request_head(ex, &ex->arena, STR(""));
    assert_int_equal(count(head, "theirs"), 0);
    test_preview(ex)->host_header = HOST_HEADER_LOCALHOST;
    head = forward_request_head(ex, &ex->arena, STR(""));
    assert_true(has(head, "X-Forwarded-Host: theirs"));
    exchange_end(&ex, EXCHANGE_END_COMPLETE);
}

/* An app that does not know of TLS redirects to http on its own host. */
static void test_location_becomes_https(void **state)
{
    static const struct {
        const char *authority, *location, *expected;
    } cases[] = {
        {"a-3000.preview.test", "http://a-3000.preview.test/x?y#z", "https://a-3000.preview.test/x?y#z"},
        {"a-3000.preview.test", "HTTP://A-3000.Preview.Test", "https://a-3000.preview.test"},
        {"a-3000.preview.test", "http://a-3000.preview.test:80/", "https://a-3000.preview.test/"},
        {"a-3000.preview.test", "http://a-3000.preview.test?x", "https://a-3000.preview.test?x"},
        {"a-3000.preview.test:8443", "http://a-3000.preview.test:8443/x",
         "https://a-3000.preview.test:8443/x"},
        {"a-3000.preview.test:8443", "http://a-3000.preview.test/x", "https://a-3000.preview.test:8443/x"},
        /* Other hosts. */
        {"a-3000.preview.test", "http://a-3000.preview.test:8080/", NULL},
        {"a-3000.preview.test", "http://a-3000.preview.test.evil/", NULL},
        {"a-3000.preview.test", "http://u@a-3000.preview.test/", NULL},
        {"a-3000.preview.test", "http://b-3000.preview.test/", NULL},
        {"a-3000.preview.test", "https://a-3000.preview.test/", NULL},
        {"a-3000.preview.test", "//a-3000.preview.test/", NULL},
        {"a-3000.preview.test", "/x", NULL},
        {"a-3000.preview.test", "http:/x", NULL},
        {"a-3000.preview.test", "http://", NULL},
        {"a-3000.preview.test", "", NULL},
    };
    context_fixture_t *f = *state;
    for (size_t i = 0; i < 2 * sizeof(cases) / sizeof(*cases); i++) {
        f->client.kind = i % 2 == 0 ? CONF_LISTENER_TLS : CONF_LISTENER_PLAIN;
        const char *location = cases[i / 2].location, *expected = cases[i / 2].expected;
        exchange_t *ex = new_exchange(f);
        fields_t fields = {0};
        ex->request.authority = str_from(cases[i / 2].authority);
        fields_add(&ex->arena, &fields, FIELD_LOCATION, STR("Location"), str_from(location));
        forward_filter_response(ex, &fields);
        if (expected == NULL || f->client.kind == CONF_LISTENER_PLAIN)
            expected = location;
        assert_true(str_eq(fields_value(&fields, FIELD_LOCATION), str_from(expected)));
        exchange_end(&ex, EXCHANGE_END_COMPLETE);
    }
}

/* Each field in which an app may name itself, over both schemes (turn_back.h has the rules). */
static void test_names_are_turned_back(void **state)
{
    static const struct {
        const char *name, *value, *expected;
    } cases[] = {
        {"Content-Location", "http://localhost:3000/x", "http://a-3000.preview.test/x"},
        {"refresh", "3; url=http://localhost:3000/x", "3; url=http://a-3000.preview.test/x"},
        {"Access-Control-Allow-Origin", "http://localhost:3000", "http://a-3000.preview.test"},
        {"Content-Security-Policy", "connect-src ws://localhost:3000",
         "connect-src ws://a-3000.preview.test"},
        {"Content-Security-Policy-Report-Only", "img-src localhost:3000", "img-src a-3000.preview.test"},
        {"X-Custom-Of-The-Apps-01", "http://localhost:3000", "http://localhost:3000"},
    };
    for (size_t i = 0; i < 3 * sizeof(cases) / sizeof(*cases); i++) {
        static const host_header_t modes[] = {HOST_HEADER_PUBLIC, HOST_HEADER_LOCALHOST,
                                              HOST_HEADER_LOCALHOST_BARE};
        const char *name = cases[i / 3].name;
        exchange_t *ex = new_exchange(*state);
        test_preview(ex)->host_header = modes[i % 3];
        fields_t fields = {0};
        fields_add(&ex->arena, &fields, field_lookup(str_from(name)), str_from(name),
                   str_from(cases[i / 3].value));
        forward_filter_response(ex, &fields);
        const char *expected = i % 3 == 0 ? cases[i / 3].value : cases[i / 3].expected;
        assert_true(str_eq(fields.at[0].value, str_from(expected)));
        exchange_end(&ex, EXCHANGE_END_COMPLETE);
    }
}

static void test_location_from_localhost(void **state)
{
    static const struct {
        const char *location, *expected;
    } cases[] = {
        {"http://localhost:3000/x?y", "http://a-3000.preview.test/x?y"},
        {"http://localhost:3000", "http://a-3000.preview.test"},
        {"http://localhost:30001/x", "http://localhost:30001/x"},
        {"http://localhost:3000.evil/x", "http://localhost:3000.evil/x"},
        {"/relative", "/relative"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        exchange_t *ex = new_exchange(*state);
        test_preview(ex)->host_header = HOST_HEADER_LOCALHOST;
        fields_t fields = {0};
        fields_add(&ex->arena, &fields, FIELD_LOCATION, STR("Location"), str_from(cases[i].location));
        forward_filter_response(ex, &fields);
        str_t value = fields_value(&fields, FIELD_LOCATION);
        assert_int_equal(value.n, strlen(cases[i].expected));
        assert_memory_equal(value.p, cases[i].expected, value.n);
        exchange_end(&ex, EXCHANGE_END_COMPLETE);
    }
}

static void test_response_filter(void **state)
{
    exchange_t *ex = new_exchange(*state);
    fields_t fields = {0};
    static const char *const names[] = {"Connection", "Keep-Alive",   "X-Named",
                                        "Upgrade",    "Content-Type", "Proxy-Authenticate"};
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
        fields_add(&ex->arena, &fields, field_lookup(str_from(names[i])), str_from(names[i]),
                   STR("close, x-named"));
    forward_filter_response(ex, &fields);
    assert_int_equal(fields.count, 1);
    assert_true(str_eq(fields.at[0].name, STR("Content-Type")));
    exchange_end(&ex, EXCHANGE_END_COMPLETE);
}

/* The fields that Connection names are removed, wherever they stand among fields that stay. */
static void test_response_filter_of_named_fields(void **state)
{
    static const char *const orders[][5] = {
        {"Connection", "Age", "X-Named", "Vary", "X-Other"},
        {"Age", "X-Named", "Connection", "X-Other", "Vary"},
        {"X-Other", "X-Named", "Age", "Vary", "Connection"},
    };
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        exchange_t *ex = new_exchange(*state);
        fields_t fields = {0};
        for (size_t n = 0; n < 5; n++)
            fields_add(&ex->arena, &fields, field_lookup(str_from(orders[i][n])), str_from(orders[i][n]),
                       STR("x-other, x-named"));
        forward_filter_response(ex, &fields);
        assert_int_equal(fields.count, 2);
        assert_true(str_eq(fields.at[0].name, STR("Age")));
        assert_true(str_eq(fields.at[1].name, STR("Vary")));
        exchange_end(&ex, EXCHANGE_END_COMPLETE);
    }
}

/* A Connection field of one usual token proves nothing about the ones behind it. */
static void test_response_filter_of_usual_tokens(void **state)
{
    static const struct {
        const char *values[2];
        bool named;
    } cases[] = {
        {{"keep-alive", "x-named"}, true},       {{"close", "X-Named"}, true},
        {{"x-named", "keep-alive"}, true},       {{"Keep-Alive, x-named", "close"}, true},
        {{"keep-alive", "close"}, false},        {{"KEEP-ALIVE", "Close, upgrade"}, false},
        {{"keep-alive,x-named", "close"}, true}, {{"", ","}, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        exchange_t *ex = new_exchange(*state);
        fields_t fields = {0};
        for (size_t n = 0; n < 2; n++)
            fields_add(&ex->arena, &fields, FIELD_CONNECTION, STR("Connection"),
                       str_from(cases[i].values[n]));
        fields_add(&ex->arena, &fields, FIELD_OTHER, STR("X-Named"), STR("1"));
        forward_filter_response(ex, &fields);
        assert_int_equal(fields.count, cases[i].named ? 0 : 1);
        exchange_end(&ex, EXCHANGE_END_COMPLETE);
    }
}

static void test_cookies_stay_on_their_host(void **state)
{
    static const struct {
        const char *value, *expected;
    } cases[] = {
        {"a=1; Path=/", "a=1; Path=/"},
        {"a=1; Domain=a-3000.preview.test; Path=/", "a=1; Domain=a-3000.preview.test; Path=/"},
        {"a=1; Domain=preview.test; Path=/", "a=1; Path=/"},
        {"a=1; domain=.PREVIEW.test", "a=1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        exchange_t *ex = new_exchange(*state);
        ex->request.authority = STR("A-3000.preview.test:8443");
        fields_t fields = {0};
        fields_add(&ex->arena, &fields, FIELD_SET_COOKIE, STR("Set-Cookie"), str_from(cases[i].value));
        forward_filter_response(ex, &fields);
        str_t value = fields_value(&fields, FIELD_SET_COOKIE);
        assert_int_equal(value.n, strlen(cases[i].expected));
        assert_memory_equal(value.p, cases[i].expected, value.n);
        exchange_end(&ex, EXCHANGE_END_COMPLETE);
    }
}

/* Over HTTP/2 the same fields pass, behind the pseudo-fields; of TE only "trailers" passes. */
static void test_fields_for_http2(void **state)
{
    static const char *const expected[] = {":method: GET",
                                           ":scheme: http",
                                           ":authority: a-3000.preview.test",
                                           ":path: /p%41th/../x?q=1&q=%20",
                                           "content-length: 5",
                                           "X-Custom: v",
                                           "te: trailers",
                                           "X-Forwarded-For: 192.0.2.1",
                                           "X-Forwarded-Proto: http",
                                           "X-Forwarded-Host: a-3000.preview.test",
                                           "X-Forwarded-Port: 8080",
                                           "X-Request-Id: rid"};
    exchange_t *ex = new_exchange(*state);
    fields_t fields = {0};
    ex->request.content_length = 5;
    add(ex, "TE", "gzip;q=0.5, trailers");
    add(ex, "Connection", "TE, X-Gone");
    add(ex, "X-Gone", "1");
    add(ex, "Expect", "100-continue");
    add(ex, "X-Forwarded-Host", "elsewhere");
    add(ex, "X-Custom", "v");
    forward_request_fields(ex, &ex->arena, &fields);
    size_t known = sizeof(expected) / sizeof(expected[0]);
    assert_int_equal(fields.count, known + 2); /* and CDN-Loop, X-Real-IP */
    for (size_t i = 0; i < known; i++) {
        char line[128];
        (void)snprintf(line, sizeof(line), "%.*s: %.*s", STR_ARG(fields.at[i].name),
                       STR_ARG(fields.at[i].value));
        assert_string_equal(line, expected[i]);
    }
    ex->request.fields = (fields_t){0};
    fields = (fields_t){0};
    ex->target.tls = true;
    add(ex, "TE", "gzip");
    forward_request_fields(ex, &ex->arena, &fields);
    assert_true(str_eq(fields.at[1].value, STR("https")));
    assert_null(fields_find(&fields, FIELD_TE));
    exchange_end(&ex, EXCHANGE_END_COMPLETE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_target_and_host_pass_as_they_came, setup, teardown),
        cmocka_unit_test_setup_teardown(test_own_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fields_for_http2, setup, teardown),
        cmocka_unit_test_setup_teardown(test_spoofs_are_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_trusted_proxies_are_believed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hop_by_hop_fields_end_here, setup, teardown),
        cmocka_unit_test_setup_teardown(test_framing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_close, setup, teardown),
        cmocka_unit_test_setup_teardown(test_websocket, setup, teardown),
        cmocka_unit_test_setup_teardown(test_traceparent, setup, teardown),
        cmocka_unit_test_setup_teardown(test_loop_marks_add_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_localhost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_localhost_behind_a_proxy, setup, teardown),
        cmocka_unit_test_setup_teardown(test_location_becomes_https, setup, teardown),
        cmocka_unit_test_setup_teardown(test_location_from_localhost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_are_turned_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_own_origin_without_its_default_port, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cookies_stay_on_their_host, setup, teardown),
        cmocka_unit_test_setup_teardown(test_response_filter, setup, teardown),
        cmocka_unit_test_setup_teardown(test_response_filter_of_named_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(test_response_filter_of_usual_tokens, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
