/* The controller's periodic work on the store. */
#include "controller.h"

#include "record.h"
#include "store_internal.h"

#include "store_fixture.h"

#define DAY 86400u
#define NOW 1700000000u

static bool is_zero(const uint8_t key[32])
{
    static const uint8_t zero[32];
    return memcmp(key, zero, 32) == 0;
}

static store_cookie_keys_t keys_of(fixture_t *f)
{
    store_cookie_keys_t keys;
    assert_int_equal(store_get_cookie_keys(f->store, &keys), STORE_OK);
    return keys;
}

static bool rotate_in(fixture_t *f, uint64_t now, uint64_t earliest, uint64_t latest)
{
    bool rotated, lost;
    wall_span_t span = {earliest, latest};
    assert_int_equal(controller_rotate_cookie_keys(f->store, now, span, &rotated, &lost), STORE_OK);
    return rotated;
}

static bool rotate(fixture_t *f, uint64_t now)
{
    return rotate_in(f, now, now, now);
}

static void first_keys(void **state)
{
    fixture_t *f = *state;
    assert_true(rotate(f, NOW));
    store_cookie_keys_t keys = keys_of(f);
    assert_true(keys.rotated_at == NOW);
    /* Everybody could use a previous key of zeros. */
    assert_false(is_zero(keys.current));
    assert_false(is_zero(keys.previous));
    assert_memory_not_equal(keys.current, keys.previous, 32);
}

static void daily_keys(void **state)
{
    fixture_t *f = *state;
    assert_true(rotate(f, NOW));
    store_cookie_keys_t first = keys_of(f);
    assert_false(rotate(f, NOW));
    assert_false(rotate(f, NOW + DAY - 1));
    store_cookie_keys_t same = keys_of(f);
    assert_memory_equal(&same, &first, sizeof(first));
    assert_true(rotate(f, NOW + DAY));
    store_cookie_keys_t second = keys_of(f);
    assert_memory_equal(second.previous, first.current, 32);
    assert_memory_not_equal(second.current, first.current, 32);
    assert_true(second.rotated_at == NOW + DAY);
    /* The clock was set back: keys of the future are not kept until that time. */
    assert_true(rotate(f, NOW));
    assert_memory_equal(keys_of(f).previous, second.current, 32);
    assert_true(keys_of(f).rotated_at == NOW);
}

/* A clock that jumps ten days and returns, in either direction, keeps both keys: all sessions remain
 * valid. */
static void keys_of_a_clock_that_jumps(void **state)
{
    fixture_t *f = *state;
    assert_true(rotate_in(f, NOW, 0, UINT64_MAX)); /* a first key does not wait an hour */
    store_cookie_keys_t first = keys_of(f);
    assert_false(rotate_in(f, NOW + 10 * DAY, 0, UINT64_MAX)); /* the controller is new */
    assert_false(rotate_in(f, NOW + 10 * DAY, NOW, NOW + 10 * DAY));
    assert_false(rotate_in(f, NOW, NOW, NOW + 10 * DAY));
    assert_false(rotate_in(f, NOW - 10 * DAY, NOW - 10 * DAY, NOW));
    store_cookie_keys_t same = keys_of(f);
    assert_memory_equal(&same, &first, sizeof(first));
    assert_false(rotate_in(f, NOW + DAY + 1, NOW + DAY - 1, NOW + DAY + 1));
    assert_true(rotate_in(f, NOW + DAY + 3600, NOW + DAY, NOW + DAY + 3600));
}

static void unreadable_keys(void **state)
{
    fixture_t *f = *state;
    assert_true(rotate(f, NOW));
    assert_int_equal(table_write_begin(f->store->rules), STORE_OK);
    assert_int_equal(table_put(f->store->rules, STR("@cookie-keys"), 0, STR("\xff from a later edge")),
                     STORE_OK);
    assert_int_equal(table_write_commit(f->store->rules), STORE_OK);
    store_cookie_keys_t keys;
    assert_int_equal(store_get_cookie_keys(f->store, &keys), STORE_FAILED);
    assert_true(rotate(f, NOW));
    assert_false(is_zero(keys_of(f).current));
    assert_false(is_zero(keys_of(f).previous));
}

