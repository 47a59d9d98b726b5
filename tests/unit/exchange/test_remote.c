/* The client of an exchange (docs/access.md, "Where clients come from"). */
#include "context_fixture.h"

#include "address.h"
#include "remote_field.h"

#define PROXIES                                                                                              \
    "preview_domain: preview.test\npublic_port: 443\nnode: here\n"                                           \
    "trusted_proxies:\n  - 10.0.0.0/8\n  - {network: 172.16.0.1, client_field: Forwarded}\n"                 \
    "  - {network: 172.16.0.2, client_field: X-Real-IP}\n"                                                   \
    "  - {network: \"fd00::/8\", client_field: CF-Connecting-IP}\n"                                          \
    "limits: {connections_per_client: 3}\n"                                                                  \
    "listeners:\n  - {address: \"127.0.0.1:8080\", kind: plain, tls_terminated: true}\n"

static const client_ops_t no_ops;

static int setup(void **state)
{
    context_fixture_t *f = context_fixture_new();
    conf_errors_t *errors = conf_errors_new();
    conf_release(&f->context->conf);
    f->context->conf = conf_parse("test.yaml", STR(PROXIES), errors);
    assert_non_null(f->context->conf);
    conf_errors_free(&errors);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    context_fixture_free(*state);
    return 0;
}

static void connect_from(context_fixture_t *f, const char *address)
{
    assert_true(remote_address_read(str_from(address), &f->client.address));
}

/* The client by `fields`, which is "Name: value" lines. */
static exchange_t *asked(context_fixture_t *f, const char *fields)
{
    exchange_t *ex = exchange_new(&f->client, &no_ops, NULL);
    while (*fields != '\0') {
        const char *colon = strstr(fields, ": ");
        const char *end = strchr(fields, '\n');
        assert_true(colon != NULL && end != NULL && colon < end);
        str_t name = str_make(fields, (size_t)(colon - fields));
        fields_add(&ex->arena, &ex->request.fields, field_lookup(name), name,
                   str_make(colon + 2, (size_t)(end - colon - 2)));
        fields = end + 1;
    }
    remote_find(ex);
    return ex;
}

static void expect(context_fixture_t *f, const char *fields, const char *client)
{
    char text[INET6_ADDRSTRLEN];
    exchange_t *ex = asked(f, fields);
    str_t found = address_text(remote_address(ex), text);
    if (!str_eq(found, str_from(client)))
        fail_msg("%s: %.*s in place of %s", fields, (int)found.n, found.p, client);
    exchange_end(&ex, EXCHANGE_END_COMPLETE);
}

static void strangers_name_nobody(void **state)
{
    expect(
        *state,
        "X-Forwarded-For: 6.6.6.6\nForwarded: for=6.6.6.6\nX-Real-IP: 6.6.6.6\nCF-Connecting-IP: 6.6.6.6\n",
        "192.0.2.1");
}

static void the_rightmost_that_is_no_proxy(void **state)
{
    context_fixture_t *f = *state;
    connect_from(f, "10.0.0.1");
    expect(f, "X-Forwarded-For: 198.51.100.7\n", "198.51.100.7");
    expect(f, "X-Forwarded-For: 6.6.6.6, 198.51.100.7\n", "198.51.100.7");
    expect(f, "X-Forwarded-For: 6.6.6.6, 198.51.100.7, 10.9.9.9,172.16.0.2 ,\n", "198.51.100.7");
    expect(f, "X-Forwarded-For: 6.6.6.6\nX-Forwarded-For: 198.51.100.7\nX-Forwarded-For: 10.0.0.2\n",
           "198.51.100.7");
    expect(f, "X-Forwarded-For: nonsense, 198.51.100.7\n", "198.51.100.7");
    expect(f, "X-Forwarded-For: \"6.6.6.6, 198.51.100.7\n", "198.51.100.7");
    expect(f, "X-Forwarded-For: 2001:db8::7\n", "2001:db8::7");
    expect(f, "X-Forwarded-For: [2001:db8::7]:4711\n", "2001:db8::7");
    expect(f, "X-Forwarded-For: 198.51.100.7:4711\n", "198.51.100.7");
    expect(f, "X-Forwarded-For: ::ffff:198.51.100.7\n", "198.51.100.7");
}

