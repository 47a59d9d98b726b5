/* The complete check of a store: a written store is sound, and a flipped bit is found or harmless. */
#include "store_check.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>

#include "store_fixture.h"
#include "store_made.h"

#define FLIPS 1500

typedef struct report {
    store_check_sum_t sum;
    bool tree;
    char first[600];
} report_t;

static void take(store_check_kind_t kind, const char *sentence, void *arg)
{
    report_t *report = arg;
    report->tree |= kind == STORE_CHECK_TREE;
    if (report->first[0] == '\0')
        snprintf(report->first, sizeof(report->first), "%s", sentence);
}

static void check_as(const fixture_t *f, bool in_use, report_t *report)
{
    const store_check_calls_t calls = {.finding = take, .arg = report};
    *report = (report_t){.tree = false};
    store_check(f->durable, f->scratch, in_use, &calls, &report->sum);
}

static void check(const fixture_t *f, report_t *report)
{
    check_as(f, false, report);
}

/* Checks in a separate process, while the store is open here. Returns the number of findings. */
static uint64_t check_beside(const fixture_t *f)
{
    int ends[2];
    report_t report;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        check_as(f, true, &report);
        if (report.first[0] != '\0')
            fprintf(stderr, "%s\n", report.first);
        _exit(write(ends[1], &report.sum.findings, sizeof(report.sum.findings)) < 0);
    }
    close(ends[1]);
    uint64_t findings = 0;
    int status;
    assert_int_equal(read(ends[0], &findings, sizeof(findings)), sizeof(findings));
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    return findings;
}

static void name(char id[32], size_t i)
{
    snprintf(id, 32, "box-%zu", i);
}

static void put(fixture_t *f, size_t i)
{
    char id[32];
    name(id, i);
    store_preview_t preview = fixture_preview(id, (uint16_t)(80 + i % 7));
    preview.bearer = i % 2 != 0;
    snprintf(preview.label, sizeof(preview.label), "label %zu of many", i);
    if (i % 5 == 0) {
        snprintf(preview.alias, sizeof(preview.alias), "alias-%zu", i);
        assert_int_equal(store_claim_alias(f->store, str_from(preview.alias), str_from(id)), STORE_OK);
    }
    assert_int_equal(store_put_preview(f->store, &preview), STORE_OK);
}

static void put_others(fixture_t *f)
{
    for (size_t i = 0; i < 40; i++) {
        char id[32];
        name(id, i);
        store_box_t box = fixture_box(id, BOX_RUNNING);
        assert_int_equal(store_put_box(f->store, &box), STORE_OK);
        store_block_t block = {.kind = BLOCK_BOX, .created_at = i};
        snprintf(block.text, sizeof(block.text), "bad-%zu", i);
        assert_int_equal(store_put_block(f->store, &block), STORE_OK);
        store_key_t key = {.created_at = 1, .plan = "plan"};
        snprintf(key.name, sizeof(key.name), "key-%zu", i);
        memset(key.sha256, (int)i, sizeof(key.sha256));
        assert_int_equal(store_put_key(f->store, &key), STORE_OK);
        store_deletion_t deletion = {.call = i};
        snprintf(deletion.id, sizeof(deletion.id), "gone-%zu", i);
        assert_int_equal(store_put_deletions(f->store, &deletion, 1), STORE_OK);
    }
    store_cookie_keys_t keys = {.rotated_at = 5};
    assert_int_equal(store_put_cookie_keys(f->store, &keys), STORE_OK);
}

/* Trees of several levels, lists of free pages, and values longer than a page. */
static void fill(fixture_t *f, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put(f, i);
    put_others(f);
}

static void test_whole_stores(void **state)
{
    fixture_t *f = *state;
    report_t report;
    assert_int_equal(check_beside(f), 0);
    unsigned seed = 7;
    for (size_t round = 0; round < 12; round++) {
        fill(f, 40 * round);
        for (size_t i = 0; i < 30 * round; i++) {
            char id[32];
            size_t which = (size_t)rand_r(&seed) % (40 * round);
            name(id, which);
            (void)!store_delete_preview(f->store, str_from(id), (uint16_t)(80 + which % 7));
            if (i % 50 == 0)
                assert_int_equal(check_beside(f), 0);
        }
        assert_int_equal(check_beside(f), 0);
        store_close(&f->store);
        check(f, &report);
        if (report.sum.findings != 0)
            fail_msg("%s", report.first);
        assert_int_equal(report.sum.environments, 7);
        assert_int_equal(report.sum.format, 1);
        fixture_open(f, FIXTURE_MAP_BYTES);
    }
}

