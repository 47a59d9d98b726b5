/* From a host name to the preview and its box, and the rules for the cache in between. */
#include "routes.h"

#include "table.h"

#include "single_step.h"
#include "store_fixture.h"

#define DOMAIN STR("preview.box.example")

typedef struct routes_fixture {
    fixture_t store;
    _Atomic uint64_t epoch;
    routes_t *routes;
} routes_fixture_t;

static int setup(void **state)
{
    routes_fixture_t *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    fixture_make(&f->store);
    fixture_open(&f->store, FIXTURE_MAP_BYTES);
    f->routes = routes_new(f->store.store, DOMAIN, &f->epoch);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    routes_fixture_t *f = *state;
    routes_free(&f->routes);
    assert_null(f->routes);
    routes_free(&f->routes);
    fixture_remove(&f->store);
    free(f);
    return 0;
}

static void put_preview(routes_fixture_t *f, const char *id, uint16_t port)
{
    store_preview_t preview = fixture_preview(id, port);
    assert_int_equal(store_put_preview(f->store.store, &preview), STORE_OK);
}

static void put_box(routes_fixture_t *f, const char *id, box_state_t state)
{
    store_box_t box = fixture_box(id, state);
    assert_int_equal(store_put_box(f->store.store, &box), STORE_OK);
}

static void expect(routes_fixture_t *f, const char *authority, routes_result_t wanted)
{
    const route_t *route;
    routes_result_t got = routes_find(f->routes, str_from(authority), 0, &route);
    if (got != wanted)
        fail_msg("%s: %d instead of %d", authority, (int)got, (int)wanted);
}

static const route_t *find(routes_fixture_t *f, const char *authority)
{
    const route_t *route = NULL;
    assert_int_equal(routes_find(f->routes, str_from(authority), 0, &route), ROUTES_FOUND);
    assert_non_null(route);
    return route;
}

static void test_finds_preview_and_box(void **state)
{
    routes_fixture_t *f = *state;
    put_preview(f, "sweet-shark", 3000);
    put_box(f, "sweet-shark", BOX_RUNNING);
    static const char *const forms[] = {
        "sweet-shark-3000.preview.box.example",       "Sweet-Shark-3000.PREVIEW.box.example",
        "sweet-shark-3000.preview.box.example:8443",  "sweet-shark-3000.preview.box.example.",
        "sweet-shark-3000.preview.box.example.:8443",
    };
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
            const route_t *route = find(f, forms[i]);
            assert_string_equal(route->preview->id, "sweet-shark");
            assert_int_equal(route->preview->port, 3000);
            assert_string_equal(route->box.id, "sweet-shark");
            assert_int_equal(route->box.state, BOX_RUNNING);
            assert_int_equal(route->box.generation, 7);
        }
    }
}

static void test_other_hosts(void **state)
{
    routes_fixture_t *f = *state;
    put_preview(f, "a", 80);
    for (int round = 0; round < 2; round++) {
        expect(f, "a-81.preview.box.example", ROUTES_NO_PREVIEW);
        expect(f, "b-80.preview.box.example", ROUTES_NO_PREVIEW);
        expect(f, "preview.box.example", ROUTES_NO_PREVIEW);
        expect(f, "a-080.preview.box.example", ROUTES_NO_PREVIEW);
        expect(f, "a-80.preview.box.example:x", ROUTES_NO_PREVIEW);
        expect(f, "other.example", ROUTES_FOREIGN);
        expect(f, "[::1]:443", ROUTES_FOREIGN);
        expect(f, "", ROUTES_FOREIGN);
    }
}

static void test_box_unknown(void **state)
{
    routes_fixture_t *f = *state;
    put_preview(f, "other", 80);
    put_box(f, "other", BOX_PAUSED);
    assert_int_equal(find(f, "other-80.preview.box.example")->box.state, BOX_PAUSED);
    put_preview(f, "a", 80);
    const route_t *route = find(f, "a-80.preview.box.example");
    assert_int_equal(route->box.state, BOX_UNKNOWN);
    assert_string_equal(route->box.id, "a");
    assert_int_equal(route->box.generation, 0);
}

/* Positive and negative answers hold until the epoch changes, and no longer. */
static void test_cached_until_the_epoch_changes(void **state)
{
    routes_fixture_t *f = *state;
    const char *host = "a-80.preview.box.example";
    expect(f, host, ROUTES_NO_PREVIEW);
    put_preview(f, "a", 80);
    expect(f, host, ROUTES_NO_PREVIEW);
    f->epoch++;
    assert_int_equal(find(f, host)->box.state, BOX_UNKNOWN);
    put_box(f, "a", BOX_RUNNING);
    assert_int_equal(find(f, host)->box.state, BOX_UNKNOWN);
    f->epoch++;
    assert_int_equal(find(f, host)->box.state, BOX_RUNNING);
    assert_int_equal(store_delete_preview(f->store.store, STR("a"), 80), STORE_OK);
    find(f, host);
    f->epoch++;
    expect(f, host, ROUTES_NO_PREVIEW);
}

