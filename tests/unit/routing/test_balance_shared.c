/* The table among several processes: limits and counts are exact, no process sees half a server, and workers
 * and the controller may die anywhere. And the cost of a pick. */
#include <signal.h>

#include "balance_fixture.h"
#include "balance_internal.h"
#include "single_step.h"

#define PROCESSES 4

/* State that the processes of a test share beside the table. */
typedef struct meeting {
    _Atomic unsigned wrong;
    _Atomic unsigned done;
    _Atomic int held; /* places, in all */
    _Atomic int held_at[BALANCE_SERVERS_MAX];
    _Atomic unsigned got[BALANCE_SERVERS_MAX];
} meeting_t;

typedef void part_t(world_t *world, meeting_t *meeting, unsigned process);

/* Runs a part in PROCESSES children at the same time, and `controller` (or NULL) in one more. */
static void play(world_t *world, meeting_t *meeting, part_t *part, part_t *controller)
{
    pid_t children[PROCESSES + 1];
    unsigned count = controller != NULL ? PROCESSES + 1 : PROCESSES;
    for (unsigned i = 0; i < count; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            world->random = 1000 + i;
            (i < PROCESSES ? part : controller)(world, meeting, i);
            meeting->done++;
            _exit(0);
        }
    }
    int worst = 0;
    for (unsigned i = 0; i < count; i++) {
        int status;
        if (i == PROCESSES)
            meeting->done = PROCESSES; /* also if one of them died */
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        worst |= status;
    }
    assert_int_equal(worst, 0);
    assert_int_equal(meeting->wrong, 0);
}

/* ---- limits ---- */

#define SERVER_LIMIT   3
#define UPSTREAM_LIMIT 7

static void end_held(world_t *world, meeting_t *meeting, unsigned process, balance_pick_t *pick)
{
    if (!pick->held)
        return;
    meeting->held_at[pick->slot]--;
    meeting->held--;
    balance_done(world->balance, process, world->upstream, &world->conf, pick, BALANCE_SUCCEEDED, 100,
                 world->now_ms);
}

/* Takes and gives back at random; each place is counted while it is held. */
static void play_limits(world_t *world, meeting_t *meeting, unsigned process)
{
    balance_pick_t picks[5] = {0};
    for (unsigned i = 0; i < 20000; i++) {
        balance_pick_t *pick = &picks[next_random(world) % 5];
        if (pick->held) {
            end_held(world, meeting, process, pick);
        } else if (pick_for(world, process, next_random(world), 0, pick) == BALANCE_OK) {
            meeting->wrong += ++meeting->held_at[pick->slot] > SERVER_LIMIT;
            meeting->wrong += ++meeting->held > UPSTREAM_LIMIT;
            meeting->got[pick->slot]++;
        }
    }
    for (unsigned i = 0; i < 5; i++)
        end_held(world, meeting, process, &picks[i]);
}

static void test_limits(void **state)
{
    (void)state;
    for (conf_balance_t policy = CONF_BALANCE_P2C; policy <= CONF_BALANCE_HASH; policy++) {
        world_t world = balance_world_new(policy);
        meeting_t *meeting = balance_shared_new(sizeof(*meeting));
        balance_pick_t pick;
        world.conf.server_in_flight = SERVER_LIMIT;
        world.conf.in_flight = UPSTREAM_LIMIT;
        set_servers(&world, 0, 3, 1);
        play(&world, meeting, play_limits, NULL);
        /* After that all places are free. */
        for (unsigned n = 0; n < 3; n++) {
            assert_int_equal(view_of(&world, n).in_flight, 0);
            assert_int_equal(view_of(&world, n).requests, meeting->got[view_of(&world, n).slot]);
        }
        for (unsigned i = 0; i < UPSTREAM_LIMIT; i++)
            pick_one(&world);
        assert_int_equal(pick_for(&world, 9, 0, 0, &pick), BALANCE_FULL);
        munmap(meeting, sizeof(*meeting));
        balance_world_free(&world);
    }
}

