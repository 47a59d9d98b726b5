/* The choice: how even it is, by weight, by load, by latency; and which keys move under consistent
 * hashing. */
#include "balance_fixture.h"

#define SERVERS_MAX BALANCE_SERVERS_MAX

/* Squared coefficient of variation of the picks of the first `count` servers relative to their weights. */
static double variation(const unsigned *got, const uint32_t *weights, unsigned count)
{
    double sum = 0, squares = 0;
    for (unsigned i = 0; i < count; i++) {
        double part = (double)got[i] / weights[i];
        sum += part;
        squares += part * part;
    }
    double mean = sum / count;
    return squares / count / mean / mean - 1;
}

static void set_weights(world_t *world, const uint32_t *weights, unsigned count)
{
    balance_server_t servers[SERVERS_MAX];
    for (unsigned n = 0; n < count; n++)
        servers[n] = make_server(n, weights[n]);
    balance_set(world->balance, world->upstream, 0, servers, count, world->now_ms);
}

/* `picks` exchanges, `open` of them at a time. */
static void spread(world_t *world, unsigned picks, unsigned open, unsigned *got)
{
    balance_pick_t held[256] = {0};
    assert_true(open <= 256);
    for (unsigned i = 0; i < picks; i++) {
        balance_pick_t *pick = &held[next_random(world) % open];
        if (pick->held)
            end_pick(world, pick, BALANCE_SUCCEEDED);
        *pick = pick_one(world);
        got[pick->index]++;
    }
    for (unsigned i = 0; i < open; i++)
        end_pick(world, &held[i], BALANCE_SUCCEEDED);
}

static void check_spread(conf_balance_t policy, unsigned count, bool weighted, unsigned open, double bound)
{
    world_t world = balance_world_new(policy);
    unsigned got[SERVERS_MAX] = {0};
    uint32_t weights[SERVERS_MAX];
    for (unsigned n = 0; n < count; n++)
        weights[n] = weighted ? 1 + n % 4 : 1;
    set_weights(&world, weights, count);
    spread(&world, 400 * count, open, got);
    double found = variation(got, weights, count);
    if (found > bound * bound)
        fail_msg("policy %d, %u servers, %u open: %f", (int)policy, count, open, found);
    balance_world_free(&world);
}

/* The coefficient of variation: with 400 exchanges per server, 0.05 is pure chance. */
static void test_spread(void **state)
{
    (void)state;
    for (unsigned weighted = 0; weighted < 2; weighted++)
        for (unsigned count = 3; count <= 64; count += 61) {
            check_spread(CONF_BALANCE_ROUND_ROBIN, count, weighted, 1, 0.01);
            check_spread(CONF_BALANCE_ROUND_ROBIN, count, weighted, 200, 0.01);
            check_spread(CONF_BALANCE_LEAST, count, weighted, 1, 0.15);
            check_spread(CONF_BALANCE_LEAST, count, weighted, 200, 0.15);
            check_spread(CONF_BALANCE_P2C, count, weighted, 1, 0.15);
            check_spread(CONF_BALANCE_P2C, count, weighted, 200, 0.25);
            check_spread(CONF_BALANCE_HASH, count, weighted, 1, 0.15);
            check_spread(CONF_BALANCE_HASH, count, weighted, 200, 0.25);
        }
}

/* One after the other, whichever worker asks; a server with three times the weight has three turns of
 * four. */
static void test_round_robin(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_ROUND_ROBIN);
    set_servers(&world, 0, 3, 5);
    for (unsigned i = 0; i < 30; i++) {
        balance_pick_t pick;
        assert_int_equal(pick_for(&world, i % 7, 0, 0, &pick), BALANCE_OK);
        assert_int_equal(pick.index, i % 3);
    }
    set_weights(&world, (const uint32_t[]){1, 3}, 2);
    unsigned got[2] = {0};
    spread(&world, 4, 1, got);
    for (unsigned turn = 0; turn < 50; turn++) {
        got[0] = got[1] = 0;
        spread(&world, 4, 1, got);
        assert_int_equal(got[0], 1);
        assert_int_equal(got[1], 3);
    }
    balance_world_free(&world);
}

