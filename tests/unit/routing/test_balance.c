/* The servers of an upstream: their identity, their state, and the counts of their exchanges. */
#include "balance_fixture.h"

/* ---- servers ---- */

static void test_servers_come_and_go(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_P2C);
    balance_pick_t pick;
    assert_int_equal(pick_for(&world, 0, 0, 0, &pick), BALANCE_NONE);
    assert_false(pick.held);
    set_servers(&world, 1, 3, 7);
    assert_int_equal(count_servers(&world), 3);
    balance_view_t view = view_of(&world, 2);
    balance_server_t server = make_server(2, 7);
    assert_string_equal(view.server.name, server.name);
    assert_memory_equal(&view.server.address, &server.address, sizeof(server.address));
    assert_int_equal(view.server.port, server.port);
    assert_int_equal(view.server.weight, 7);
    assert_true(view.up && !view.drained && view.ejected_ms == 0);
    set_servers(&world, 3, 1, 7);
    assert_int_equal(count_servers(&world), 1);
    pick = pick_one(&world);
    assert_int_equal(pick.index, 3);
    assert_int_equal(pick.port, 83);
    assert_int_equal(pick.generation, view_of(&world, 3).generation);
    server = make_server(3, 7);
    assert_memory_equal(&pick.address, &server.address, sizeof(server.address));
    set_servers(&world, 1, 0, 7);
    assert_int_equal(count_servers(&world), 0);
    assert_int_equal(pick_for(&world, 0, 0, 0, &pick), BALANCE_NONE);
    balance_world_free(&world);
}

/* A server that stays keeps everything, also with another weight and another place in the list. */
static void test_kept_and_new(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_P2C);
    set_servers(&world, 1, 2, 1);
    balance_view_t before = view_of(&world, 2);
    exchange_at(&world, 2, BALANCE_SUCCEEDED, 500);
    exchange_at(&world, 2, BALANCE_FAILED, 0);
    balance_set_up(world.balance, 3, before.slot, before.generation, false, T);
    balance_server_t servers[2] = {make_server(2, 9), make_server(8, 1)};
    servers[0].index = 5;
    balance_set(world.balance, 3, 0, servers, 2, T);
    balance_view_t after = view_of(&world, 5);
    assert_int_equal(after.slot, before.slot);
    assert_int_equal(after.generation, before.generation);
    assert_int_equal(after.server.weight, 9);
    assert_int_equal(after.latency_us, 500);
    assert_int_equal(after.requests, 2);
    assert_int_equal(after.failures, 1);
    assert_false(after.up);
    /* Removed and added again: another server, up, without the former one's state. */
    set_servers(&world, 8, 1, 1);
    set_servers(&world, 2, 1, 1);
    after = view_of(&world, 2);
    assert_true(after.generation > before.generation);
    assert_true(after.up);
    assert_int_equal(after.latency_us, 0);
    assert_int_equal(after.requests, 0);
    assert_int_equal(after.failures, 0);
    balance_world_free(&world);
}

/* Name, address and port identify a server; a list that names it twice has it once. */
static void test_same_server(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_P2C);
    balance_server_t servers[5] = {make_server(1, 1), make_server(1, 2), make_server(1, 1), make_server(1, 1),
                                   make_server(1, 1)};
    servers[2].name[0] = 'x';
    servers[3].address.s6_addr[15] = 99;
    servers[4].port = 99;
    balance_set(world.balance, 3, 0, servers, 5, T);
    assert_int_equal(count_servers(&world), 4);
    balance_set(world.balance, 3, 0, servers, 5, T);
    assert_int_equal(count_servers(&world), 4);
    balance_world_free(&world);
}

/* All upstreams full of servers, each of which is picked; then all of them are replaced. */
static void test_full_table(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_ROUND_ROBIN);
    for (unsigned round = 0; round < 3; round++)
        for (world.upstream = 0; world.upstream < BALANCE_UPSTREAMS_MAX; world.upstream++) {
            uint64_t seen = 0;
            set_servers(&world, 1 + 100 * round, BALANCE_SERVERS_MAX, 1);
            assert_int_equal(count_servers(&world), BALANCE_SERVERS_MAX);
            for (unsigned i = 0; i < BALANCE_SERVERS_MAX; i++) {
                balance_pick_t pick = pick_one(&world);
                assert_in_range(pick.index, 1 + 100 * round, 64 + 100 * round);
                seen |= (uint64_t)1 << pick.slot;
                end_pick(&world, &pick, BALANCE_SUCCEEDED);
            }
            assert_true(seen == UINT64_MAX);
        }
    balance_world_free(&world);
}

/* Upstreams do not affect each other. */
static void test_upstreams_apart(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_P2C);
    balance_pick_t pick;
    set_servers(&world, 1, 1, 1);
    world.conf.in_flight = 1;
    pick_one(&world);
    world.upstream = 4;
    assert_int_equal(pick_for(&world, 0, 0, 0, &pick), BALANCE_NONE);
    assert_false(balance_take_retry(world.balance, 4));
    set_servers(&world, 1, 1, 1);
    pick_one(&world);
    balance_world_free(&world);
}

