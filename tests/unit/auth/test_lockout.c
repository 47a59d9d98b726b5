/* The price of guessing: windows, locks, whom they hit, and which entries a crowded table drops. */
#include "lockout_fixture.h"

#define CELLS 1024
#define SET   8 /* cells of the smallest table, which is one set */
/* An hour after boot. */
#define T ((uint64_t)3600000)

static void fail_times(lockout_t *table, uint32_t client, uint64_t secret, int times, uint64_t now_ms)
{
    for (int i = 0; i < times; i++)
        fail_once(table, client, secret + (uint64_t)i, now_ms);
}

static void test_tenth_locks(void **state)
{
    (void)state;
    lockout_t *table = lockout_fixture_table_new(CELLS);
    assert_int_equal(left(table, 1, T), 0);
    for (uint64_t i = 0; i < 9; i++) {
        fail_once(table, 1, i, T + i);
        assert_int_equal(left(table, 1, T + i), 0);
    }
    fail_once(table, 1, 9, T + 9);
    assert_int_equal(left(table, 1, T + 9), 60000);
    assert_int_equal(left(table, 1, T + 10), 59999);
    assert_int_equal(left(table, 1, T + 9 + 59999), 1);
    assert_int_equal(left(table, 1, T + 9 + 60000), 0);
    assert_int_equal(left(table, 1, T + 9 + 60001), 0);
    lockout_fixture_table_free(table, CELLS);
}

/* The window slides: ten within 59,999 ms lock, ten within 60,000 do not. */
static void test_window(void **state)
{
    (void)state;
    lockout_t *table = lockout_fixture_table_new(CELLS);
    fail_once(table, 1, 0, T);
    fail_times(table, 1, 1, 9, T + 59999);
    assert_int_equal(left(table, 1, T + 59999), 60000);
    fail_once(table, 2, 0, T);
    fail_times(table, 2, 1, 9, T + 60000);
    assert_int_equal(left(table, 2, T + 60000), 0);
    fail_once(table, 2, 10, T + 60000);
    assert_int_equal(left(table, 2, T + 60000), 60000);
    /* The slowest pace that never locks, and one ms faster. */
    for (uint64_t i = 0; i < 100; i++) {
        fail_once(table, 3, i, T + i * 6667);
        assert_int_equal(left(table, 3, T + i * 6667), 0);
        fail_once(table, 4, i, T + i * 6666);
        if (i == 9)
            assert_int_equal(left(table, 4, T + i * 6666), 60000);
    }
    lockout_fixture_table_free(table, CELLS);
}

static void test_repeats(void **state)
{
    (void)state;
    lockout_t *table = lockout_fixture_table_new(CELLS);
    for (int i = 0; i < 1000; i++)
        fail_once(table, 1, 7, T);
    fail_times(table, 1, 100, 8, T);
    fail_times(table, 1, 100, 8, T + 1);
    assert_int_equal(left(table, 1, T + 1), 0);
    fail_once(table, 1, 200, T + 1);
    assert_int_equal(left(table, 1, T + 1), 60000);
    /* A repeated secret does not renew its first time; a minute later it counts again. */
    fail_once(table, 2, 7, T);
    fail_once(table, 2, 7, T + 59999); /* still the same failure */
    fail_times(table, 2, 100, 9, T + 60000);
    assert_int_equal(left(table, 2, T + 60000), 0);
    fail_once(table, 2, 7, T + 60000);
    assert_int_equal(left(table, 2, T + 60000), 60000);
    lockout_fixture_table_free(table, CELLS);
}

/* Further failures do not extend a lock; afterwards counting starts anew. */
static void test_after_the_lock(void **state)
{
    (void)state;
    lockout_t *table = lockout_fixture_table_new(CELLS);
    fail_once(table, 1, 0, T);
    fail_times(table, 1, 1, 9, T + 50000);
    for (uint64_t i = 0; i < 60; i++)
        fail_once(table, 1, 1000 + i, T + 50000 + i * 1000);
    assert_int_equal(left(table, 1, T + 50000 + 59999), 1);
    assert_int_equal(left(table, 1, T + 110000), 0);
    fail_times(table, 1, 2000, 9, T + 110000);
    assert_int_equal(left(table, 1, T + 110000), 0);
    fail_once(table, 1, 3000, T + 110000);
    assert_int_equal(left(table, 1, T + 110000), 60000);
    lockout_fixture_table_free(table, CELLS);
}