static routes_result_t find_at(routes_fixture_t *f, const char *authority, uint64_t now)
{
    const route_t *route;
    return routes_find(f->routes, str_from(authority), now, &route);
}

/* A preview expires by the clock, whether or not its answer is in the cache, and returns with it. */
static void test_expiry(void **state)
{
    routes_fixture_t *f = *state;
    store_preview_t preview = fixture_preview("a", 80);
    preview.expires_at = 1000;
    assert_int_equal(store_put_preview(f->store.store, &preview), STORE_OK);
    char uncached[200] = "a-80.preview.box.example:";
    memset(uncached + strlen(uncached), '0', 150);
    memcpy(uncached + 170, "443", 4);
    const char *const hosts[] = {"a-80.preview.box.example", uncached};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(find_at(f, hosts[i], 1000), ROUTES_NO_PREVIEW);
        assert_int_equal(find_at(f, hosts[i], 999), ROUTES_FOUND);
        assert_int_equal(find_at(f, hosts[i], 1000), ROUTES_NO_PREVIEW);
        assert_int_equal(find_at(f, hosts[i], UINT64_MAX), ROUTES_NO_PREVIEW);
        assert_int_equal(find_at(f, hosts[i], 0), ROUTES_FOUND);
    }
    /* Created again without an expiry. */
    preview.expires_at = 0;
    assert_int_equal(store_put_preview(f->store.store, &preview), STORE_OK);
    f->epoch++;
    assert_int_equal(find_at(f, hosts[0], UINT64_MAX), ROUTES_FOUND);
}

/* More hosts than the cache has places: every answer is for its own host, whichever hosts share a place. */
static void test_places_are_shared(void **state)
{
    routes_fixture_t *f = *state;
    enum { HOSTS = 9000 };
    static store_change_t changes[HOSTS];
    for (int i = 0; i < HOSTS; i++) {
        char id[32];
        snprintf(id, sizeof(id), "box-%d", i);
        changes[i] = (store_change_t){.preview = fixture_preview(id, (uint16_t)(i + 1))};
    }
    assert_int_equal(store_apply(f->store.store, changes, HOSTS), STORE_OK);
    for (int i = 0; i < 2 * HOSTS; i++) {
        int box = (i * 7919) % HOSTS;
        char host[80];
        snprintf(host, sizeof(host), "box-%d-%d.preview.box.example", box, box + 1);
        const route_t *route = find(f, host);
        assert_int_equal(route->preview->port, box + 1);
        assert_int_equal(route->preview->version, changes[box].preview.version);
        snprintf(host, sizeof(host), "box-%d-%d.preview.box.example", box, box + 2);
        expect(f, host, ROUTES_NO_PREVIEW);
    }
}

/* A box whose record this edge cannot read. */
static void put_unreadable_box(fixture_t *f, const char *id)
{
    char error[TABLE_ERROR_MAX];
    store_close(&f->store);
    table_t *table = table_open(
        &(table_options_t){.dir = f->scratch, .map_bytes = FIXTURE_MAP_BYTES, .writer = true}, error);
    assert_non_null(table);
    assert_int_equal(table_write_begin(table), STORE_OK);
    assert_int_equal(table_put(table, str_from(id), 0, STR("\xff what a later edge wrote")), STORE_OK);
    assert_int_equal(table_write_commit(table), STORE_OK);
    table_close(&table);
    fixture_open(f, FIXTURE_MAP_BYTES);
}

/* A failed lookup is retried the next time, and spoils no cached answer. */
static void test_failures_are_not_kept(void **state)
{
    routes_fixture_t *f = *state;
    enum { HOSTS = 3000 };
    static store_change_t changes[2 * HOSTS];
    routes_free(&f->routes);
    put_unreadable_box(&f->store, "bad");
    f->routes = routes_new(f->store.store, DOMAIN, &f->epoch);
    for (int i = 0; i < 2 * HOSTS; i++)
        changes[i] = (store_change_t){
            .preview = fixture_preview(i < HOSTS ? "good" : "bad", (uint16_t)(i % HOSTS + 1))};
    assert_int_equal(store_apply(f->store.store, changes, 2 * HOSTS), STORE_OK);
    char host[80];
    for (int round = 0; round < 2; round++) {
        for (int port = 1; port <= HOSTS; port++) {
            snprintf(host, sizeof(host), "good-%d.preview.box.example", port);
            const route_t *route = find(f, host);
            assert_string_equal(route->preview->id, "good");
            assert_int_equal(route->preview->port, port);
        }
        for (int port = 1; port <= HOSTS; port++) {
            snprintf(host, sizeof(host), "bad-%d.preview.box.example", port);
            expect(f, host, ROUTES_DAMAGED);
        }
    }
    put_box(f, "bad", BOX_RUNNING);
    assert_int_equal(find(f, host)->box.state, BOX_RUNNING);
}

/* A change of the store elsewhere leaves the record shared. After a change of the record, its holders keep
 * the old one until they drop it. */
