/* Calls to an engine or a control plane: refused answers, and TLS. */
#include "fetch_world.h"

#include "certificates.h"

static void test_refuses(void **state)
{
    world_t *world = *state;
    call_t call = get(world, "/redirect");
    assert_int_equal(call.status, 302);
    assert_int_equal(world->server->requests, 1); /* it was not followed */
    free(call.body);
    const char *bad[] = {"/large", "/endless", "/short", "/reset", "/fields", "/hints", "/junk"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        call = get(world, bad[i]);
        assert_int_equal(call.status, 0);
        assert_true(call.error[0] != '\0');
        for (const char *c = call.error; *c != '\0'; c++)
            assert_in_range(*c, ' ', '~');
        free(call.body);
    }
}

static void test_bound_of_bodies(void **state)
{
    world_t *world = *state;
    char url[256];
    for (size_t most = 6; most <= 7; most++) {
        call_t call = {0};
        fetch_request_t request = {
            .method = "GET", .url = url_of(world, "/ok", url, sizeof(url)), .timeout_ms = 5000, .most = most};
        start_request(&call, world, &request, &collecting);
        wait_for(world, &call);
        assert_int_equal(call.status, most == 7 ? 200 : 0);
        if (most == 6)
            assert_string_equal(call.error, "the answer is too large");
        free(call.body);
    }
}

static void test_urls_and_tokens(void **state)
{
    world_t *world = *state;
    const char *urls[] = {"file:///etc/passwd",
                          "ftp://127.0.0.1/",
                          "http://a:b@127.0.0.1/",
                          "gopher://127.0.0.1/",
                          "",
                          "http://"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        call_t call = {0};
        fetch_request_t request = {.method = "GET", .url = urls[i], .timeout_ms = 5000, .most = 100};
        start_request(&call, world, &request, &collecting);
        wait_for(world, &call);
        assert_int_equal(call.status, 0);
        assert_null(strstr(call.error, "passwd"));
        free(call.body);
    }
    char *long_token = malloc(10001);
    memset(long_token, 'a', 10000);
    long_token[10000] = '\0';
    const char *tokens[] = {"a\r\nX-Evil: 1", "a b", "\x7f", "\xc3\xa4", long_token};
    char url[256];
    for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++) {
        call_t call = {0};
        fetch_request_t request = {.method = "GET",
                                   .url = url_of(world, "/ok", url, sizeof(url)),
                                   .bearer = tokens[i],
                                   .timeout_ms = 5000,
                                   .most = 100};
        start_request(&call, world, &request, &collecting);
        wait_for(world, &call);
        assert_int_equal(call.status, 0);
        assert_non_null(strstr(call.error, "the token "));
        assert_null(strstr(call.error, "aaaa"));
        free(call.body);
    }
    free(long_token);
    assert_int_equal(world->server->connections, 0);
}

static void test_times_out(void **state)
{
    world_t *world = *state;
    char url[256];
    call_t call = {0};
    fetch_request_t request = {
        .method = "GET", .url = url_of(world, "/stall", url, sizeof(url)), .timeout_ms = 60, .most = 100};
    uint64_t began = loop_precise_us();
    start_request(&call, world, &request, &collecting);
    wait_for(world, &call);
    assert_int_equal(call.status, 0);
    assert_true(loop_precise_us() - began >= 50000);
    free(call.body);
}

static void test_nobody_listens(void **state)
{
    world_t *world = *state;
    char url[256];
    url_of(world, "/ok", url, sizeof(url));
    server_free(&world->server);
    call_t call = {0};
    fetch_request_t request = {.method = "GET", .url = url, .timeout_ms = 5000, .most = 100};
    start_request(&call, world, &request, &collecting);
    wait_for(world, &call);
    assert_int_equal(call.status, 0);
    free(call.body);
    world->server = fetch_server_server_new(NULL, NULL);
}

/* ---- TLS ---- */

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* A call to a server whose certificate has `names`, and its result. `trusted`: its authority is known. */
static call_t get_tls(world_t *world, const char *names, int version, bool trusted)
{
    char ca[64];
    snprintf(ca, sizeof(ca), "/tmp/boxedge-fetch-%d.pem", getpid());
    tls_pem_t pem = certificate_make(names, time(NULL) - 60, 1);
    write_file(ca, pem.chain);
    SSL_CTX *tls = server_tls(&pem, version);
    server_free(&world->server);
    world->server = fetch_server_server_new(tls, NULL);
    char url[256];
    call_t call = {0};
    fetch_request_t request = {.method = "GET",
                               .url = url_of(world, "/ok", url, sizeof(url)),
                               .ca_file = trusted ? ca : NULL,
                               .bearer = "top.secret",
                               .timeout_ms = 5000,
                               .most = 100};
    start_request(&call, world, &request, &collecting);
    wait_for(world, &call);
    free(call.body);
    assert_null(strstr(call.error, "secret"));
    assert_int_equal(world->server->requests, call.status == 200 ? 1 : 0);
    server_free(&world->server);
    world->server = fetch_server_server_new(NULL, NULL);
    SSL_CTX_free(tls);
    tls_pem_fini(&pem);
    unlink(ca);
    /* A separate authority for each: libcurl may cache them for a while. */
    fetcher_free(&world->fetcher);
    world->fetcher = fetcher_new(world->loop);
    return call;
}

static void test_tls(void **state)
{
    world_t *world = *state;
    const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(get_tls(world, "IP:127.0.0.1", versions[i], true).status, 200);
        assert_int_equal(get_tls(world, "IP:127.0.0.2,DNS:a.test", versions[i], true).status, 0);
        assert_int_equal(get_tls(world, "IP:127.0.0.1", versions[i], false).status, 0);
    }
    assert_int_equal(get_tls(world, "IP:127.0.0.1", TLS1_1_VERSION, true).status, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fetch_world_setup, fetch_world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_refuses),   TEST(test_bound_of_bodies), TEST(test_urls_and_tokens),
        TEST(test_times_out), TEST(test_nobody_listens),  TEST(test_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
