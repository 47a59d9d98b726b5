/* Blocks and cookie keys in the store. */
#include <sys/wait.h>

#include "store_fixture.h"

static bool collect(const store_block_t *block, void *arg)
{
    char *text = arg;
    size_t n = strlen(text);
    (void)snprintf(text + n, 512 - n, "%d:%s@%d ", (int)block->kind, block->text, (int)block->created_at);
    return true;
}

static void assert_blocks(store_t *store, const char *expected)
{
    char text[512] = "";
    assert_int_equal(store_each_block(store, collect, text), STORE_OK);
    assert_string_equal(text, expected);
}

static store_result_t put(store_t *store, store_block_kind_t kind, const char *text, uint64_t at)
{
    store_block_t block = {.kind = kind, .created_at = at};
    (void)snprintf(block.text, sizeof(block.text), "%s", text);
    return store_put_block(store, &block);
}

static void test_blocks(void **state)
{
    fixture_t *f = *state;
    assert_blocks(f->store, "");
    assert_int_equal(put(f->store, BLOCK_BOX, "my-box", 1), STORE_OK);
    assert_int_equal(put(f->store, BLOCK_PREVIEW, "my-box-3000", 2), STORE_OK);
    assert_int_equal(put(f->store, BLOCK_CIDR, "2001:db8::/32", 3), STORE_OK);
    assert_int_equal(put(f->store, BLOCK_BOX, "my-box", 4), STORE_OK); /* replaced */
    assert_blocks(f->store, "2:2001:db8::/32@3 0:my-box@4 1:my-box-3000@2 ");
    assert_int_equal(store_delete_block(f->store, BLOCK_BOX, STR("my-box")), STORE_OK);
    assert_int_equal(store_delete_block(f->store, BLOCK_BOX, STR("my-box")), STORE_NOT_FOUND);
    assert_int_equal(store_delete_block(f->store, BLOCK_PREVIEW, STR("my-box-3001")), STORE_NOT_FOUND);
    assert_blocks(f->store, "2:2001:db8::/32@3 1:my-box-3000@2 ");
}

static void test_what_is_no_block_is_refused(void **state)
{
    fixture_t *f = *state;
    assert_int_equal(put(f->store, BLOCK_BOX, "My-Box", 1), STORE_FAILED);
    assert_int_equal(put(f->store, BLOCK_BOX, "@cookie-keys", 1), STORE_FAILED);
    assert_int_equal(put(f->store, BLOCK_PREVIEW, "my-box", 1), STORE_FAILED);
    assert_int_equal(put(f->store, BLOCK_PREVIEW, "a-0", 1), STORE_FAILED);
    assert_int_equal(put(f->store, BLOCK_PREVIEW, "a-65536", 1), STORE_FAILED);
    assert_int_equal(put(f->store, BLOCK_PREVIEW, "a-03000", 1), STORE_FAILED);
    assert_int_equal(put(f->store, BLOCK_CIDR, "my-box", 1), STORE_FAILED);
    assert_int_equal(put(f->store, BLOCK_CIDR, "", 1), STORE_FAILED);
    assert_blocks(f->store, "");
}

static void test_blocks_are_bounded(void **state)
{
    fixture_t *f = *state;
    char name[32];
    store_cookie_keys_t keys = {.rotated_at = 1}; /* they are no block */
    for (int i = 0; i < STORE_BLOCKS_MAX; i++) {
        if (i == STORE_BLOCKS_MAX / 2)
            assert_int_equal(store_put_cookie_keys(f->store, &keys), STORE_OK);
        (void)snprintf(name, sizeof(name), "box%d", i);
        assert_int_equal(put(f->store, BLOCK_BOX, name, 1), STORE_OK);
    }
    assert_int_equal(put(f->store, BLOCK_BOX, "one-more", 1), STORE_TOO_MANY);
    assert_int_equal(put(f->store, BLOCK_BOX, name, 2), STORE_OK); /* only replaced */
    assert_int_equal(store_delete_block(f->store, BLOCK_BOX, STR("box0")), STORE_OK);
    assert_int_equal(put(f->store, BLOCK_BOX, "one-more", 1), STORE_OK);
    assert_int_equal(put(f->store, BLOCK_BOX, "two-more", 1), STORE_TOO_MANY);
}