/* A server that was away for a thousand turns has its turn, not a thousand. */
static void test_round_robin_after_absence(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_ROUND_ROBIN);
    unsigned got[3] = {0};
    set_servers(&world, 0, 3, 1);
    balance_view_t one = view_of(&world, 1);
    balance_set_up(world.balance, 3, one.slot, one.generation, false, T);
    spread(&world, 1000, 1, got);
    assert_int_equal(got[1], 0);
    balance_set_up(world.balance, 3, one.slot, one.generation, true, T);
    spread(&world, 30, 1, got);
    assert_in_range(got[1], 9, 11);
    balance_world_free(&world);
}

static void test_least(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_LEAST);
    set_weights(&world, (const uint32_t[]){1, 2, 5}, 3);
    for (unsigned i = 0; i < 80; i++)
        pick_one(&world);
    assert_int_equal(view_of(&world, 0).in_flight, 10);
    assert_int_equal(view_of(&world, 1).in_flight, 20);
    assert_int_equal(view_of(&world, 2).in_flight, 50);
    balance_world_free(&world);
}

/* The less busy of two random servers: with two servers that is always the same one. */
static void test_p2c_by_load(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_P2C);
    set_servers(&world, 0, 2, 1);
    for (unsigned i = 0; i < 100; i++) {
        pick_one(&world);
        pick_one(&world);
        assert_int_equal(view_of(&world, 0).in_flight, i + 1);
    }
    balance_world_free(&world);
}

static void test_p2c_by_latency(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_P2C);
    set_servers(&world, 0, 2, 1);
    exchange_at(&world, 0, BALANCE_SUCCEEDED, 1000);
    exchange_at(&world, 1, BALANCE_SUCCEEDED, 1999); /* not twice as much: no difference */
    unsigned got[2] = {0};
    for (unsigned i = 0; i < 200; i++) {
        balance_pick_t pick = pick_one(&world);
        got[pick.index]++;
        end_pick(&world, &pick, BALANCE_LEFT);
    }
    assert_true(got[0] > 50 && got[1] > 50);
    exchange_at(&world, 1, BALANCE_SUCCEEDED, 10000); /* now about 2750 */
    for (unsigned i = 0; i < 200; i++) {
        balance_pick_t pick = pick_one(&world);
        assert_int_equal(pick.index, 0);
        end_pick(&world, &pick, BALANCE_LEFT);
    }
    /* Slowness is worth a number of exchanges in flight. */
    for (unsigned i = 0; i < 40; i++)
        pick_one(&world);
    assert_in_range(view_of(&world, 0).in_flight, 28, 31);
    balance_world_free(&world);
}

/* For a second after a failure, or until the next success, servers without a failure come first. */
static void test_p2c_by_failures(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_P2C);
    set_servers(&world, 0, 2, 1);
    exchange_at(&world, 1, BALANCE_FAILED, 0);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(pick_one(&world).index, 0);
    world.now_ms += 999;
    assert_int_equal(pick_one(&world).index, 0);
    world.now_ms++;
    balance_pick_t pick = pick_one(&world);
    assert_int_equal(pick.index, 1); /* it has nothing in flight */
    end_pick(&world, &pick, BALANCE_FAILED);
    assert_int_equal(pick_one(&world).index, 0);
    exchange_at(&world, 1, BALANCE_SUCCEEDED, 1000);
    assert_int_equal(pick_one(&world).index, 1);
    exchange_at(&world, 0, BALANCE_FAILED, 0); /* both have: by their load */
    exchange_at(&world, 1, BALANCE_FAILED, 0);
    assert_int_equal(pick_one(&world).index, 1);
    balance_world_free(&world);
}

/* ---- consistent hashing ---- */

#define KEYS 4000

static void owners(world_t *world, uint16_t *owner)
{
    for (uint64_t key = 0; key < KEYS; key++) {
        balance_pick_t pick;
        assert_int_equal(pick_for(world, 0, key * 0x9e3779b97f4a7c15u, 0, &pick), BALANCE_OK);
        owner[key] = pick.index;
        end_pick(world, &pick, BALANCE_LEFT);
    }
}

