#include "fetch_world.h"

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

const fetch_handlers_t collecting = {.done = on_done, .head = on_head};

const fetch_handlers_t streaming = {.done = on_done, .head = on_head, .data = on_data};

void start_request(call_t *call, world_t *world, const fetch_request_t *request,
                   const fetch_handlers_t *handlers)
{
    call->world = world;
    call->fetch = fetch_start(world->fetcher, request, handlers, call);
    assert_int_equal(call->dones, 0);
}

const char *url_of(const world_t *world, const char *path, char *url, size_t len)
{
    snprintf(url, len, "%s://127.0.0.1:%u%s", world->server->tls != NULL ? "https" : "http",
             world->server->port, path);
    return url;
}

void start_with(call_t *call, world_t *world, const char *path, const fetch_handlers_t *handlers)
{
    char url[256];
    fetch_request_t request = {
        .method = "GET", .url = url_of(world, path, url, sizeof(url)), .timeout_ms = 10000, .most = 1000};
    start_request(call, world, &request, handlers);
    memset(url, 'x', sizeof(url)); /* it was copied */
}

void start(call_t *call, world_t *world, const char *path)
{
    start_with(call, world, path, &collecting);
}

void wait_for(world_t *world, const call_t *call)
{
    uint64_t end = loop_precise_us() + 20000000;
    while (call->dones == 0 && loop_precise_us() < end)
        loop_turn(world->loop, 1000);
    assert_int_equal(call->dones, 1);
}

call_t get(world_t *world, const char *path)
{
    call_t call = {0};
    start(&call, world, path);
    wait_for(world, &call);
    return call;
}

int fetch_world_setup(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    world_t *world = calloc(1, sizeof(*world));
    world->loop = loop_new();
    world->fetcher = fetcher_new(world->loop);
    world->server = fetch_server_server_new(NULL, NULL);
    *state = world;
    return 0;
}

int fetch_world_teardown(void **state)
{
    world_t *world = *state;
    fetcher_free(&world->fetcher);
    assert_null(world->fetcher);
    server_free(&world->server);
    loop_free(&world->loop);
    free(world);
    return 0;
}