/* One place, and all want it. */
static void play_one_place(world_t *world, meeting_t *meeting, unsigned process)
{
    for (unsigned i = 0; i < 5000; i++) {
        balance_pick_t pick;
        if (pick_for(world, process, 0, 0, &pick) != BALANCE_OK)
            continue;
        meeting->got[0]++;
        meeting->wrong += ++meeting->held_at[pick.slot] > 1;
        meeting->held++;
        end_held(world, meeting, process, &pick);
    }
}

static void test_one_place(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_P2C);
    meeting_t *meeting = balance_shared_new(sizeof(*meeting));
    world.conf.server_in_flight = 1;
    set_servers(&world, 0, 1, 1);
    play(&world, meeting, play_one_place, NULL);
    assert_true(meeting->got[0] > 1000);
    assert_int_equal(view_of(&world, 0).in_flight, 0);
    munmap(meeting, sizeof(*meeting));
    balance_world_free(&world);
}

static void play_kept(world_t *world, meeting_t *meeting, unsigned process)
{
    balance_pick_t pick;
    for (unsigned i = 0; i < 10 + process; i++)
        meeting->wrong += pick_for(world, process, i, 0, &pick) != BALANCE_OK;
    balance_waiters_add(world->balance, process, world->upstream, 3);
}

/* They all die while they hold places. */
static void test_wiped(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_P2C);
    meeting_t *meeting = balance_shared_new(sizeof(*meeting));
    set_servers(&world, 0, 1, 1);
    play(&world, meeting, play_kept, NULL);
    assert_int_equal(view_of(&world, 0).in_flight, 46);
    for (unsigned i = 0; i < PROCESSES; i++)
        balance_worker_wipe(world.balance, i);
    assert_int_equal(view_of(&world, 0).in_flight, 0);
    assert_int_equal(balance_waiters(world.balance, world.upstream), 0);
    munmap(meeting, sizeof(*meeting));
    balance_world_free(&world);
}

/* ---- turns and retries, over all workers ---- */

static void play_turns(world_t *world, meeting_t *meeting, unsigned process)
{
    for (unsigned i = 0; i < 2500; i++) {
        balance_pick_t pick;
        meeting->wrong += pick_for(world, process, 0, 0, &pick) != BALANCE_OK;
        meeting->got[pick.slot]++;
        balance_earn_retry(world->balance, world->upstream, &world->conf);
        meeting->held += balance_take_retry(world->balance, world->upstream);
    }
}

static void test_turns_and_retries(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_ROUND_ROBIN);
    meeting_t *meeting = balance_shared_new(sizeof(*meeting));
    set_servers(&world, 0, 5, 1);
    play(&world, meeting, play_turns, NULL);
    for (unsigned n = 0; n < 5; n++)
        assert_in_range(meeting->got[view_of(&world, n).slot], 1980, 2020);
    /* Five from the beginning, and a fifth of 10,000. */
    while (balance_take_retry(world.balance, world.upstream))
        meeting->held++;
    assert_int_equal(meeting->held, 2005);
    munmap(meeting, sizeof(*meeting));
    balance_world_free(&world);
}

/* ---- servers that change under the workers ---- */

static bool is_whole(const balance_pick_t *pick)
{
    balance_server_t server = make_server(pick->index, 1);
    return pick->port == server.port && memcmp(&pick->address, &server.address, sizeof(pick->address)) == 0;
}

/* Server 1 stays, with other weights; the others are new each time. */
static void play_changes(world_t *world, meeting_t *meeting, unsigned process)
{
    (void)process;
    balance_server_t servers[8];
    for (unsigned i = 0; meeting->done < PROCESSES; i++) {
        servers[0] = make_server(1, 1 + i % 100);
        for (unsigned n = 1; n < 8; n++)
            servers[n] = make_server(2 + (7 * i + n) % 5000, 1 + n);
        balance_set(world->balance, world->upstream, 0, servers, 8, world->now_ms);
    }
}

