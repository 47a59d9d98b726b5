/* Calls to an engine or a control plane: accepted answers, and the end of calls. */
#include "fetch_world.h"

#include <dirent.h>

static size_t open_fds(void)
{
    size_t n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (readdir(dir) != NULL)
        n++;
    closedir(dir);
    return n;
}

/* ---- accepted answers ---- */

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
    /* Calls share no state: no cookie that an answer set, no token. */
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
    server_t *local = fetch_server_server_new(NULL, path);
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

static void test_key_and_host(void **state)
{
    world_t *world = *state;
    char url[256];
    call_t call = {0};
    fetch_request_t request = {.method = "GET",
                               .url = url_of(world, "/echo", url, sizeof(url)),
                               .api_key = "k-1",
                               .host = "api.example.com",
                               .timeout_ms = 5000,
                               .most = 4096};
    start_request(&call, world, &request, &collecting);
    wait_for(world, &call);
    assert_non_null(strstr(call.body, "\r\nX-Box-Api-Key: k-1\r\n"));
    assert_non_null(strstr(call.body, "\r\nHost: api.example.com\r\n"));
    assert_null(strstr(call.body, "Host: 127"));
    free(call.body);
    call = (call_t){0};
    request.api_key = "k 1";
    start_request(&call, world, &request, &collecting);
    wait_for(world, &call);
    assert_int_equal(call.status, 0);
    assert_null(strstr(call.error, "k 1"));
    free(call.body);
}

static void test_streams(void **state)
{
    world_t *world = *state;
    call_t call = {.says_go = true};
    start_with(&call, world, "/steps", &streaming);
    assert_int_equal(write(world->server->go[1], "g", 1), 1);
    wait_for(world, &call); /* each chunk is sent only after the one before arrived */
    assert_int_equal(call.status, 200);
    assert_true(call.datas == 5);
    assert_int_equal(call.streamed, 30);
    assert_int_equal(call.body_len, 0);
    free(call.body);
    /* An answer other than 2xx is collected, up to a bound. */
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
    world->server = fetch_server_server_new(NULL, NULL);
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
    call_t call = get(world, "/ok"); /* room again */
    assert_int_equal(call.status, 200);
    free(call.body);
    free(calls);
}

/* A connection that the server closed after an answer is not used again, or the call is repeated. */
static void test_closed_between_calls(void **state)
{
    world_t *world = *state;
    for (int i = 0; i < 5; i++) {
        call_t call = get(world, "/once");
        assert_int_equal(call.status, 200);
        free(call.body);
    }
}

/* A kept connection that dies under a request leads to a second attempt; on a fresh one that is a failure. */
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
        call_t next = get(world, "/ok"); /* the rest continues */
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, fetch_world_setup, fetch_world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_answers),
        TEST(test_request),
        TEST(test_environment_is_not_asked),
        TEST(test_unix_socket),
        TEST(test_key_and_host),
        TEST(test_streams),
        TEST(test_parallel),
        TEST(test_too_many),
        TEST(test_closed_between_calls),
        TEST(test_fresh),
        TEST(test_cancelled),
        TEST(test_cancelled_from_handlers),
        TEST(test_started_from_done),
        TEST(test_freed_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