static void test_who(void **state)
{
    (void)state;
    lockout_t *table = lockout_fixture_table_new(CELLS);
    struct in6_addr a = ipv4(1), b = ipv4(2);
    struct in6_addr six = {.s6_addr = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8}};
    struct in6_addr same_64 = six, other_64 = six, zero_64 = {.s6_addr = {[15] = 1}};
    memset(same_64.s6_addr + 8, 0xee, 8);
    other_64.s6_addr[7] = 2;
    uint8_t sha256[32];
    for (uint64_t i = 0; i < 10; i++) {
        wrong_secret(i, sha256);
        lockout_failed(table, &a, 1, sha256, T);
        six.s6_addr[15] = (uint8_t)i; /* one network, ten addresses */
        lockout_failed(table, &six, 1, sha256, T);
    }
    assert_int_equal(lockout_left(table, &a, 1, T), 60000);
    assert_int_equal(lockout_left(table, &a, 2, T), 0);
    assert_int_equal(lockout_left(table, &a, 1ull << 32 | 1, T), 0);
    assert_int_equal(lockout_left(table, &b, 1, T), 0);
    assert_int_equal(lockout_left(table, &zero_64, 1, T), 0); /* IPv4 is not the network of zeros */
    assert_int_equal(lockout_left(table, &six, 1, T), 60000);
    assert_int_equal(lockout_left(table, &same_64, 1, T), 60000);
    assert_int_equal(lockout_left(table, &other_64, 1, T), 0);
    assert_int_equal(lockout_left(table, &six, 2, T), 0);
    lockout_fixture_table_free(table, CELLS);
}

/* Workers read their clocks at different moments: a worker with an earlier time sees the lock no longer than
 * others, and failures out of order still count. */
static void test_clocks_apart(void **state)
{
    (void)state;
    lockout_t *table = lockout_fixture_table_new(CELLS);
    for (uint64_t i = 0; i < 10; i++)
        fail_once(table, 1, i, T - i % 3 * 20);
    assert_int_equal(left(table, 1, T - 40), 60000);
    assert_int_equal(left(table, 1, T), 60000);
    assert_int_equal(left(table, 1, T + 59999), 1);
    lockout_fixture_table_free(table, CELLS);
}

/* Times wrap in a cell: after the wrap, no failure is remembered and no old lock returns. */
static void test_wrap(void **state)
{
    (void)state;
    static const uint64_t wrap = 1ull << 36;
    lockout_t *table = lockout_fixture_table_new(CELLS);
    fail_once(table, 1, 0, wrap - 30000);
    fail_times(table, 1, 1, 9, wrap + 29999);
    assert_int_equal(left(table, 1, wrap + 29999), 60000);
    assert_int_equal(left(table, 1, wrap + 29999 + 59999), 1);
    static const uint64_t later[] = {60000,        3600000,      wrap / 2 - 1, wrap / 2,
                                     wrap / 2 + 1, wrap - 60000, 3 * wrap / 4};
    for (size_t i = 0; i < sizeof(later) / sizeof(*later); i++)
        assert_int_equal(left(table, 1, wrap + 29999 + later[i]), 0);
    fail_times(table, 1, 1, 9, wrap + 29999 + wrap / 2 + 10000000);
    assert_int_equal(left(table, 1, wrap + 29999 + wrap / 2 + 10000000), 0);
    fail_times(table, 2, 1, 10, 0); /* at the first moment */
    assert_int_equal(left(table, 2, 0), 60000);
    lockout_fixture_table_free(table, CELLS);
}

/* One key more than fits: the key with the oldest last failure is dropped, not the one with the oldest first
 * failure. */
static void test_least_recent_goes(void **state)
{
    (void)state;
    for (uint32_t idle = 0; idle < SET; idle++) {
        lockout_t *table = lockout_fixture_table_new(SET);
        for (uint32_t client = 0; client < SET; client++)
            fail_times(table, client, 0, 8, T - client);
        for (uint32_t client = 0; client < SET; client++)
            if (client != idle)
                fail_once(table, client, 8, T + 100 + client);
        fail_once(table, SET, 0, T + 200); /* takes the idle key's place */
        for (uint32_t client = 0; client < SET; client++) {
            if (client == idle)
                continue;
            fail_once(table, client, 9, T + 300);
            assert_int_equal(left(table, client, T + 300), 60000);
        }
        fail_times(table, idle, 8, 2, T + 300); /* takes the newcomer's place */
        assert_int_equal(left(table, idle, T + 300), 0);
        lockout_fixture_table_free(table, SET);
    }
}

/* Locked keys keep their cells; when all are locked, newcomers are not counted. */
static void test_locked_stay(void **state)
{
    (void)state;
    lockout_t *table = lockout_fixture_table_new(SET);
    for (uint32_t client = 0; client < SET; client++)
        fail_times(table, client, 0, 10, T + client);
    for (uint32_t client = SET; client < 100; client++) {
        fail_times(table, client, 0, 20, T + 1000);
        assert_int_equal(left(table, client, T + 1000), 0);
    }
    for (uint32_t client = 0; client < SET; client++)
        assert_int_equal(left(table, client, T + 1000), 59000 + client);
    /* When the first lock ends, its cell is free for others. */
    fail_times(table, 100, 0, 10, T + 60000);
    assert_int_equal(left(table, 100, T + 60000), 60000);
    assert_int_equal(left(table, 0, T + 60000), 0);
    assert_int_equal(left(table, 1, T + 60000), 1);
    lockout_fixture_table_free(table, SET);
}