static void play_through_changes(world_t *world, meeting_t *meeting, unsigned process)
{
    balance_pick_t picks[16] = {0};
    for (unsigned i = 0; i < 20000; i++) {
        balance_pick_t *pick = &picks[next_random(world) % 16];
        balance_done(world->balance, process, world->upstream, &world->conf, pick, BALANCE_SUCCEEDED, 100,
                     world->now_ms);
        meeting->wrong += pick_for(world, process, next_random(world), 0, pick) != BALANCE_OK;
        meeting->wrong += !is_whole(pick);
    }
    for (unsigned i = 0; i < 16; i++)
        balance_done(world->balance, process, world->upstream, &world->conf, &picks[i], BALANCE_FAILED, 0,
                     world->now_ms);
}

static void test_changes(void **state)
{
    (void)state;
    for (conf_balance_t policy = CONF_BALANCE_P2C; policy <= CONF_BALANCE_HASH; policy++) {
        world_t world = balance_world_new(policy);
        meeting_t *meeting = balance_shared_new(sizeof(*meeting));
        world.conf.eject_failures = 0; /* server 1 is present the whole time */
        set_servers(&world, 1, 1, 1);
        uint64_t generation = view_of(&world, 1).generation;
        play(&world, meeting, play_through_changes, play_changes);
        assert_int_equal(view_of(&world, 1).generation, generation);
        balance_view_t view;
        for (unsigned slot = 0; slot < BALANCE_SERVERS_MAX; slot++)
            if (balance_look(world.balance, world.upstream, slot, T, &view))
                assert_int_equal(view.in_flight, 0);
        world.conf.in_flight = 1; /* the upstream's count is right too */
        pick_one(&world);
        munmap(meeting, sizeof(*meeting));
        balance_world_free(&world);
    }
}

/* The index alternates between two upstreams, whose servers have odd and even numbers. */
static void play_hands(world_t *world, meeting_t *meeting, unsigned process)
{
    (void)process;
    for (unsigned i = 0; meeting->done < PROCESSES; i++) {
        balance_server_t servers[2] = {make_server(1 + i % 2, 1), make_server(3 + i % 2, 1)};
        balance_set(world->balance, world->upstream, 1 + i % 2, servers, 2, world->now_ms);
    }
}

static void play_through_hands(world_t *world, meeting_t *meeting, unsigned process)
{
    for (unsigned i = 0; i < 20000; i++) {
        balance_pick_t pick;
        world->conf.id = 1 + next_random(world) % 2;
        balance_result_t result = pick_for(world, process, next_random(world), 0, &pick);
        if (result == BALANCE_OK)
            meeting->wrong += !is_whole(&pick) || pick.index % 2 != world->conf.id % 2;
        else
            meeting->wrong += result != BALANCE_FULL || pick.held;
        balance_done(world->balance, process, world->upstream, &world->conf, &pick, BALANCE_SUCCEEDED, 100,
                     world->now_ms);
    }
}

static void test_hands(void **state)
{
    (void)state;
    for (conf_balance_t policy = CONF_BALANCE_P2C; policy <= CONF_BALANCE_HASH; policy++) {
        world_t world = balance_world_new(policy);
        meeting_t *meeting = balance_shared_new(sizeof(*meeting));
        world.conf.eject_failures = 0;
        play(&world, meeting, play_through_hands, play_hands);
        balance_view_t view;
        for (unsigned slot = 0; slot < BALANCE_SERVERS_MAX; slot++)
            if (balance_look(world.balance, world.upstream, slot, T, &view))
                assert_int_equal(view.in_flight, 0);
        munmap(meeting, sizeof(*meeting));
        balance_world_free(&world);
    }
}

/* ---- death ---- */

/* Of the first upstream only: the part that is copied after each instruction. */
#define COPIED offsetof(balance_t, upstreams[1])

typedef struct death {
    world_t world, copy;
    balance_pick_t pick;
} death_t;

static void copy_world(death_t *death)
{
    memcpy(death->copy.balance, death->world.balance, COPIED);
}

static death_t death_new(conf_balance_t policy)
{
    death_t death = {.world = balance_world_new(policy), .copy = balance_world_new(policy)};
    death.world.upstream = death.copy.upstream = 0;
    death.world.conf.server_in_flight = death.copy.conf.server_in_flight = 2;
    return death;
}

static void death_free(death_t *death)
{
    balance_world_free(&death->world);
    balance_world_free(&death->copy);
}

