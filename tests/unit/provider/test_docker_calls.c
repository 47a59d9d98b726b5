/* Calls to an engine: the number under way, and their order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>

#include "docker_calls.h"
#include "docker_engine.h"

#define CALLS 30

typedef struct world {
    loop_t *loop;
    fetcher_t *fetcher;
    engine_t *server;
    docker_engine_t *engine;
    docker_call_t calls[CALLS];
    unsigned sent[DOCKER_CLASSES], done;
    int last_status;
} world_t;

static world_t *world;

static void on_sent(docker_call_t *call)
{
    world->sent[call->class]++;
}

static void on_done(docker_call_t *call, const fetch_result_t *result)
{
    assert_false(docker_call_busy(call));
    assert_null(call->path);
    world->done++;
    world->last_status = result->status;
}

/* Unpauses a container; the server holds the answer back as long as the test wants. */
static void begin(docker_call_t *call, docker_class_t class)
{
    call->method = "POST";
    call->path = docker_text("/containers/%s/unpause", world->server->at[0].id);
    call->timeout_ms = 20000;
    call->most = 1000;
    call->class = class;
    call->sent = on_sent;
    call->done = on_done;
    docker_call_begin(world->engine, call);
}

static void hold(bool holds)
{
    engine_lock(world->server);
    world->server->holds = holds;
    engine_unlock(world->server);
}

static void wait_done(unsigned count)
{
    uint64_t end = loop_precise_us() + 30000000;
    while (world->done < count && loop_precise_us() < end)
        loop_turn(world->loop, 100);
    assert_int_equal(world->done, count);
}

static int setup(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN);
    world = calloc(1, sizeof(*world));
    world->loop = loop_new();
    world->fetcher = fetcher_new(world->loop);
    world->server = engine_new();
    world->engine = docker_engine_new(world->fetcher, world->server->path);
    engine_lock(world->server);
    (void)engine_add(world->server, "a", "paused");
    engine_unlock(world->server);
    hold(true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CALLS; i++)
        docker_call_cancel(&world->calls[i]);
    docker_engine_free(&world->engine);
    fetcher_free(&world->fetcher);
    loop_free(&world->loop);
    engine_end(world->server);
    engine_free(&world->server);
    free(world);
    return 0;
}

static void so_many_are_under_way_and_no_more(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CALLS; i++)
        begin(&world->calls[i], DOCKER_URGENT);
    assert_int_equal(docker_engine_busy(world->engine), DOCKER_CALLS_MAX);
    assert_int_equal(world->sent[DOCKER_URGENT], DOCKER_CALLS_MAX);
    docker_call_cancel(&world->calls[0]);         /* under way: another one starts */
    docker_call_cancel(&world->calls[CALLS - 1]); /* waits */
    assert_int_equal(docker_engine_busy(world->engine), DOCKER_CALLS_MAX);
    assert_int_equal(world->sent[DOCKER_URGENT], DOCKER_CALLS_MAX + 1);
    docker_call_cancel(&world->calls[0]); /* once more is harmless */
    hold(false);
    wait_done(CALLS - 2);
    assert_int_equal(docker_engine_busy(world->engine), 0);
    assert_in_range(world->server->busy_most, 1, DOCKER_CALLS_MAX);
}

static void a_listing_leaves_room_for_others(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CALLS / 2; i++)
        begin(&world->calls[i], DOCKER_BACKGROUND);
    assert_int_equal(docker_engine_busy(world->engine), DOCKER_BACKGROUND_MAX);
    for (unsigned i = CALLS / 2; i < CALLS; i++)
        begin(&world->calls[i], DOCKER_URGENT);
    assert_int_equal(docker_engine_busy(world->engine), DOCKER_CALLS_MAX);
    assert_int_equal(world->sent[DOCKER_URGENT], DOCKER_CALLS_MAX - DOCKER_BACKGROUND_MAX);
    /* Waiting calls are ordered by kind: the listing has its share, and no more while others wait. */
    for (unsigned i = 0; i < DOCKER_BACKGROUND_MAX; i++)
        docker_call_cancel(&world->calls[i]);
    assert_int_equal(world->sent[DOCKER_BACKGROUND], DOCKER_BACKGROUND_MAX + DOCKER_BACKGROUND_MIN);
    assert_int_equal(world->sent[DOCKER_URGENT], DOCKER_CALLS_MAX - DOCKER_BACKGROUND_MIN);
    hold(false);
    wait_done(CALLS - DOCKER_BACKGROUND_MAX);
}

/* They take long, and others need the engine too. */
static void logs_have_their_places(void **state)
{
    (void)state;
    for (unsigned i = 0; i < CALLS / 2; i++)
        begin(&world->calls[i], DOCKER_LOG);
    assert_int_equal(docker_engine_busy(world->engine), DOCKER_LOGS_MAX);
    for (unsigned i = CALLS / 2; i < CALLS; i++)
        begin(&world->calls[i], DOCKER_URGENT);
    assert_int_equal(world->sent[DOCKER_URGENT], DOCKER_CALLS_MAX - DOCKER_LOGS_MAX);
    docker_call_cancel(&world->calls[0]); /* the slot goes to the calls with waiters */
    assert_int_equal(world->sent[DOCKER_URGENT], DOCKER_CALLS_MAX - DOCKER_LOGS_MAX + 1);
    assert_int_equal(world->sent[DOCKER_LOG], DOCKER_LOGS_MAX);
    hold(false);
    wait_done(CALLS - 1);
}

static void faults_of_the_socket_are_named(void **state)
{
    (void)state;
    char path[200];
    assert_null(docker_engine_fault(world->engine));
    docker_engine_set_socket(world->engine, "/nowhere/docker.sock");
    assert_string_equal(docker_engine_fault(world->engine), "No such file or directory");
    begin(&world->calls[0], DOCKER_URGENT);
    wait_done(1);
    assert_int_equal(world->last_status, 0);
    memset(path, 'x', sizeof(path) - 1);
    path[0] = '/';
    path[sizeof(path) - 1] = '\0';
    docker_engine_set_socket(world->engine, path);
    assert_non_null(docker_engine_fault(world->engine));
    begin(&world->calls[0], DOCKER_URGENT);
    wait_done(2);
    assert_int_equal(world->last_status, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(so_many_are_under_way_and_no_more),
        TEST(a_listing_leaves_room_for_others),
        TEST(logs_have_their_places),
        TEST(faults_of_the_socket_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