/* A reused cell starts from zero, however often it changed hands. */
static void test_nothing_is_inherited(void **state)
{
    (void)state;
    lockout_t *table = lockout_fixture_table_new(SET);
    for (uint32_t client = 0; client < 5000; client++) {
        fail_times(table, client, client, 9, T);
        assert_int_equal(left(table, client, T), 0);
    }
    fail_once(table, 4999, 9999, T);
    assert_int_equal(left(table, 4999, T), 60000);
    lockout_fixture_table_free(table, SET);
}

/* The same when a cell's owners, each with a failure, follow each other so fast that the first ones' failures
 * are still recent: tried on a copy after each. All take the first cell here, up to the 4095 owners of
 * lockout.c. */
static void test_nothing_is_inherited_later(void **state)
{
    (void)state;
    lockout_t *table = lockout_fixture_table_new(SET), *copy = lockout_fixture_table_new(SET);
    for (uint32_t client = 0; client < SET; client++)
        fail_times(table, client, 0, 9, T);
    for (uint32_t client = SET; client < SET + 4080; client++) {
        fail_once(table, client, 0, T + 1);
        memcpy(copy, table, lockout_size(SET));
        fail_times(copy, 6000, 100, 9, T + 2);
        assert_int_equal(left(copy, 6000, T + 2), 0);
    }
    lockout_fixture_table_free(table, SET);
    lockout_fixture_table_free(copy, SET);
}

/* ---- against a plain model ---- */

#define CLIENTS 12
#define EVENTS  3000

typedef struct shown {
    uint64_t at, secret;
    bool counted;
} shown_t;

/* All failures that one client ever had. */
typedef struct model {
    shown_t shown[EVENTS];
    size_t count;
    uint64_t locked_until;
} model_t;

static void model_failed(model_t *model, uint64_t secret, uint64_t now_ms)
{
    unsigned recent = 1;
    bool counted = model->locked_until <= now_ms;
    for (size_t i = 0; i < model->count; i++) {
        const shown_t *shown = &model->shown[i];
        if (!shown->counted || now_ms - shown->at >= 60000)
            continue;
        counted &= shown->secret != secret;
        recent++;
    }
    model->shown[model->count++] = (shown_t){now_ms, secret, counted};
    if (counted && recent >= 10)
        model->locked_until = now_ms + 60000;
}

/* The different secrets that the client showed in the minute up to its i-th failure. */
static unsigned distinct_until(const model_t *model, size_t i)
{
    unsigned count = 0;
    for (size_t k = 0; k <= i; k++) {
        bool last = model->shown[i].at - model->shown[k].at < 60000;
        for (size_t j = k + 1; j <= i; j++)
            last &= model->shown[j].secret != model->shown[k].secret;
        count += last;
    }
    return count;
}

/* Whether the last minute gives a reason to lock this client. */
static bool is_deserved(const model_t *model, uint64_t now_ms)
{
    for (size_t i = model->count; i-- > 0 && now_ms - model->shown[i].at < 60000;)
        if (distinct_until(model, i) >= 10)
            return true;
    return false;
}

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return *seed >> 33;
}

/* Random failures of a few clients at a pace that locks some of them some of the time. While the table has
 * room, it agrees with the model (`exact`); when it is full, it locks nobody without a reason. */
static void check_random(uint32_t cells, bool exact, uint64_t seed, unsigned *locks)
{
    lockout_t *table = lockout_fixture_table_new(cells);
    model_t *models = calloc(CLIENTS, sizeof(*models));
    uint64_t now_ms = T + seed;
    assert_non_null(models);
    for (int i = 0; i < EVENTS; i++) {
        uint32_t client = (uint32_t)(next_random(&seed) % CLIENTS);
        uint64_t secret = next_random(&seed) % 40;
        now_ms += next_random(&seed) % 900;
        fail_once(table, client, secret, now_ms);
        model_failed(&models[client], secret, now_ms);
        for (uint32_t c = 0; c < CLIENTS; c++) {
            uint64_t until = models[c].locked_until;
            uint32_t expected = until > now_ms ? (uint32_t)(until - now_ms) : 0, got = left(table, c, now_ms);
            *locks += got == 60000;
            if (exact)
                assert_int_equal(got, expected);
            else if (got != 0)
                assert_true(is_deserved(&models[c], now_ms));
        }
    }
    free(models);
    lockout_fixture_table_free(table, cells);
}

static void test_random(void **state)
{
    (void)state;
    unsigned exact = 0, crowded = 0;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        check_random(CELLS, true, seed, &exact);
        check_random(SET, false, seed, &crowded);
    }
    assert_true(exact > 50);
    assert_true(crowded > 5 && crowded < exact);
}

/* The part that the edge shares among its workers. */
static void test_size(void **state)
{
    (void)state;
    assert_true(lockout_size(16384) <= 2 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tenth_locks),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_repeats),
        cmocka_unit_test(test_after_the_lock),
        cmocka_unit_test(test_who),
        cmocka_unit_test(test_clocks_apart),
        cmocka_unit_test(test_wrap),
        cmocka_unit_test(test_least_recent_goes),
        cmocka_unit_test(test_locked_stay),
        cmocka_unit_test(test_nothing_is_inherited),
        cmocka_unit_test(test_nothing_is_inherited_later),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