static void die_picking(void *arg)
{
    death_t *death = arg;
    balance_pick_t pick;
    if (pick_for(&death->world, 1, 7, 0, &pick) != BALANCE_OK)
        abort();
}

static void die_ending(void *arg)
{
    death_t *death = arg;
    balance_done(death->world.balance, 1, 0, &death->world.conf, &death->pick, BALANCE_FAILED, 0, T);
}

/* On a copy of the dead worker 1's table: after the wipe all places but worker 0's are free, and three
 * failures in a row eject. */
static void check_after_worker(void *arg)
{
    death_t *death = arg;
    world_t *copy = &death->copy;
    balance_pick_t pick[4];
    copy_world(death);
    balance_worker_wipe(copy->balance, 1);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pick_for(copy, 2, i, 0, &pick[i]), BALANCE_OK);
    assert_int_equal(pick_for(copy, 2, 0, 0, &pick[3]), BALANCE_FULL);
    for (unsigned i = 0; i < 3; i++)
        balance_done(copy->balance, 2, 0, &copy->conf, &pick[i], BALANCE_LEFT, 0, T);
    copy->conf.server_in_flight = 0;
    copy->now_ms = T + 100000; /* one may be ejected already */
    for (unsigned i = 0; i < 3 && view_of(copy, 1).ejected_ms == 0; i++)
        exchange_at(copy, 1, BALANCE_FAILED, 0);
    assert_true(view_of(copy, 1).ejected_ms != 0);
    copy->now_ms = T;
    copy->conf.server_in_flight = 2;
}

static void test_death_of_a_worker(void **state)
{
    (void)state;
    for (conf_balance_t policy = CONF_BALANCE_P2C; policy <= CONF_BALANCE_HASH; policy++) {
        death_t death = death_new(policy);
        set_servers(&death.world, 1, 2, 1);
        pick_one(&death.world);
        assert_true(single_step(die_picking, NULL, &death, check_after_worker, &death) > 100);
        death_free(&death);
    }
}

/* On a copy, wiped: nothing is in flight; and the server is ejected, or the next failure ejects it. */
static void check_after_end(void *arg)
{
    death_t *death = arg;
    world_t *copy = &death->copy;
    copy_world(death);
    balance_worker_wipe(copy->balance, 1);
    assert_int_equal(view_of(copy, 1).in_flight, 0);
    if (view_of(copy, 1).ejected_ms == 0)
        exchange_at(copy, 1, BALANCE_FAILED, 0);
    assert_true(view_of(copy, 1).ejected_ms != 0);
}

/* Its failure is the third: it ejects. */
static void test_death_at_the_end(void **state)
{
    (void)state;
    death_t death = death_new(CONF_BALANCE_P2C);
    set_servers(&death.world, 1, 1, 1);
    exchange_at(&death.world, 1, BALANCE_FAILED, 0);
    exchange_at(&death.world, 1, BALANCE_FAILED, 0);
    assert_int_equal(pick_for(&death.world, 1, 0, 0, &death.pick), BALANCE_OK);
    assert_true(single_step(die_ending, NULL, &death, check_after_end, &death) > 100);
    assert_int_equal(view_of(&death.world, 1).ejections, 1);
    death_free(&death);
}

/* ---- the last place ---- */

static void take_last(void *arg)
{
    death_t *death = arg;
    (void)!pick_for(&death->world, 1, 7, 0, &death->pick);
}

/* Another worker asks for the last place between any two instructions of the worker that takes it. Exactly
 * one of them gets it: with two, the limit would be exceeded; with none, each would wait for the other to
 * return it. */
static void test_last_place(void **state)
{
    (void)state;
    for (size_t place = 0; place < 1500; place += 3) {
        death_t death = death_new(CONF_BALANCE_P2C);
        balance_pick_t pick;
        set_servers(&death.world, 1, 1, 1);
        pick_one(&death.world);
        pid_t child = step_begin(take_last, NULL, &death);
        bool more = true;
        for (size_t i = 0; i < place && more; i++)
            more = step_once(child);
        balance_result_t result = pick_for(&death.world, 2, 0, 0, &pick);
        step_finish(child, !more);
        assert_int_equal(view_of(&death.world, 1).in_flight, 2);
        death_free(&death);
        if (!more) {
            assert_int_equal(result, BALANCE_FULL);
            break;
        }
    }
}