/* A commit that frees thousands of pages has lists of them that are longer than a page. */
static void test_long_lists_of_free_pages(void **state)
{
    fixture_t *f = *state;
    static store_change_t changes[STORE_APPLY_MAX];
    for (size_t i = 0; i < STORE_APPLY_MAX; i++) {
        char id[32];
        name(id, i);
        changes[i] = (store_change_t){.preview = fixture_preview(id, 80)};
    }
    assert_int_equal(store_apply(f->store, changes, STORE_APPLY_MAX), STORE_OK);
    assert_int_equal(check_beside(f), 0);
    for (size_t i = 0; i < STORE_APPLY_MAX; i++)
        changes[i].remove = true;
    assert_int_equal(store_apply(f->store, changes, STORE_APPLY_MAX), STORE_OK);
    assert_int_equal(check_beside(f), 0);
    put(f, 1);
    assert_int_equal(check_beside(f), 0);
}

/* ---- flips ---- */

/* A digest of all answers of a store, computed in a separate process: a damaged store may kill its reader. */
static uint64_t digest(uint64_t sum, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    for (size_t i = 0; i < len; i++)
        sum = (sum ^ p[i]) * 0x100000001b3u;
    return sum;
}

static bool add_preview(const store_preview_t *preview, void *sum)
{
    *(uint64_t *)sum = digest(*(uint64_t *)sum, preview, sizeof(*preview));
    return true;
}

static bool add_block(const store_block_t *block, void *sum)
{
    *(uint64_t *)sum = digest(*(uint64_t *)sum, block, sizeof(*block));
    return true;
}

static bool add_key(const store_key_t *key, void *sum)
{
    *(uint64_t *)sum = digest(*(uint64_t *)sum, key, sizeof(*key));
    return true;
}

static bool add_deletion(const store_deletion_t *deletion, void *sum)
{
    *(uint64_t *)sum = digest(*(uint64_t *)sum, deletion, sizeof(*deletion));
    return true;
}

static bool add_box(const store_box_t *box, void *sum)
{
    *(uint64_t *)sum = digest(*(uint64_t *)sum, box, sizeof(*box));
    return true;
}

static uint64_t answers(store_t *store, size_t previews)
{
    uint64_t sum = 1;
    char id[32];
    assert_int_equal(store_each_preview(store, add_preview, &sum), STORE_OK);
    assert_int_equal(store_each_block(store, add_block, &sum), STORE_OK);
    assert_int_equal(store_each_key(store, STR(""), add_key, &sum), STORE_OK);
    assert_int_equal(store_each_deletion(store, STR(""), add_deletion, &sum), STORE_OK);
    assert_int_equal(store_each_box(store, add_box, &sum), STORE_OK);
    for (size_t i = 0; i < previews; i++) {
        store_preview_t preview;
        name(id, i);
        store_result_t result = store_get_preview(store, str_from(id), (uint16_t)(80 + i % 7), &preview);
        sum = digest(sum, &result, sizeof(result));
        snprintf(id, sizeof(id), "alias-%zu", i);
        result = store_find_preview(store, str_from(id), (uint16_t)(80 + i % 7), &preview);
        sum = digest(sum, &result, sizeof(result));
    }
    return sum;
}

static void flip(const char *path, off_t at, unsigned bit)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    uint8_t byte;
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= (uint8_t)(1u << bit);
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* Whether the answers are as before, also after a change of the store. In a child: LMDB may not open one
 * environment twice in a process, and the change must not stay. */
static void expect_harmless(const fixture_t *f, const char *path, off_t at, unsigned bit, uint64_t before)
{
    fixture_t other = *f;
    fixture_open(&other, FIXTURE_MAP_BYTES);
    if (answers(other.store, 120) != before)
        fail_msg("bit %u at %lld of %s changes an answer, and the check does not see it", bit, (long long)at,
                 path);
    store_close(&other.store);
}

