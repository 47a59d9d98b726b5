/* Calls to an engine or a control plane: what they take, what they refuse, and when they are ended. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <signal.h>

#include "certificates.h"
#include "fetch.h"
#include "fetch_server.h"

typedef struct world {
    loop_t *loop;
    fetcher_t *fetcher;
    server_t *server;
} world_t;

/* A call, with what its handlers saw and do. */
typedef struct call {
    fetch_t *fetch;
    world_t *world;
    unsigned dones, heads, datas;
    int status, head_status;
    uint32_t retry_after;
    char error[512];
    char *body;
    size_t body_len, streamed;
    enum { CANCEL_NEVER, CANCEL_IN_HEAD, CANCEL_IN_DATA, CANCEL_IN_DONE } cancels;
    struct call *cancels_other;
    bool says_go;        /* lets the server send its next chunk */
    struct call *starts; /* started from `done` */
    const char *starts_path;
} call_t;

static void start(call_t *call, world_t *world, const char *path);

static void cancel_here(call_t *call, int place)
{
    if ((int)call->cancels != place)
        return;
    fetch_cancel(&call->fetch);
    if (call->cancels_other != NULL)
        fetch_cancel(&call->cancels_other->fetch);
}

static void on_head(void *owner, int status)
{
    call_t *call = owner;
    call->heads++;
    call->head_status = status;
    cancel_here(call, CANCEL_IN_HEAD);
}

static void on_data(void *owner, str_t bytes)
{
    call_t *call = owner;
    call->datas++;
    call->streamed += bytes.n;
    if (call->says_go)
        assert_int_equal(write(call->world->server->go[1], "g", 1), 1);
    cancel_here(call, CANCEL_IN_DATA);
}

static void on_done(void *owner, const fetch_result_t *result)
{
    call_t *call = owner;
    call->dones++;
    call->status = result->status;
    call->retry_after = result->retry_after;
    call->body_len = result->body.n;
    call->body = strndup(result->body.n > 0 ? result->body.p : "", result->body.n);
    if (result->status == 0)
        assert_non_null(result->error);
    else
        assert_null(result->error);
    snprintf(call->error, sizeof(call->error), "%s", result->error != NULL ? result->error : "");
    cancel_here(call, CANCEL_IN_DONE);
    call->fetch = NULL;
    if (call->starts != NULL)
        start(call->starts, call->world, call->starts_path);
}

static const fetch_handlers_t collecting = {.done = on_done, .head = on_head};
static const fetch_handlers_t streaming = {.done = on_done, .head = on_head, .data = on_data};

static void start_request(call_t *call, world_t *world, const fetch_request_t *request,
                          const fetch_handlers_t *handlers)
{
    call->world = world;
    call->fetch = fetch_start(world->fetcher, request, handlers, call);
    assert_int_equal(call->dones, 0);
}

/* "http://127.0.0.1:port<path>" in a buffer of the caller's. */
static const char *url_of(const world_t *world, const char *path, char *url, size_t len)
{
    snprintf(url, len, "%s://127.0.0.1:%u%s", world->server->tls != NULL ? "https" : "http",
             world->server->port, path);
    return url;
}

static void start_with(call_t *call, world_t *world, const char *path, const fetch_handlers_t *handlers)
{
    char url[256];
    fetch_request_t request = {
        .method = "GET", .url = url_of(world, path, url, sizeof(url)), .timeout_ms = 10000, .most = 1000};
    start_request(call, world, &request, handlers);
    memset(url, 'x', sizeof(url)); /* it was copied */
}

static void start(call_t *call, world_t *world, const char *path)
{
    start_with(call, world, path, &collecting);
}

/* Turns until `call` ended; a generous bound ends a test that would hang. */
static void wait_for(world_t *world, const call_t *call)
{
    uint64_t end = loop_precise_us() + 20000000;
    while (call->dones == 0 && loop_precise_us() < end)
        loop_turn(world->loop, 1000);
    assert_int_equal(call->dones, 1);
}

static call_t get(world_t *world, const char *path)
{
    call_t call = {0};
    start(&call, world, path);
    wait_for(world, &call);
    return call;
}