/* Missing or malformed: the proxy's own address. */
static void nobody_named(void **state)
{
    static const char *const cases[] = {
        "",
        "X-Real-IP: 6.6.6.6\nForwarded: for=6.6.6.6\nCF-Connecting-IP: 6.6.6.6\n",
        "X-Forwarded-For: \n",
        "X-Forwarded-For: ,\n",
        "X-Forwarded-For: unknown\n",
        "X-Forwarded-For: 6.6.6.6, unknown\n",
        "X-Forwarded-For: 6.6.6.6, 198.51.100.7x\n",
        "X-Forwarded-For: 6.6.6.6 198.51.100.7\n",
        "X-Forwarded-For: 198.51.100.256\n",
        "X-Forwarded-For: 198.51.100.7:\n",
        "X-Forwarded-For: 198.51.100.7:65536\n",
        "X-Forwarded-For: 198.51.100.07.1\n",
        "X-Forwarded-For: [2001:db8::7\n",
        "X-Forwarded-For: [2001:db8::7]x\n",
        "X-Forwarded-For: [198.51.100.7]\n",
        "X-Forwarded-For: fe80::1%eth0\n",
        "X-Forwarded-For: 10.0.0.5\n",
    };
    context_fixture_t *f = *state;
    connect_from(f, "10.0.0.1");
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        expect(f, cases[i], "10.0.0.1");
}

/* Only the right end of a longer list is read. */
static void many_hops(void **state)
{
    context_fixture_t *f = *state;
    char list[2048] = "X-Forwarded-For: 198.51.100.7";
    connect_from(f, "10.0.0.1");
    for (int i = 1; i < REMOTE_HOPS_MAX; i++)
        strncat(list, ", 10.0.0.2", sizeof(list) - strlen(list) - 1);
    size_t n = strlen(list);
    strncat(list, "\n", sizeof(list) - n - 1);
    expect(f, list, "198.51.100.7");
    list[n] = '\0';
    strncat(list, ", 10.0.0.2\n", sizeof(list) - n - 1);
    expect(f, list, "10.0.0.1");
}

static void forwarded(void **state)
{
    context_fixture_t *f = *state;
    connect_from(f, "172.16.0.1");
    expect(f, "X-Forwarded-For: 6.6.6.6\n", "172.16.0.1");
    expect(f, "Forwarded: for=198.51.100.7\n", "198.51.100.7");
    expect(f, "Forwarded: by=6.6.6.6;FOR=198.51.100.7; proto=https\n", "198.51.100.7");
    expect(f, "Forwarded: for=6.6.6.6, for=\"[2001:db8::7]:4711\";proto=http, for=10.0.0.1\n", "2001:db8::7");
    expect(f, "Forwarded: for=\"198.51.100.7:80\"\n", "198.51.100.7");
    /* A client cannot hide the proxy's element with its own quotation mark. */
    expect(f, "Forwarded: for=\", for=198.51.100.7\n", "198.51.100.7");
    expect(f, "Forwarded: for=6.6.6.6;by=\"a,b\", for=198.51.100.7;by=\"_x\"\n", "198.51.100.7");
    expect(f, "Forwarded: for=6.6.6.6, for=unknown\n", "172.16.0.1");
    expect(f, "Forwarded: for=6.6.6.6, for=_hidden\n", "172.16.0.1");
    expect(f, "Forwarded: for=6.6.6.6, proto=https\n", "172.16.0.1");
    expect(f, "Forwarded: for=6.6.6.6;for=198.51.100.7\n", "172.16.0.1");
    expect(f, "Forwarded: for=\"\"\n", "172.16.0.1");
}