static void test_records_are_shared(void **state)
{
    routes_fixture_t *f = *state;
    const char *host = "sweet-shark-3000.preview.box.example";
    put_preview(f, "sweet-shark", 3000);
    const store_preview_t *held = preview_hold(find(f, host)->preview);
    put_box(f, "sweet-shark", BOX_RUNNING);
    f->epoch++;
    assert_ptr_equal(find(f, host)->preview, held);
    assert_int_equal(find(f, host)->box.state, BOX_RUNNING);
    store_preview_t changed = fixture_preview("sweet-shark", 3000);
    changed.background_wakes = !held->background_wakes;
    assert_int_equal(store_put_preview(f->store.store, &changed), STORE_OK);
    f->epoch++;
    assert_ptr_not_equal(find(f, host)->preview, held);
    assert_int_equal(find(f, host)->preview->background_wakes, changed.background_wakes);
    assert_string_equal(held->id, "sweet-shark");
    preview_drop(&held);
    assert_ptr_equal(held, &preview_none);
    preview_drop(&held);
    held = preview_hold(find(f, host)->preview);
    routes_free(&f->routes);
    assert_string_equal(held->id, "sweet-shark");
    preview_drop(&held);
}

/* Authorities around the maximum length that is kept. */
static void test_long_authorities(void **state)
{
    routes_fixture_t *f = *state;
    put_preview(f, "a", 80);
    for (size_t n = 120; n < 300; n++) {
        char host[320];
        size_t len = (size_t)snprintf(host, sizeof(host), "a-80.preview.box.example:");
        memset(host + len, '0', n - len - 1);
        host[n - 1] = '1';
        host[n] = '\0';
        for (int round = 0; round < 2; round++)
            assert_string_equal(find(f, host)->preview->id, "a");
        host[n - 1] = 'x';
        expect(f, host, ROUTES_NO_PREVIEW);
    }
}

/* ---- the cost of a lookup ---- */

typedef struct lookup {
    routes_fixture_t *f;
    const char *host;
} lookup_t;

static void look_up_host(void *arg)
{
    const lookup_t *lookup = arg;
    (void)find_at(lookup->f, lookup->host, 1000);
}

/* To a client, these take the same time: a preview that does not exist, one on a box that does not exist or
 * is gone, and one that has expired. From the cache the cost is equal, from the store it is a read or two.
 * Counted in instructions; the test waits for nothing. */
static void test_what_is_not_there_costs_alike(void **state)
{
    routes_fixture_t *f = *state;
    put_preview(f, "nobox", 80);
    put_preview(f, "ended", 80);
    put_box(f, "ended", BOX_GONE);
    store_preview_t late = fixture_preview("later", 80);
    late.expires_at = 1000;
    assert_int_equal(store_put_preview(f->store.store, &late), STORE_OK);
    put_box(f, "later", BOX_RUNNING);
    static const char *const ids[] = {"never", "nobox", "ended", "later"};
    size_t least[2] = {SIZE_MAX, SIZE_MAX}, most[2] = {0, 0};
    for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
        char kept[64], other[64];
        snprintf(kept, sizeof(kept), "%s-80.preview.box.example", ids[i]);
        snprintf(other, sizeof(other), "%s-80.preview.box.example.", ids[i]);
        lookup_t one = {f, kept}, same = {f, other};
        size_t steps[2] = {single_step(look_up_host, &same, &one, NULL, NULL),
                           single_step(look_up_host, &one, &one, NULL, NULL)};
        assert_true(steps[0] > steps[1]); /* the store was read, the cache was */
        for (int from_cache = 0; from_cache < 2; from_cache++) {
            least[from_cache] = steps[from_cache] < least[from_cache] ? steps[from_cache] : least[from_cache];
            most[from_cache] = steps[from_cache] > most[from_cache] ? steps[from_cache] : most[from_cache];
        }
    }
    assert_in_range(most[0], least[0], 4 * least[0]);
    assert_in_range(most[1], least[1], least[1] + least[1] / 4);
}

static void test_served_boxes(void **state)
{
    (void)state;
    store_box_t box = {.state = BOX_UNKNOWN};
    assert_false(routes_box_exists(&box, false, 100));
    assert_true(routes_box_exists(&box, true, 100)); /* the control plane may know it */
    box = (store_box_t){.state = BOX_PAUSED, .expires_at = 101};
    assert_true(routes_box_exists(&box, false, 100));
    assert_false(routes_box_exists(&box, true, 101));
    box = (store_box_t){.state = BOX_GONE};
    assert_false(routes_box_exists(&box, true, 100));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_finds_preview_and_box, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_hosts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_box_unknown, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cached_until_the_epoch_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_expiry, setup, teardown),
        cmocka_unit_test_setup_teardown(test_places_are_shared, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failures_are_not_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_records_are_shared, setup, teardown),
        cmocka_unit_test_setup_teardown(test_long_authorities, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_there_costs_alike, setup, teardown),
        cmocka_unit_test(test_served_boxes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