static int setup(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    world_t *world = calloc(1, sizeof(*world));
    world->loop = loop_new();
    world->fetcher = fetcher_new(world->loop);
    world->server = server_new(NULL, NULL);
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    world_t *world = *state;
    fetcher_free(&world->fetcher);
    assert_null(world->fetcher);
    server_free(&world->server);
    loop_free(&world->loop);
    free(world);
    return 0;
}

static size_t open_fds(void)
{
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

/* ---- what is taken ---- */

static void test_answers(void **state)
{
    world_t *world = *state;
    call_t call = get(world, "/ok");
    assert_int_equal(call.status, 200);
    assert_string_equal(call.body, "{\"a\":1}");
    assert_int_equal(call.heads, 1);
    assert_int_equal(call.head_status, 200);
    assert_int_equal(call.retry_after, 0);
    free(call.body);
    call = get(world, "/busy");
    assert_int_equal(call.status, 503);
    assert_int_equal(call.retry_after, 7);
    assert_string_equal(call.body, "busy");
    free(call.body);
    call = get(world, "/later");
    assert_int_equal(call.status, 429);
    assert_int_equal(call.retry_after, FETCH_RETRY_AFTER_MAX);
    free(call.body);
    call = get(world, "/early");
    assert_int_equal(call.status, 200);
    assert_int_equal(call.heads, 1);
    free(call.body);
    call = get(world, "/trailers");
    assert_int_equal(call.status, 200);
    assert_int_equal(call.heads, 1);
    free(call.body);
    assert_int_equal(world->server->connections, 1); /* one was enough for all */
}

static void test_request(void **state)
{
    world_t *world = *state;
    char url[256];
    call_t call = {0};
    fetch_request_t request = {.method = "POST",
                               .url = url_of(world, "/echo", url, sizeof(url)),
                               .bearer = "top.secret",
                               .body = STR("{\"boxes\":[]}"),
                               .timeout_ms = 5000,
                               .most = 4096};
    start_request(&call, world, &request, &collecting);
    wait_for(world, &call);
    assert_true(strncmp(call.body, "POST /echo HTTP/1.1\r\n", 21) == 0);
    assert_non_null(strstr(call.body, "\r\nAuthorization: Bearer top.secret\r\n"));
    assert_non_null(strstr(call.body, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(call.body, "\r\nContent-Length: 12\r\n"));
    assert_non_null(strstr(call.body, "\r\n\r\n{\"boxes\":[]}"));
    assert_null(strstr(call.body, "Expect:"));
    free(call.body);
    /* Nothing is kept from call to call: no cookie that an answer set, no token. */
    call = (call_t){0};
    request = (fetch_request_t){.method = "POST", .url = url, .timeout_ms = 5000, .most = 4096};
    start_request(&call, world, &request, &collecting);
    wait_for(world, &call);
    assert_non_null(strstr(call.body, "\r\nContent-Length: 0\r\n"));
    assert_null(strstr(call.body, "Cookie"));
    assert_null(strstr(call.body, "Authorization"));
    assert_null(strstr(call.body, "Content-Type"));
    free(call.body);
    call = (call_t){0};
    request.method = "DELETE";
    start_request(&call, world, &request, &collecting);
    wait_for(world, &call);
    assert_true(strncmp(call.body, "DELETE /echo HTTP/1.1\r\n", 23) == 0);
    assert_null(strstr(call.body, "Content-Length"));
    free(call.body);
}

static void test_environment_is_not_asked(void **state)
{
    world_t *world = *state;
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("all_proxy", "http://127.0.0.1:1", 1);
    call_t call = get(world, "/ok");
    assert_int_equal(call.status, 200);
    free(call.body);
    unsetenv("http_proxy");
    unsetenv("all_proxy");
}

static void test_unix_socket(void **state)
{
    world_t *world = *state;
    char path[64];
    snprintf(path, sizeof(path), "/tmp/boxedge-fetch-%d.sock", getpid());
    server_t *local = server_new(NULL, path);
    call_t call = {0};
    fetch_request_t request = {
        .method = "GET", .url = "http://engine/echo", .unix_socket = path, .timeout_ms = 5000, .most = 4096};
    start_request(&call, world, &request, &collecting);
    wait_for(world, &call);
    assert_int_equal(call.status, 200);
    assert_non_null(strstr(call.body, "\r\nHost: engine\r\n"));
    free(call.body);
    unlink(path);
    server_free(&local);
    call = (call_t){0};
    start_request(&call, world, &request, &collecting);
    wait_for(world, &call);
    assert_int_equal(call.status, 0);
    free(call.body);
}

static void test_streams(void **state)
{
    world_t *world = *state;
    call_t call = {.says_go = true};
    start_with(&call, world, "/steps", &streaming);
    assert_int_equal(write(world->server->go[1], "g", 1), 1);
    wait_for(world, &call); /* each chunk is sent only when the one before was seen */
    assert_int_equal(call.status, 200);
    assert_true(call.datas == 5);
    assert_int_equal(call.streamed, 30);
    assert_int_equal(call.body_len, 0);
    free(call.body);
    /* What is no 2xx is collected, and bounded. */
    call = (call_t){0};
    start_with(&call, world, "/busy", &streaming);
    wait_for(world, &call);
    assert_int_equal(call.status, 503);
    assert_int_equal(call.datas, 0);
    assert_string_equal(call.body, "busy");
    free(call.body);
}

static void test_parallel(void **state)
{
    world_t *world = *state;
    enum { CALLS = 100 };
    size_t fds = open_fds();
    call_t *calls = calloc(CALLS, sizeof(*calls));
    for (unsigned i = 0; i < CALLS; i++)
        start(&calls[i], world, i % 2 == 0 ? "/ok" : "/once");
    for (unsigned i = 0; i < CALLS; i++) {
        wait_for(world, &calls[i]);
        assert_int_equal(calls[i].status, 200);
        assert_string_equal(calls[i].body, i % 2 == 0 ? "{\"a\":1}" : "once");
        free(calls[i].body);
    }
    assert_int_equal(world->server->requests, CALLS);
    free(calls);
    fetcher_free(&world->fetcher);
    server_free(&world->server);
    world->fetcher = fetcher_new(world->loop);
    world->server = server_new(NULL, NULL);
    loop_turn(world->loop, 0);
    assert_in_range(open_fds(), 0, fds);
}

static void test_too_many(void **state)
{
    world_t *world = *state;
    call_t *calls = calloc(FETCH_CALLS_MAX + 1, sizeof(*calls));
    for (unsigned i = 0; i <= FETCH_CALLS_MAX; i++)
        start(&calls[i], world, "/stall");
    wait_for(world, &calls[FETCH_CALLS_MAX]);
    assert_int_equal(calls[FETCH_CALLS_MAX].status, 0);
    assert_string_equal(calls[FETCH_CALLS_MAX].error, "too many calls are under way");
    free(calls[FETCH_CALLS_MAX].body);
    for (unsigned i = 0; i < FETCH_CALLS_MAX; i++) {
        assert_int_equal(calls[i].dones, 0);
        fetch_cancel(&calls[i].fetch);
        assert_null(calls[i].fetch);
    }
    call_t call = get(world, "/ok"); /* there is room again */
    assert_int_equal(call.status, 200);
    free(call.body);
    free(calls);
}

/* A connection that the server closed after an answer is not used again, or made good for. */
static void test_closed_between_calls(void **state)
{
    world_t *world = *state;
    for (int i = 0; i < 5; i++) {
        call_t call = get(world, "/once");
        assert_int_equal(call.status, 200);
        free(call.body);
    }
}

/* A kept connection that dies under a request is made good for; on a fresh one that is a failure. */
static void test_fresh(void **state)
{
    world_t *world = *state;
    char url[256];
    fetch_request_t request = {
        .method = "GET", .url = url_of(world, "/reset", url, sizeof(url)), .timeout_ms = 5000, .most = 100};
    for (unsigned fresh = 0; fresh < 2; fresh++) {
        call_t call = get(world, "/ok");
        free(call.body);
        unsigned requests = world->server->requests;
        call = (call_t){0};
        request.fresh = fresh != 0;
        start_request(&call, world, &request, &collecting);
        wait_for(world, &call);
        assert_int_equal(call.status, 0);
        assert_int_equal(world->server->requests, requests + (fresh ? 1 : 2));
        free(call.body);
    }
}

/* ---- what is refused ---- */

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
    assert_in_range(loop_precise_us() - began, 50000, 5000000);
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
    world->server = server_new(NULL, NULL);
}

/* ---- TLS ---- */

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* A call to a server whose certificate has `names`; what came of it. `trusted`: its authority is known. */
static call_t get_tls(world_t *world, const char *names, int version, bool trusted)
{
    char ca[64];
    snprintf(ca, sizeof(ca), "/tmp/boxedge-fetch-%d.pem", getpid());
    tls_pem_t pem = certificate_make(names, time(NULL) - 60, 1);
    write_file(ca, pem.chain);
    SSL_CTX *tls = server_tls(&pem, version);
    server_free(&world->server);
    world->server = server_new(tls, NULL);
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
    world->server = server_new(NULL, NULL);
    SSL_CTX_free(tls);
    tls_pem_fini(&pem);
    unlink(ca);
    /* Its own authorities for each: they may be held for a while. */
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

/* ---- cancelled ---- */

static void test_cancelled(void **state)
{
    world_t *world = *state;
    call_t early = {0}, late = {0};
    start(&early, world, "/stall");
    fetch_cancel(&early.fetch); /* before libcurl has it */
    start(&late, world, "/stall");
    while (world->server->requests == 0)
        loop_turn(world->loop, 10);
    fetch_cancel(&late.fetch);
    assert_null(late.fetch);
    fetch_cancel(&late.fetch);
    call_t call = get(world, "/ok");
    assert_int_equal(call.status, 200);
    free(call.body);
    assert_int_equal(early.dones + late.dones, 0);
}

static void test_cancelled_from_handlers(void **state)
{
    world_t *world = *state;
    for (int place = CANCEL_IN_HEAD; place <= CANCEL_IN_DONE; place++) {
        call_t other = {0}, fresh = {0};
        call_t call = {.cancels = (unsigned)place, .cancels_other = &other};
        start(&other, world, "/stall");
        start(&fresh, world, "/stall");
        start_with(&call, world, place == CANCEL_IN_DATA ? "/endless" : "/ok", &streaming);
        uint64_t end = loop_precise_us() + 20000000;
        while (other.fetch != NULL && loop_precise_us() < end)
            loop_turn(world->loop, 1000);
        assert_null(other.fetch);
        fetch_cancel(&fresh.fetch);
        unsigned datas = call.datas;
        call_t next = get(world, "/ok"); /* the rest goes on */
        assert_int_equal(next.status, 200);
        free(next.body);
        assert_int_equal(call.dones, place == CANCEL_IN_DONE ? 1 : 0);
        assert_int_equal(call.datas, datas);
        assert_int_equal(other.dones, 0);
        free(call.body);
    }
}

static void test_started_from_done(void **state)
{
    world_t *world = *state;
    call_t second = {0};
    call_t first = {.starts = &second, .starts_path = "/ok"};
    start(&first, world, "/ok");
    wait_for(world, &first);
    wait_for(world, &second);
    assert_int_equal(second.status, 200);
    free(first.body);
    free(second.body);
}

static void test_freed_under_way(void **state)
{
    world_t *world = *state;
    call_t call = {0}, unbegun = {0};
    start(&call, world, "/stall");
    while (world->server->requests == 0)
        loop_turn(world->loop, 10);
    start(&unbegun, world, "/ok");
    fetcher_free(&world->fetcher);
    loop_turn(world->loop, 0);
    assert_int_equal(call.dones + unbegun.dones, 0);
    world->fetcher = fetcher_new(world->loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_request, setup, teardown),
        cmocka_unit_test_setup_teardown(test_environment_is_not_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unix_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(test_streams, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parallel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_closed_between_calls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fresh, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bound_of_bodies, setup, teardown),
        cmocka_unit_test_setup_teardown(test_urls_and_tokens, setup, teardown),
        cmocka_unit_test_setup_teardown(test_times_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_listens, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancelled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancelled_from_handlers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_started_from_done, setup, teardown),
        cmocka_unit_test_setup_teardown(test_freed_under_way, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
