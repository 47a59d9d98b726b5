/* The rest of a large head once its request cannot be sent again; an ordinary head stays as it is. */
#include "exchange_world.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arena.h"
#include "request_head.h"

#define LARGE 31000

static void add(exchange_t *ex, arena_t *pool, const char *name, str_t value)
{
    fields_add(pool, &ex->request.fields, field_lookup(str_from(name)), str_dup(pool, str_from(name)),
               str_dup(pool, value));
}

/* That many bytes, kept until the next call. */
static str_t letters(size_t n)
{
    static char bytes[LARGE];
    memset(bytes, 'v', sizeof(bytes));
    assert_true(n <= sizeof(bytes));
    return str_make(bytes, n);
}

static exchange_world_t *world_of(size_t filler)
{
    exchange_world_t *world = exchange_world_new();
    exchange_t *ex = world->ex;
    arena_t *pool = request_head_pool(ex, filler);
    world->fixture->client.local = false;
    ex->request.method = str_dup(pool, STR("POST"));
    ex->request.authority = str_dup(pool, STR("box-1.preview.test"));
    ex->request.target = str_dup(pool, STR("/path?q"));
    add(ex, pool, "x-a", letters(filler));
    add(ex, pool, "Origin", STR("https://page.test"));
    add(ex, pool, "x-forwarded-proto", STR("https"));
    add(ex, pool, "x-forwarded-proto", STR("http"));
    add(ex, pool, "x-forwarded-proto", STR("http"));
    add(ex, pool, "accept", STR("text/html"));
    return world;
}

/* The same, with all its memory counted. */
static exchange_world_t *large(void)
{
    exchange_world_t *world = world_of(LARGE);
    exchange_count(world->ex);
    assert_true(world->ex->account.held > LARGE);
    return world;
}

static void expect_left(const exchange_t *ex)
{
    const fields_t *fields = &ex->request.fields;
    assert_null(ex->head);
    assert_true(ex->account.held < 2 * 4096 + 512); /* two pieces of the exchange's arena, at most */
    assert_true(str_eq(ex->request.method, STR("POST")));
    assert_true(str_eq(ex->request.authority, STR("box-1.preview.test")));
    assert_true(str_eq(ex->request.target, STR("/path?q")));
    assert_true(str_eq(fields_value(fields, FIELD_ORIGIN), STR("https://page.test")));
    assert_true(str_eq(fields_value(fields, FIELD_ACCEPT), STR("text/html")));
    assert_int_equal(fields_count(fields, FIELD_X_FORWARDED_PROTO), 2); /* a forged one would be believed */
    assert_null(fields_find(fields, FIELD_USER_AGENT));
    assert_int_equal(fields->count, 4);
}

static void test_a_response_begins(void **state)
{
    (void)state;
    exchange_world_t *world = large();
    exchange_start(world->ex);
    assert_true(world->ex->account.held > LARGE); /* it may be sent again */
    world_respond(world);
    expect_left(world->ex);
    exchange_world_free(world);
}

static void test_a_tunnel_opens(void **state)
{
    (void)state;
    exchange_world_t *world = large();
    world->ex->request.websocket_key = world->ex->request.fields.at[0].value;
    world_open_tunnel(world);
    expect_left(world->ex);
    assert_int_equal(world->ex->request.websocket_key.n, 0);
    world->ex->request_complete = true;
    exchange_response_end(world->ex);
    exchange_world_free(world);
}

/* A client that reads nothing of the edge's own answer. */
static void test_a_local_answer(void **state)
{
    (void)state;
    exchange_world_t *world = large();
    world->answer = STEP_WAIT;
    world->room = 0;
    exchange_start(world->ex);
    exchange_reply(world->ex, 404, STR("text/plain"), NULL, STR("none"));
    expect_left(world->ex);
    world->room = 100;
    exchange_response_room(world->ex);
    expect_out(world, STR("none"));
    exchange_world_free(world);
}