/* ---- death of the controller ---- */

static void change(world_t *world)
{
    balance_server_t servers[3] = {make_server(4, 1), make_server(2, 9), make_server(5, 1)};
    balance_set(world->balance, 0, 0, servers, 3, T);
}

static void die_changing(void *arg)
{
    change(&((death_t *)arg)->world);
}

/* At any time all servers are whole, and at least one exists; the successor completes the work, and a server
 * that stays keeps its exchanges. */
static void check_after_controller(void *arg)
{
    death_t *death = arg;
    world_t *copy = &death->copy;
    balance_pick_t pick;
    copy_world(death);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(pick_for(copy, 2, i, 0, &pick), BALANCE_OK);
        assert_true(is_whole(&pick));
        balance_done(copy->balance, 2, 0, &copy->conf, &pick, BALANCE_LEFT, 0, T);
    }
    change(copy);
    assert_int_equal(count_servers(copy), 3);
    balance_view_t two = view_of(copy, 2), four = view_of(copy, 4), five = view_of(copy, 5);
    assert_int_equal(two.generation, death->pick.generation);
    assert_int_equal(two.in_flight, 1);
    assert_int_equal(two.server.weight, 9);
    assert_true(four.up && five.up && four.generation != five.generation);
    assert_int_equal(four.in_flight + five.in_flight, 0);
}

static void test_death_of_the_controller(void **state)
{
    (void)state;
    death_t death = death_new(CONF_BALANCE_P2C);
    death.world.conf.server_in_flight = death.copy.conf.server_in_flight = 0;
    set_servers(&death.world, 1, 3, 1);
    unsigned slot = view_of(&death.world, 2).slot;
    assert_int_equal(pick_for(&death.world, 0, 0, ~((uint64_t)1 << slot), &death.pick), BALANCE_OK);
    assert_true(single_step(die_changing, NULL, &death, check_after_controller, &death) > 200);
    death_free(&death);
}

/* ---- cost ---- */

static void work_once(void *arg)
{
    world_t *world = arg;
    balance_pick_t pick;
    if (balance_pick(world->balance, 1, world->upstream, &world->conf, 1, 0x8765432112345678u, 0, T, &pick) !=
        BALANCE_OK)
        abort();
    balance_done(world->balance, 1, world->upstream, &world->conf, &pick, BALANCE_SUCCEEDED, 100, T);
}

static void work_nothing(void *arg)
{
    (void)arg;
}

/* Instructions of a pick and its end, with four workers. */
static size_t cost_of(conf_balance_t policy, unsigned count)
{
    world_t world = balance_world_new(policy);
    balance_pick_t pick;
    set_servers(&world, 0, count, 1);
    assert_int_equal(pick_for(&world, 3, 0, 0, &pick), BALANCE_OK);
    size_t steps = single_step(work_once, &world, &world, NULL, NULL);
    size_t around = single_step(work_nothing, &world, &world, NULL, NULL);
    balance_world_free(&world);
    return steps - around;
}

static void test_cost(void **state)
{
    (void)state;
    for (conf_balance_t policy = CONF_BALANCE_P2C; policy <= CONF_BALANCE_HASH; policy++)
        print_message("policy %d: %zu instructions with 3 servers, %zu with 64\n", (int)policy,
                      cost_of(policy, 3), cost_of(policy, 64));
#ifndef BOXEDGE_ASAN
    assert_true(cost_of(CONF_BALANCE_P2C, 3) < 900);
    assert_true(cost_of(CONF_BALANCE_P2C, 64) < 1200);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_one_place),
        cmocka_unit_test(test_wiped),
        cmocka_unit_test(test_turns_and_retries),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_hands),
        cmocka_unit_test(test_death_of_a_worker),
        cmocka_unit_test(test_death_at_the_end),
        cmocka_unit_test(test_last_place),
        cmocka_unit_test(test_death_of_the_controller),
        cmocka_unit_test(test_cost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
