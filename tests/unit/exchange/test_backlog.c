/* The kernel's memory for connections that stand still: when it counts, when it is given back, and how many
 * connections are queried per turn. */
#include "backlog.h"
#include "tcp_pair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define SENT 20000

typedef struct world {
    loop_t *loop;
    backlogs_t *all;
    account_root_t root;
    account_t account;
    conn_t *conn; /* has SENT bytes that nobody reads */
    int peer;
} world_t;

static void ignore(void *owner)
{
    (void)owner;
}

static const conn_handlers_t handlers = {ignore, ignore, NULL};

static int setup(void **state)
{
    world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->loop = loop_new();
    loop_hold(w->loop);
    w->all = backlogs_new(w->loop);
    account_root_init(&w->root, NULL);
    w->account.parent = &w->root.account;
    static const char bytes[SENT];
    int fds[2];
    tcp_pair(fds);
    w->peer = fds[1];
    assert_int_equal(send(w->peer, bytes, SENT, 0), SENT);
    w->conn = conn_new(w->loop, fds[0], NULL, &handlers, w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_t *w = *state;
    assert_int_equal(w->root.held, 0);
    assert_int_equal(w->root.kernel, 0);
    backlogs_free(&w->all);
    conn_free(&w->conn);
    close(w->peer);
    loop_free(&w->loop);
    free(w);
    return 0;
}

static void pass(world_t *w, uint64_t ms)
{
    for (uint64_t gone = 0; gone < ms; gone += BACKLOG_TICK_MS) {
        loop_skip(w->loop, ms - gone < BACKLOG_TICK_MS ? ms - gone : BACKLOG_TICK_MS);
        loop_turn(w->loop, 0);
    }
}

static void what_stands_still_counts(void **state)
{
    world_t *w = *state;
    backlog_t backlog = {.counted = 0};
    backlog_watch(w->all, &backlog, w->conn, &w->account);
    pass(w, BACKLOG_STILL_MS - BACKLOG_TICK_MS);
    assert_int_equal(w->root.held, 0);
    pass(w, BACKLOG_TICK_MS);
    assert_in_range(w->root.held, SENT, 4 * SENT);
    assert_int_equal(w->account.held, w->root.held);
    assert_int_equal(account_own(&w->root), 0);
    uint64_t before = w->root.held;
    static const char more[SENT];
    assert_int_equal(send(w->peer, more, SENT, 0), SENT);
    pass(w, BACKLOG_STILL_MS); /* the kernel is queried again */
    assert_true(w->root.held > before);
    backlog_end(&backlog);
    assert_int_equal(w->root.held, 0);
    backlog_end(&backlog);
}

/* Its time begins anew. */
static void what_moves_is_given_back(void **state)
{
    world_t *w = *state;
    backlog_t backlog = {.counted = 0};
    backlog_watch(w->all, &backlog, w->conn, &w->account);
    pass(w, BACKLOG_STILL_MS);
    assert_true(w->root.held >= SENT);
    backlog_watch(w->all, &backlog, w->conn, &w->account);
    assert_int_equal(w->root.held, 0);
    pass(w, BACKLOG_STILL_MS - BACKLOG_TICK_MS);
    assert_int_equal(w->root.held, 0);
    pass(w, BACKLOG_TICK_MS);
    assert_true(w->root.held >= SENT);
    backlog_end(&backlog);
}

static void a_tick_asks_about_so_many(void **state)
{
    world_t *w = *state;
    backlog_t *backlogs = calloc(BACKLOG_LOOKS + 1, sizeof(*backlogs));
    assert_non_null(backlogs);
    for (size_t i = 0; i <= BACKLOG_LOOKS; i++)
        backlog_watch(w->all, &backlogs[i], w->conn, &w->account);
    pass(w, BACKLOG_STILL_MS);
    assert_true(backlogs[BACKLOG_LOOKS - 1].counted != 0);
    assert_int_equal(backlogs[BACKLOG_LOOKS].counted, 0);
    pass(w, BACKLOG_TICK_MS);
    assert_true(backlogs[BACKLOG_LOOKS].counted != 0);
    for (size_t i = 0; i <= BACKLOG_LOOKS; i++)
        backlog_end(&backlogs[i]);
    free(backlogs);
}

/* A connection whose owner keeps a count. */
typedef struct shared {
    backlog_t backlog;
    unsigned looks, most;
} shared_t;

static void look_at_shared(backlog_t *backlog)
{
    shared_t *shared = CONTAINER_OF(shared_t, backlog, backlog);
    if (++shared->looks == shared->most)
        backlog_end(backlog);
}

static void an_owner_looks_itself(void **state)
{
    world_t *w = *state;
    shared_t shared = {.most = 3};
    backlog_watch_by(w->all, &shared.backlog, look_at_shared);
    pass(w, BACKLOG_STILL_MS - BACKLOG_TICK_MS);
    assert_int_equal(shared.looks, 0);
    pass(w, BACKLOG_TICK_MS);
    assert_int_equal(shared.looks, 1);
    pass(w, BACKLOG_STILL_MS);
    assert_int_equal(shared.looks, 2);
    assert_true(backlog_watched(&shared.backlog));
    pass(w, 4 * (uint64_t)BACKLOG_STILL_MS);
    assert_int_equal(shared.looks, 3);
    assert_false(backlog_watched(&shared.backlog));
}

static void nothing_is_watched_without_a_list(void **state)
{
    world_t *w = *state;
    backlog_t backlog = {.counted = 0};
    backlog_watch(NULL, &backlog, w->conn, &w->account);
    assert_false(backlog_watched(&backlog));
    backlog_end(&backlog);
    backlog_watch_by(NULL, &backlog, look_at_shared);
    assert_false(backlog_watched(&backlog));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_stands_still_counts),          TEST(what_moves_is_given_back),
        TEST(a_tick_asks_about_so_many),         TEST(an_owner_looks_itself),
        TEST(nothing_is_watched_without_a_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