/* A reload gave the index to another upstream: a worker that does not know of the reload gets none of its
 * servers. */
static void test_an_index_changes_hands(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_P2C);
    balance_pick_t pick;
    balance_server_t one = make_server(1, 1), other = make_server(2, 1);
    balance_set(world.balance, 3, 7, &one, 1, T);
    assert_int_equal(pick_for(&world, 0, 0, 0, &pick), BALANCE_FULL);
    assert_false(pick.held);
    world.conf.id = 7;
    pick_one(&world);
    while (balance_take_retry(world.balance, 3))
        ;
    balance_set(world.balance, 3, 8, &other, 1, T);
    assert_int_equal(pick_for(&world, 0, 0, 0, &pick), BALANCE_FULL);
    world.conf.id = 8;
    pick = pick_one(&world);
    assert_int_equal(pick.port, other.port);
    assert_true(balance_take_retry(world.balance, 3)); /* it begins like any new one */
    balance_world_free(&world);
}

static void test_found_by_id(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_P2C);
    balance_server_t server = make_server(1, 1);
    balance_set(world.balance, 0, 7, &server, 1, T);
    balance_set(world.balance, BALANCE_UPSTREAMS_MAX - 1, 8, &server, 1, T);
    for (unsigned guess = 0; guess < BALANCE_UPSTREAMS_MAX; guess++) {
        assert_int_equal(balance_find(world.balance, 7, guess), 0);
        assert_int_equal(balance_find(world.balance, 8, guess), BALANCE_UPSTREAMS_MAX - 1);
        assert_int_equal(balance_find(world.balance, 9, guess), BALANCE_UPSTREAMS_MAX);
    }
    balance_world_free(&world);
}

static void test_drain(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_P2C);
    balance_server_t servers[3] = {make_server(1, 1), make_server(1, 1), make_server(2, 1)};
    balance_pick_t pick;
    servers[1].address.s6_addr[15] = 77;
    balance_set(world.balance, 3, 0, servers, 3, T);
    assert_int_equal(balance_drain(world.balance, 3, STR("s1:8"), true, T), 0);
    assert_int_equal(balance_drain(world.balance, 3, STR("s1:80"), true, T), 2);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(pick_one(&world).index, 2);
    /* A new address of a drained name is drained. */
    servers[0].address.s6_addr[15] = 78;
    balance_set(world.balance, 3, 0, servers, 3, T);
    assert_int_equal(balance_drain(world.balance, 3, STR("s2:80"), true, T), 1);
    world.conf.panic_percent = 100; /* not even then */
    assert_int_equal(pick_for(&world, 0, 0, 0, &pick), BALANCE_NONE);
    assert_int_equal(balance_drain(world.balance, 3, STR("s1:80"), false, T), 2);
    assert_int_equal(pick_one(&world).index, 1);
    assert_true(view_of(&world, 2).drained);
    balance_world_free(&world);
}

static void test_up_and_down(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_P2C);
    set_servers(&world, 1, 2, 1);
    balance_view_t one = view_of(&world, 1);
    balance_set_up(world.balance, 3, one.slot, one.generation + 100, false, T);
    assert_true(view_of(&world, 1).up); /* reported about another server */
    balance_set_up(world.balance, 3, one.slot, one.generation, false, T);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(pick_one(&world).index, 2);
    /* The slot's next server is up. */
    set_servers(&world, 2, 1, 1);
    set_servers(&world, 2, 2, 1);
    balance_view_t three = view_of(&world, 3);
    assert_int_equal(three.slot, one.slot);
    assert_true(three.up);
    balance_set_up(world.balance, 3, one.slot, one.generation, false, T);
    assert_true(view_of(&world, 3).up);
    balance_world_free(&world);
}

/* ---- counts ---- */

static void test_in_flight(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_P2C);
    balance_pick_t first, second;
    set_servers(&world, 1, 1, 1);
    assert_int_equal(pick_for(&world, 0, 0, 0, &first), BALANCE_OK);
    assert_int_equal(pick_for(&world, 5, 0, 0, &second), BALANCE_OK);
    assert_int_equal(view_of(&world, 1).in_flight, 2);
    end_pick(&world, &first, BALANCE_LEFT);
    assert_false(first.held);
    end_pick(&world, &first, BALANCE_LEFT); /* once only */
    assert_int_equal(view_of(&world, 1).in_flight, 1);
    balance_worker_wipe(world.balance, 5);
    assert_int_equal(view_of(&world, 1).in_flight, 0);
    balance_world_free(&world);
}

/* A server is removed under its exchanges and another one takes its slot: the end of those exchanges does not
 * touch the new one, whether or not the worker has picked it. */