static void test_version(void **state)
{
    fixture_t *f = *state;
    uint64_t first = store_rules_version(f->store);
    store_preview_t preview = fixture_preview("a", 1);
    assert_int_equal(store_put_preview(f->store, &preview), STORE_OK);
    assert_int_equal(store_delete_block(f->store, BLOCK_BOX, STR("a")), STORE_NOT_FOUND);
    assert_true(store_rules_version(f->store) == first);
    assert_int_equal(put(f->store, BLOCK_BOX, "a", 1), STORE_OK);
    uint64_t second = store_rules_version(f->store);
    assert_true(second != first);
    assert_int_equal(store_delete_block(f->store, BLOCK_BOX, STR("a")), STORE_OK);
    assert_true(store_rules_version(f->store) != second);
}

static void test_cookie_keys(void **state)
{
    fixture_t *f = *state;
    store_cookie_keys_t keys = {.current = {1, 2}, .previous = {3}, .rotated_at = 99}, got;
    assert_int_equal(store_get_cookie_keys(f->store, &got), STORE_NOT_FOUND);
    assert_int_equal(store_put_cookie_keys(f->store, &keys), STORE_OK);
    store_close(&f->store);
    fixture_open(f, FIXTURE_MAP_BYTES);
    assert_int_equal(store_get_cookie_keys(f->store, &got), STORE_OK);
    assert_memory_equal(&got, &keys, sizeof(keys));
    assert_blocks(f->store, "");
}

/* They are no block: the list of blocks can be read without them, and new ones replace them. */
static void test_damaged_cookie_keys(void **state)
{
    fixture_t *f = *state;
    store_cookie_keys_t keys = {.current = {1, 2}, .previous = {3}, .rotated_at = 99}, got;
    store_block_t block = {.kind = BLOCK_BOX, .text = "box"};
    assert_int_equal(store_put_cookie_keys(f->store, &keys), STORE_OK);
    assert_int_equal(store_put_block(f->store, &block), STORE_OK);
    fixture_flip(f, "rules", STR("@cookie-keys\1"));
    assert_int_equal(store_get_cookie_keys(f->store, &got), STORE_FAILED);
    assert_true(store_bad_record(f->store));
    assert_blocks(f->store, "0:box@0 ");
    assert_int_equal(store_put_cookie_keys(f->store, &keys), STORE_OK);
    assert_int_equal(store_get_cookie_keys(f->store, &got), STORE_OK);
    assert_memory_equal(&got, &keys, sizeof(keys));
}

/* ---- the version ---- */

#define COMMITS 200

static bool count_block(const store_block_t *block, void *arg)
{
    (void)block;
    ++*(uint64_t *)arg;
    return true;
}

/* Another process reads during commits: a list read after a version contains everything up to that version.
 * Otherwise a change would be missed until the next one. */
static int read_along(const fixture_t *f, int go, int ready)
{
    char error[256], byte;
    if (read(go, &byte, 1) != 1)
        return 4;
    store_t *store = store_open(f->durable, f->scratch, FIXTURE_MAP_BYTES, false, error, sizeof(error));
    if (store == NULL)
        return 1;
    uint64_t first = store_rules_version(store), count = 0;
    if (write(ready, "", 1) != 1)
        return 5;
    while (count < COMMITS) {
        uint64_t version = store_rules_version(store);
        count = 0;
        if (store_each_block(store, count_block, &count) != STORE_OK)
            return 2;
        if (count < version - first)
            return 3;
    }
    store_close(&store);
    return 0;
}

static void a_list_is_not_older_than_its_version(void **state)
{
    (void)state;
    fixture_t f;
    int go[2], ready[2], status;
    char byte;
    fixture_make_in(&f, "/var/tmp"); /* on a disk, whose syncs take time */
    fixture_open(&f, FIXTURE_MAP_BYTES);
    assert_int_equal(pipe(go), 0);
    assert_int_equal(pipe(ready), 0);
    store_close(&f.store); /* none of it crosses the fork */
    pid_t reader = fork();
    if (reader == 0)
        _exit(read_along(&f, go[0], ready[1]));
    fixture_open(&f, FIXTURE_MAP_BYTES);
    assert_int_equal(write(go[1], "", 1), 1);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    for (int i = 0; i < COMMITS; i++) {
        store_block_t block = {.kind = BLOCK_BOX};
        snprintf(block.text, sizeof(block.text), "box-%d", i);
        assert_int_equal(store_put_block(f.store, &block), STORE_OK);
    }
    assert_int_equal(waitpid(reader, &status, 0), reader);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    for (int i = 0; i < 2; i++) {
        close(go[i]);
        close(ready[i]);
    }
    fixture_remove(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_blocks, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_block_is_refused, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_blocks_are_bounded, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_version, fixture_setup, fixture_teardown),
        cmocka_unit_test(a_list_is_not_older_than_its_version),
        cmocka_unit_test_setup_teardown(test_cookie_keys, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_damaged_cookie_keys, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