/* A server that joins takes its part and no other keys move; when it leaves, the mapping is as before. */
static void check_remapped(unsigned count, uint32_t weight)
{
    world_t world = balance_world_new(CONF_BALANCE_HASH);
    static uint16_t before[KEYS], with[KEYS], after[KEYS];
    unsigned moved = 0;
    set_servers(&world, 0, count, 3);
    owners(&world, before);
    balance_server_t servers[SERVERS_MAX];
    for (unsigned n = 0; n <= count; n++)
        servers[n] = make_server(n, n < count ? 3 : weight);
    balance_set(world.balance, world.upstream, 0, servers, count + 1, T);
    owners(&world, with);
    set_servers(&world, 0, count, 3);
    owners(&world, after);
    for (unsigned key = 0; key < KEYS; key++) {
        assert_int_equal(before[key], after[key]);
        assert_true(with[key] == before[key] || with[key] == count);
        moved += with[key] != before[key];
    }
    double part = (double)weight / (3.0 * count + weight);
    assert_true(moved > 0.6 * part * KEYS && moved < 1.5 * part * KEYS);
    balance_world_free(&world);
}

static void test_remapped(void **state)
{
    (void)state;
    check_remapped(1, 3);
    check_remapped(3, 3);
    check_remapped(9, 3);
    check_remapped(9, 6);
    check_remapped(63, 3);
}

/* The mapping depends on the servers, not on their slots or their order of arrival. */
static void test_same_everywhere(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_HASH), other = balance_world_new(CONF_BALANCE_HASH);
    static uint16_t one[KEYS], two[KEYS];
    balance_server_t servers[5];
    set_servers(&world, 0, 5, 1);
    set_servers(&other, 7, 9, 1);
    for (unsigned n = 0; n < 5; n++)
        servers[4 - n] = make_server(n, 1);
    balance_set(other.balance, other.upstream, 0, servers, 5, T);
    owners(&world, one);
    owners(&other, two);
    assert_memory_equal(one, two, sizeof(one));
    balance_world_free(&world);
    balance_world_free(&other);
}

/* Everything has the same key: each server takes its part and a quarter, rounded up, and no more. */
static void test_bounded_load(void **state)
{
    (void)state;
    world_t world = balance_world_new(CONF_BALANCE_HASH);
    static const uint32_t weights[] = {1, 1, 2, 4, 2};
    balance_pick_t pick;
    uint16_t first = UINT16_MAX;
    set_weights(&world, weights, 5);
    for (unsigned total = 0; total < 500; total++) {
        assert_int_equal(pick_for(&world, total % 3, 42, 0, &pick), BALANCE_OK);
        first = total == 0 ? pick.index : first;
        unsigned bound =
            (5 * (total + 1) * weights[pick.index] + 39) / 40; /* ceil(1.25 (total + 1) w / 10) */
        assert_true(view_of(&world, pick.index).in_flight <= bound);
        if (total > 0 && view_of(&world, first).in_flight < (5 * (total + 1) * weights[first]) / 40)
            assert_int_equal(pick.index, first);
    }
    /* If no other server is left, the bound does not apply. */
    uint64_t others = ~((uint64_t)1 << view_of(&world, first).slot);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(pick_for(&world, 0, 42, others, &pick), BALANCE_OK);
        assert_int_equal(pick.index, first);
    }
    balance_world_free(&world);
}

/* ---- avoided servers ---- */

static void test_avoid(void **state)
{
    (void)state;
    for (conf_balance_t policy = CONF_BALANCE_P2C; policy <= CONF_BALANCE_HASH; policy++) {
        world_t world = balance_world_new(policy);
        balance_pick_t pick;
        set_servers(&world, 0, 64, 1);
        uint64_t avoid = 0;
        for (unsigned i = 0; i < 64; i++) {
            assert_int_equal(pick_for(&world, 0, 9, avoid, &pick), BALANCE_OK);
            assert_true((avoid & (uint64_t)1 << pick.slot) == 0);
            avoid |= (uint64_t)1 << pick.slot;
            end_pick(&world, &pick, BALANCE_SUCCEEDED);
        }
        assert_int_equal(pick_for(&world, 0, 9, avoid, &pick), BALANCE_NONE);
        assert_false(pick.held);
        balance_world_free(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spread),
        cmocka_unit_test(test_round_robin),
        cmocka_unit_test(test_round_robin_after_absence),
        cmocka_unit_test(test_least),
        cmocka_unit_test(test_p2c_by_load),
        cmocka_unit_test(test_p2c_by_latency),
        cmocka_unit_test(test_p2c_by_failures),
        cmocka_unit_test(test_remapped),
        cmocka_unit_test(test_same_everywhere),
        cmocka_unit_test(test_bounded_load),
        cmocka_unit_test(test_avoid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