static void single_fields(void **state)
{
    context_fixture_t *f = *state;
    connect_from(f, "172.16.0.2");
    expect(f, "X-Real-IP: 198.51.100.7\nX-Forwarded-For: 6.6.6.6\n", "198.51.100.7");
    expect(f, "X-Real-IP: 198.51.100.7, 6.6.6.6\n", "172.16.0.2");
    expect(f, "X-Real-IP: 6.6.6.6\nX-Real-IP: 198.51.100.7\n", "172.16.0.2");
    connect_from(f, "fd00::1");
    expect(f, "CF-Connecting-IP: 2001:db8::7\nX-Real-IP: 6.6.6.6\n", "2001:db8::7");
    expect(f, "X-Forwarded-For: 6.6.6.6\n", "fd00::1");
}

static bool https(context_fixture_t *f, const char *fields)
{
    exchange_t *ex = asked(f, fields);
    bool is = remote_is_https(ex);
    exchange_end(&ex, EXCHANGE_END_COMPLETE);
    return is;
}

static void https_by_the_proxys_word(void **state)
{
    context_fixture_t *f = *state;
    f->client.tls_terminated = true;
    assert_false(https(f, "X-Forwarded-Proto: https\n")); /* of a stranger */
    connect_from(f, "10.0.0.1");
    assert_true(https(f, "X-Forwarded-Proto: https\n"));
    assert_true(https(f, "X-Forwarded-Proto: HTTPS\n"));
    assert_false(https(f, ""));
    assert_false(https(f, "X-Forwarded-Proto: http\n"));
    assert_false(https(f, "X-Forwarded-Proto: https, http\n"));
    assert_false(https(f, "X-Forwarded-Proto: https,https\n"));
    assert_false(https(f, "X-Forwarded-Proto: https\nX-Forwarded-Proto: https\n"));
    assert_false(https(f, "X_Forwarded_Proto: https\n"));
    assert_false(https(f, "X-Forwarded-Ssl: on\nForwarded: proto=https\n"));
    f->client.tls_terminated = false;
    assert_false(https(f, "X-Forwarded-Proto: https\n"));
    f->client.kind = CONF_LISTENER_TLS;
    assert_true(https(f, "X-Forwarded-Proto: http\n"));
}

static void requests_count_as_connections(void **state)
{
    context_fixture_t *f = *state;
    const uint8_t seed[16] = {1};
    exchange_t *open[3], *over;
    f->context->shm = shm_new(seed);
    assert_non_null(f->context->shm);
    connect_from(f, "10.0.0.1");
    f->client.counted = true;
    for (size_t i = 0; i < 3; i++) {
        open[i] = asked(f, "X-Forwarded-For: 198.51.100.7\n");
        assert_true(remote_count(open[i]));
    }
    over = asked(f, "X-Forwarded-For: 198.51.100.7\n");
    assert_false(remote_count(over));
    exchange_end(&over, EXCHANGE_END_COMPLETE);
    /* Another client of the proxy, and the proxy itself, remain in service. */
    over = asked(f, "X-Forwarded-For: 198.51.100.8\n");
    assert_true(remote_count(over));
    exchange_end(&over, EXCHANGE_END_COMPLETE);
    for (size_t i = 0; i < 5; i++) {
        over = asked(f, "");
        assert_true(remote_count(over));
        exchange_end(&over, EXCHANGE_END_COMPLETE);
    }
    for (size_t i = 0; i < 3; i++)
        exchange_end(&open[i], EXCHANGE_END_COMPLETE);
    over = asked(f, "X-Forwarded-For: 198.51.100.7\n");
    assert_int_equal(shm_client_count(f->context->shm, remote_address(over)), 0);
    exchange_end(&over, EXCHANGE_END_COMPLETE);
    f->client.counted = false;
    shm_free(&f->context->shm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(strangers_name_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(the_rightmost_that_is_no_proxy, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_named, setup, teardown),
        cmocka_unit_test_setup_teardown(many_hops, setup, teardown),
        cmocka_unit_test_setup_teardown(forwarded, setup, teardown),
        cmocka_unit_test_setup_teardown(single_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(https_by_the_proxys_word, setup, teardown),
        cmocka_unit_test_setup_teardown(requests_count_as_connections, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