static void test_an_ordinary_head_stays(void **state)
{
    (void)state;
    exchange_world_t *world = world_of(REQUEST_HEAD_SMALL);
    fields_t before = world->ex->request.fields;
    assert_null(world->ex->head);
    exchange_start(world->ex);
    world_respond(world);
    assert_memory_equal(&world->ex->request.fields, &before, sizeof(before));
    assert_null(fields_find(&world->ex->request.fields, FIELD_COOKIE));
    exchange_world_free(world);
}

/* Handlers of admin requests keep reading them while they answer. */
static void test_a_local_socket(void **state)
{
    (void)state;
    exchange_world_t *world = large();
    world->fixture->client.local = true;
    exchange_start(world->ex);
    world_respond(world);
    assert_non_null(world->ex->head);
    assert_int_equal(world->ex->request.fields.at[0].value.n, LARGE);
    exchange_world_free(world);
}

/* It ends in the middle of its head. */
static void test_an_end_before_the_response(void **state)
{
    (void)state;
    exchange_world_t *world = large();
    exchange_world_free(world); /* all counted memory is given back */
}

static void test_values_are_bounded(void **state)
{
    (void)state;
    exchange_world_t *world = large();
    exchange_t *ex = world->ex;
    arena_t *pool = request_head_arena(ex);
    ex->request.target = str_dup(pool, letters(LARGE));
    for (int i = 0; i < 100; i++) {
        add(ex, pool, "user-agent", letters(300));
        add(ex, pool, "sec-fetch-mode", letters(300));
        add(ex, pool, "content-type", letters(300));
    }
    add(ex, pool, "x-requested-with", letters(LARGE));
    exchange_start(ex);
    world_respond(world);
    assert_int_equal(ex->request.target.n, 2049);
    assert_int_equal(fields_value(&ex->request.fields, FIELD_USER_AGENT).n, FIELD_AGENT_BYTES + 1);
    assert_int_equal(fields_count(&ex->request.fields, FIELD_USER_AGENT), 1);
    assert_int_equal(fields_value(&ex->request.fields, FIELD_X_REQUESTED_WITH).n, 32);
    assert_true(ex->account.held < 2 * 4096 + 3072);
    exchange_world_free(world);
}

/* Trailers that Connection names must not pass, and they come after the response's head. */
static void test_connection_stays_for_trailers(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        bool h2 = (i & 1) != 0, complete = (i & 2) != 0;
        exchange_world_t *world = large();
        exchange_t *ex = world->ex;
        add(ex, request_head_arena(ex), "connection", letters(1000));
        ex->request.has_body = true;
        exchange_start(ex);
        ex->target.h2 = h2;
        ex->request_complete = complete;
        world_respond(world);
        const field_t *last = &ex->request.fields.at[ex->request.fields.count - 1];
        assert_int_equal(last->id == FIELD_CONNECTION && last->value.n == 1000, h2 && !complete);
        ex->target.h2 = false;
        exchange_world_free(world);
    }
}

/* Reading dropped parts is a mistake that fails immediately. */
static void test_other_fields_are_not_asked_for(void **state)
{
    (void)state;
    exchange_world_t *world = large();
    exchange_start(world->ex);
    world_respond(world);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(STDERR_FILENO);
        (void)signal(SIGABRT, SIG_DFL);
        (void)fields_find(&world->ex->request.fields, FIELD_COOKIE);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    exchange_world_free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_response_begins),
        cmocka_unit_test(test_a_tunnel_opens),
        cmocka_unit_test(test_a_local_answer),
        cmocka_unit_test(test_an_ordinary_head_stays),
        cmocka_unit_test(test_a_local_socket),
        cmocka_unit_test(test_an_end_before_the_response),
        cmocka_unit_test(test_values_are_bounded),
        cmocka_unit_test(test_connection_stays_for_trailers),
        cmocka_unit_test(test_other_fields_are_not_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
