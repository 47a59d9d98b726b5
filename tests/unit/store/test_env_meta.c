/* Meta pages of a store, with each bit of them flipped. */
#include <fcntl.h>

#include "env_meta.h"
#include "store_fixture.h"

#define AT_DBS 40
#define AT_TXN 144

/* Offsets in a meta page of the fields that decide where reading begins, and their lengths. */
static const struct field {
    size_t at;
    size_t len;
} fields[] = {
    {0, 8},      /* number of the page */
    {10, 2},     /* its flags */
    {16, 8},     /* magic and version */
    {40, 4},     /* size of pages */
    {AT_TXN, 8}, /* transaction */
};

static int open_data(const fixture_t *f)
{
    char path[192];
    snprintf(path, sizeof(path), "%s/data.mdb", f->durable);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void flip(int fd, off_t at, unsigned bit)
{
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= (uint8_t)(1u << bit);
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

static void put_some(fixture_t *f, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        char id[32];
        snprintf(id, sizeof(id), "box-%zu", i);
        store_preview_t preview = fixture_preview(id, 80);
        assert_int_equal(store_put_preview(f->store, &preview), STORE_OK);
    }
}

static bool opens(fixture_t *f, char error[512])
{
    store_t *store = store_open(f->durable, f->scratch, FIXTURE_MAP_BYTES, false, error, 512);
    bool ok = store != NULL;
    store_close(&store);
    return ok;
}

/* The flip produced a number that could be the next commit's. */
static bool looks_like_another_commit(int fd, uint64_t last)
{
    uint64_t even, odd;
    assert_int_equal(pread(fd, &even, sizeof(even), AT_TXN), sizeof(even));
    assert_int_equal(pread(fd, &odd, sizeof(odd), 4096 + AT_TXN), sizeof(odd));
    return even % 2 == 0 && odd % 2 == 1 && even != 0 && (even + 1 == odd || odd + 1 == even) &&
           (even > odd ? even : odd) != last;
}

static void test_each_bit_of_both_pages(void **state)
{
    fixture_t *f = *state;
    char error[512] = "";
    for (size_t commits = 0; commits < 3; commits++) { /* each page is in force once */
        put_some(f, 1);
        store_close(&f->store);
        int fd = open_data(f);
        env_meta_t meta;
        assert_true(env_meta_read(fd, true, 0, &meta, error, sizeof(error)));
        for (off_t page = 0; page < 2; page++)
            for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
                for (size_t bit = 0; bit < fields[i].len * 8; bit++) {
                    off_t at = page * 4096 + (off_t)(fields[i].at + bit / 8);
                    flip(fd, at, bit % 8);
                    if (looks_like_another_commit(fd, meta.txn))
                        assert_int_equal(fields[i].at, AT_TXN);
                    else if (opens(f, error))
                        fail_msg("a flip at %lld, bit %zu, is not seen", (long long)at, bit % 8);
                    else
                        assert_non_null(strstr(error, "data.mdb is "));
                    flip(fd, at, bit % 8);
                }
        close(fd);
        assert_true(opens(f, error));
        fixture_open(f, FIXTURE_MAP_BYTES);
    }
}

/* Copies of a moment between two commits belong to the earlier one. */
static void test_the_page_of_a_transaction(void **state)
{
    fixture_t *f = *state;
    char error[512];
    env_meta_t meta, other;
    put_some(f, 3);
    int fd = open_data(f);
    assert_true(env_meta_read(fd, true, 0, &meta, error, sizeof(error)));
    assert_int_equal(meta.page_bytes, 4096);
    assert_true(env_meta_read(fd, true, meta.txn - 1, &other, error, sizeof(error)));
    assert_int_equal(other.txn, meta.txn - 1);
    assert_false(env_meta_read(fd, true, meta.txn + 1, &other, error, sizeof(error)));
    close(fd);
}

/* After a commit that fails, LMDB restores the numbers of the commit and of the last page in the page that it
 * was writing. The roots stay those of the failed commit, maybe behind that last page. */
static void test_what_a_failed_commit_leaves(void **state)
{
    fixture_t *f = *state;
    char error[512] = "";
    env_meta_t meta;
    for (size_t commits = 0; commits < 2; commits++) {
        put_some(f, 1);
        store_close(&f->store);
        int fd = open_data(f);
        assert_true(env_meta_read(fd, true, 0, &meta, error, sizeof(error)));
        off_t other = meta.txn % 2 == 0 ? 4096 : 0, current = 4096 - other;
        uint64_t before, beyond = meta.last_page + 7;
        for (size_t db = 0; db < 2; db++) {
            off_t root = (off_t)(AT_DBS + db * ENV_DB_BYTES + 40);
            assert_int_equal(pread(fd, &before, 8, other + root), 8);
            assert_int_equal(pwrite(fd, &beyond, 8, other + root), 8);
            if (!opens(f, error))
                fail_msg("%s", error);
            assert_int_equal(pwrite(fd, &before, 8, other + root), 8);
            /* Errors in the roots in force are not forgiven. */
            assert_int_equal(pread(fd, &before, 8, current + root), 8);
            assert_int_equal(pwrite(fd, &beyond, 8, current + root), 8);
            assert_false(opens(f, error));
            assert_non_null(strstr(error, "points to pages that do not exist"));
            assert_int_equal(pwrite(fd, &before, 8, current + root), 8);
        }
        close(fd);
        fixture_open(f, FIXTURE_MAP_BYTES);
    }
}

static void test_files_that_others_judge(void **state)
{
    fixture_t *f = *state;
    char error[512];
    env_meta_t meta;
    assert_true(env_meta_check("/nowhere/at/all", true, &meta, error, sizeof(error)));
    assert_int_equal(meta.page_bytes, 0);
    store_close(&f->store);
    int fd = open_data(f);
    assert_int_equal(ftruncate(fd, 100), 0);
    assert_true(env_meta_check(f->durable, true, &meta, error, sizeof(error)));
    assert_int_equal(meta.page_bytes, 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_bit_of_both_pages, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_the_page_of_a_transaction, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_what_a_failed_commit_leaves, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_files_that_others_judge, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