/* ---- expired previews ---- */

static void put(fixture_t *f, const char *id, uint16_t port, uint64_t expires_at)
{
    store_preview_t preview = fixture_preview(id, port);
    preview.expires_at = expires_at;
    assert_int_equal(store_put_preview(f->store, &preview), STORE_OK);
}

static bool collect(const store_preview_t *preview, void *arg)
{
    char *text = arg;
    size_t n = strlen(text);
    snprintf(text + n, 256 - n, "%s-%u ", preview->id, preview->port);
    return true;
}

static void expect(fixture_t *f, const char *left)
{
    char text[256] = "";
    assert_int_equal(store_each_preview(f->store, collect, text), STORE_OK);
    assert_string_equal(text, left);
}

static bool sweep(fixture_t *f, uint64_t until)
{
    controller_sweep_t walk = {0};
    bool deleted;
    assert_int_equal(controller_sweep(f->store, until, &walk, &deleted), STORE_OK);
    assert_true(walk.done);
    return deleted;
}

static void expiry(void **state)
{
    fixture_t *f = *state;
    put(f, "a", 1, 0);
    put(f, "b", 1, NOW);
    put(f, "b", 2, NOW + 1);
    put(f, "c", 1, NOW + 2);
    assert_false(sweep(f, NOW - 1));
    expect(f, "a-1 b-1 b-2 c-1 ");
    assert_true(sweep(f, NOW));
    expect(f, "a-1 b-2 c-1 ");
    assert_true(sweep(f, NOW + 100));
    expect(f, "a-1 ");
    assert_false(sweep(f, UINT64_MAX));
    expect(f, "a-1 ");
}

static bool count(const store_preview_t *preview, void *arg)
{
    (void)preview;
    ++*(size_t *)arg;
    return true;
}

/* A walk takes no more than its piece per call, and sees every preview once. */
static void pieces(void **state)
{
    fixture_t *f = *state;
    enum { PREVIEWS = 2 * CONTROLLER_SWEEP_MAX + 1 };
    static store_change_t changes[PREVIEWS];
    size_t expired = 0, left = 0;
    for (int i = 0; i < PREVIEWS; i++) {
        changes[i] = (store_change_t){.preview = fixture_preview("box", (uint16_t)(i + 1))};
        changes[i].preview.expires_at = i % 3 == 0 ? NOW : 0;
        expired += i % 3 == 0;
    }
    assert_int_equal(store_apply(f->store, changes, PREVIEWS), STORE_OK);
    controller_sweep_t walk = {0};
    for (int piece = 0; piece < 3; piece++) {
        bool deleted;
        assert_false(walk.done);
        assert_int_equal(controller_sweep(f->store, NOW, &walk, &deleted), STORE_OK);
        assert_int_equal(deleted, piece < 2 || (PREVIEWS - 1) % 3 == 0);
    }
    assert_true(walk.done);
    assert_int_equal(store_each_preview(f->store, count, &left), STORE_OK);
    assert_int_equal(left, PREVIEWS - expired);
}

/* Exactly one piece: the walk knows that no preview follows. */
static void one_piece(void **state)
{
    fixture_t *f = *state;
    static store_change_t changes[CONTROLLER_SWEEP_MAX];
    for (int i = 0; i < CONTROLLER_SWEEP_MAX; i++)
        changes[i] = (store_change_t){.preview = fixture_preview("box", (uint16_t)(i + 1))};
    assert_int_equal(store_apply(f->store, changes, CONTROLLER_SWEEP_MAX), STORE_OK);
    assert_false(sweep(f, NOW));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(first_keys, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(daily_keys, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(keys_of_a_clock_that_jumps, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(unreadable_keys, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(expiry, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(pieces, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(one_piece, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