static void test_late_end(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_P2C);
    world.conf.eject_failures = 1;
    set_servers(&world, 1, 1, 1);
    balance_pick_t old[3] = {pick_one(&world), pick_one(&world), pick_one(&world)};
    set_servers(&world, 2, 0, 1);
    set_servers(&world, 2, 1, 1);
    assert_int_equal(view_of(&world, 2).slot, old[0].slot);
    end_pick(&world, &old[0], BALANCE_FAILED);
    assert_int_equal(view_of(&world, 2).in_flight, 0);
    balance_pick_t new = pick_one(&world);
    assert_int_equal(view_of(&world, 2).in_flight, 1);
    end_pick(&world, &old[1], BALANCE_FAILED);
    end_pick(&world, &old[2], BALANCE_SUCCEEDED);
    balance_view_t view = view_of(&world, 2);
    assert_int_equal(view.in_flight, 1);
    assert_int_equal(view.failures, 0);
    assert_int_equal(view.ejections, 0);
    assert_int_equal(view.latency_us, 0);
    end_pick(&world, &new, BALANCE_SUCCEEDED);
    view = view_of(&world, 2);
    assert_int_equal(view.in_flight, 0);
    assert_int_equal(view.latency_us, 1000);
    /* The upstream's count is right too: with a limit of one, exactly one place is free. */
    world.conf.in_flight = 1;
    new = pick_one(&world);
    assert_int_equal(pick_for(&world, 0, 0, 0, &old[0]), BALANCE_FULL);
    balance_world_free(&world);
}

/* ---- limits ---- */

static void test_server_limit(void **state)
{
    (void)state;
    for (conf_balance_t policy = CONF_BALANCE_P2C; policy <= CONF_BALANCE_HASH; policy++) {
        world_t world = balance_world_new(policy);
        balance_pick_t picks[7];
        set_servers(&world, 1, 3, 1);
        world.conf.server_in_flight = 2;
        for (unsigned i = 0; i < 6; i++)
            assert_int_equal(pick_for(&world, i % 3, 42, 0, &picks[i]), BALANCE_OK);
        for (unsigned n = 1; n <= 3; n++)
            assert_int_equal(view_of(&world, n).in_flight, 2);
        assert_int_equal(pick_for(&world, 0, 42, 0, &picks[6]), BALANCE_FULL);
        assert_false(picks[6].held);
        /* If `avoid` leaves no server, no request waits for one. */
        assert_int_equal(pick_for(&world, 0, 42, UINT64_MAX, &picks[6]), BALANCE_NONE);
        end_pick(&world, &picks[3], BALANCE_SUCCEEDED); /* worker 0's */
        assert_int_equal(pick_for(&world, 1, 7, 0, &picks[6]), BALANCE_OK);
        assert_int_equal(picks[6].index, picks[3].index);
        balance_world_free(&world);
    }
}

static void test_upstream_limit(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_LEAST);
    balance_pick_t picks[5];
    set_servers(&world, 1, 2, 1);
    world.conf.in_flight = 4;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pick_for(&world, i % 2, 0, 0, &picks[i]), BALANCE_OK);
    assert_int_equal(pick_for(&world, 2, 0, 0, &picks[4]), BALANCE_FULL);
    balance_worker_wipe(world.balance, 1); /* dies with two */
    assert_int_equal(pick_for(&world, 2, 0, 0, &picks[4]), BALANCE_OK);
    assert_int_equal(pick_for(&world, 2, 0, 0, &picks[1]), BALANCE_OK);
    assert_int_equal(pick_for(&world, 2, 0, 0, &picks[3]), BALANCE_FULL);
    balance_world_free(&world);
}

/* A worker that returns a place learns whether a request waits for one. */
static void test_waiters(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_P2C);
    set_servers(&world, 1, 1, 1);
    world.conf.server_in_flight = 1;
    balance_pick_t pick = pick_one(&world);
    assert_false(end_pick(&world, &pick, BALANCE_SUCCEEDED));
    balance_waiters_add(world.balance, 255, 3, 2);
    balance_waiters_add(world.balance, 7, 3, 1);
    balance_waiters_add(world.balance, 7, 4, 1);
    assert_int_equal(balance_waiters(world.balance, 3), 3);
    pick = pick_one(&world);
    assert_true(end_pick(&world, &pick, BALANCE_SUCCEEDED));
    balance_waiters_add(world.balance, 255, 3, -1);
    assert_int_equal(balance_waiters(world.balance, 3), 2);
    balance_worker_wipe(world.balance, 7);
    assert_int_equal(balance_waiters(world.balance, 3), 1);
    assert_int_equal(balance_waiters(world.balance, 4), 0);
    world.conf.server_in_flight = 0; /* nobody waits for a place without a limit */
    pick = pick_one(&world);
    assert_false(end_pick(&world, &pick, BALANCE_SUCCEEDED));
    balance_world_free(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_servers_come_and_go),
        cmocka_unit_test(test_kept_and_new),
        cmocka_unit_test(test_same_server),
        cmocka_unit_test(test_full_table),
        cmocka_unit_test(test_upstreams_apart),
        cmocka_unit_test(test_an_index_changes_hands),
        cmocka_unit_test(test_found_by_id),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_up_and_down),
        cmocka_unit_test(test_in_flight),
        cmocka_unit_test(test_late_end),
        cmocka_unit_test(test_server_limit),
        cmocka_unit_test(test_upstream_limit),
        cmocka_unit_test(test_waiters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