static void flip_some(fixture_t *f, const char *dir, size_t count, unsigned seed, uint64_t before,
                      size_t *seen)
{
    char path[192];
    struct stat file;
    report_t report;
    snprintf(path, sizeof(path), "%s/data.mdb", dir);
    assert_int_equal(stat(path, &file), 0);
    for (size_t i = 0; i < count; i++) {
        off_t at = (off_t)((uint64_t)rand_r(&seed) % (uint64_t)file.st_size);
        unsigned bit = (unsigned)rand_r(&seed) % 8;
        flip(path, at, bit);
        check(f, &report);
        if (report.sum.findings == 0)
            expect_harmless(f, path, at, bit, before);
        else
            ++*seen;
        flip(path, at, bit);
    }
}

static void test_flipped_bits(void **state)
{
    fixture_t *f = *state;
    fill(f, 120);
    uint64_t before = answers(f->store, 120);
    store_close(&f->store);
    size_t seen = 0;
    char dir[192];
    for (size_t i = 0; i < STORE_DURABLE_COUNT; i++) {
        assert_true(store_durable_dir(f->durable, store_durable_names[i], dir, sizeof(dir)));
        flip_some(f, dir, i == 0 ? FLIPS / 2 : FLIPS / 10, 11 + (unsigned)i, before, &seen);
    }
    flip_some(f, f->scratch, FLIPS / 10, 29, before, &seen);
    print_message("%zu of %d flips were found, the rest changed no answer\n", seen, FLIPS);
    assert_true(seen > FLIPS / 20);
    fixture_open(f, FIXTURE_MAP_BYTES);
    assert_true(answers(f->store, 120) == before);
}

/* ---- larger damage ---- */

static void write_at(const char *path, off_t at, int fill_byte, size_t len)
{
    static char bytes[65536];
    unsigned seed = 3;
    for (size_t i = 0; i < len; i++)
        bytes[i] = (char)(fill_byte >= 0 ? fill_byte : rand_r(&seed));
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, at), (ssize_t)len);
    close(fd);
}

static char *slurp(const char *path, size_t *len)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    struct stat st;
    assert_int_equal(fstat(fileno(file), &st), 0);
    char *bytes = malloc((size_t)st.st_size);
    assert_non_null(bytes);
    *len = fread(bytes, 1, (size_t)st.st_size, file);
    assert_int_equal(*len, st.st_size);
    fclose(file);
    return bytes;
}

static void restore(const char *path, const char *bytes, size_t len)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

/* Noise and zeros over each page, and a file that ends at each page. A free page may hold anything, and may
 * be missing. */
static void test_pages_of_noise(void **state)
{
    fixture_t *f = *state;
    report_t report;
    char path[192];
    fill(f, 120);
    uint64_t before = answers(f->store, 120);
    store_close(&f->store);
    snprintf(path, sizeof(path), "%s/data.mdb", f->durable);
    size_t len, found = 0;
    char *bytes = slurp(path, &len);
    for (off_t at = 0; at < (off_t)len; at += 4096)
        for (int kind = 0; kind < 3; kind++) {
            if (kind < 2)
                write_at(path, at, kind == 0 ? -1 : 0, 4096);
            else
                assert_int_equal(truncate(path, at), 0);
            check(f, &report);
            if (report.sum.findings == 0)
                expect_harmless(f, path, at, 0, before);
            found += report.sum.findings != 0;
            restore(path, bytes, len);
        }
    free(bytes);
    assert_true(found > 0);
    fixture_open(f, FIXTURE_MAP_BYTES);
    assert_true(answers(f->store, 120) == before);
}

static void test_what_it_says(void **state)
{
    fixture_t *f = *state;
    report_t report;
    char path[192], dir[128];
    fill(f, 10);
    store_close(&f->store);
    assert_true(store_made_note(f->durable));
    snprintf(dir, sizeof(dir), "%s/keys", f->durable);
    snprintf(path, sizeof(path), "%s/data.mdb", dir);
    size_t len;
    char *bytes = slurp(path, &len), *at = memmem(bytes, len, "key-7", 5);
    assert_non_null(at);
    assert_int_equal(unlink(path), 0);
    check(f, &report);
    assert_true(report.tree);
    assert_non_null(strstr(report.first, "/keys: data.mdb is missing, though the store was made"));
    restore(path, bytes, len);
    check(f, &report);
    assert_int_equal(report.sum.findings, 0);
    free(bytes);
    snprintf(path, sizeof(path), "%s.made", f->durable);
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole_stores, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_long_lists_of_free_pages, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_flipped_bits, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_pages_of_noise, fixture_setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_what_it_says, fixture_setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
