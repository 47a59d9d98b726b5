/* Damage that hides records from LMDB, which trusts its pages: no record counts as absent. */
#include <errno.h>
#include <fcntl.h>

#include "store_fixture.h"
#include "store_made.h"

#define COUNT 300
/* Of the header of a page: its number, flags, and the bounds of its records. */
#define HEADER_BYTES 16

static void name_of(int i, char id[32])
{
    snprintf(id, 32, "box-%d", i);
}

static void fill(fixture_t *f)
{
    char id[32];
    for (int i = 0; i < COUNT; i++) {
        name_of(i, id);
        store_preview_t preview = fixture_preview(id, 80);
        assert_int_equal(store_put_preview(f->store, &preview), STORE_OK);
    }
}

static int open_data(const fixture_t *f)
{
    char path[192];
    snprintf(path, sizeof(path), "%s/data.mdb", f->durable);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void write_byte(int fd, off_t at, uint8_t byte)
{
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

/* Returns the number of previews that cannot be read. */
static size_t look_at_all(fixture_t *f, const char *what)
{
    size_t failed = 0;
    for (int i = 0; i < COUNT; i++) {
        char id[32];
        store_preview_t preview;
        name_of(i, id);
        store_result_t result = store_get_preview(f->store, str_from(id), 80, &preview);
        if (result != STORE_OK && result != STORE_FAILED)
            fail_msg("%s: %s is absent", what, id);
        failed += result == STORE_FAILED;
    }
    return failed;
}

static void a_flipped_bit_hides_nothing(void **state)
{
    fixture_t *f = *state;
    size_t failed = 0, lists = 0, pages = 0;
    fill(f);
    store_close(&f->store); /* cmocka has its own handlers of faults since the setup */
    fixture_open(f, FIXTURE_MAP_BYTES);
    int fd = open_data(f);
    off_t end = lseek(fd, 0, SEEK_END);
    for (off_t page = 8192; page < end; page += 4096, pages++)
        for (off_t at = page; at < page + HEADER_BYTES; at += at == page ? 10 : 1)
            for (unsigned bit = 0; bit < 8; bit++) {
                char what[64];
                uint8_t byte;
                size_t listed = 0;
                assert_int_equal(pread(fd, &byte, 1, at), 1);
                snprintf(what, sizeof(what), "byte %ld of page %ld, bit %u", (long)(at - page),
                         (long)(page / 4096), bit);
                write_byte(fd, at, (uint8_t)(byte ^ 1u << bit));
                failed += look_at_all(f, what);
                store_result_t result = store_each_preview(f->store, fixture_count, &listed);
                if (result != STORE_FAILED && listed != COUNT)
                    fail_msg("%s: %zu are listed", what, listed);
                lists += result == STORE_FAILED;
                write_byte(fd, at, byte);
            }
    close(fd);
    print_message("%zu pages: %zu reads and %zu lists failed\n", pages, failed, lists);
    assert_true(failed > 100 && lists > 10);
    assert_int_equal(look_at_all(f, "whole"), 0);
    assert_int_equal(fixture_listed(f->store), COUNT);
}

static void what_is_absent(void **state)
{
    fixture_t *f = *state;
    store_preview_t preview;
    assert_int_equal(store_get_preview(f->store, STR("none"), 80, &preview), STORE_NOT_FOUND);
    for (int i = 0; i < 2; i++) { /* one page, several, none */
        fill(f);
        for (int n = 0; n < 1000; n++) {
            char id[32];
            snprintf(id, sizeof(id), "none-%d", n);
            assert_int_equal(store_get_preview(f->store, str_from(id), 80, &preview), STORE_NOT_FOUND);
        }
        for (int n = 0; n < COUNT; n++) {
            char id[32];
            name_of(n, id);
            assert_int_equal(store_delete_preview(f->store, str_from(id), 80), STORE_OK);
            assert_int_equal(store_get_preview(f->store, str_from(id), 80, &preview), STORE_NOT_FOUND);
        }
    }
    assert_int_equal(store_damaged(f->store), 0);
}

/* Another process has met the damage of one part. */
static void known_damage(void **state)
{
    fixture_t *f = *state;
    _Atomic uint64_t known = 0;
    store_preview_t preview = fixture_preview("box", 80);
    store_block_t block = {.kind = BLOCK_BOX, .text = "other"};
    size_t count = 0;
    store_set_known_damage(f->store, &known);
    assert_int_equal(store_put_preview(f->store, &preview), STORE_OK);
    assert_int_equal(store_get_preview(f->store, STR("none"), 80, &preview), STORE_NOT_FOUND);
    assert_false(store_in_trouble(f->store));
    known = STORE_PART(STORE_PART_PREVIEWS);
    assert_true(store_in_trouble(f->store));
    assert_int_equal(store_get_preview(f->store, STR("box"), 80, &preview), STORE_OK);
    assert_int_equal(store_get_preview(f->store, STR("none"), 80, &preview), STORE_FAILED);
    assert_int_equal(store_each_preview(f->store, fixture_count, &count), STORE_FAILED);
    store_change_t change = {.preview = fixture_preview("box", 81)};
    assert_int_equal(store_apply(f->store, &change, 1), STORE_FAILED);
    assert_int_equal(change.disk_error, EUCLEAN);
    assert_non_null(strstr(store_error(f->store), "boxedge store restore"));
    assert_int_equal(store_delete_preview(f->store, STR("box"), 80), STORE_FAILED);
    /* Other parts are whole. */
    assert_int_equal(store_put_block(f->store, &block), STORE_OK);
    assert_int_equal(store_is_being_deleted(f->store, STR("box")), STORE_NOT_FOUND);
    known = STORE_PARTS_ALL;
    assert_int_equal(store_is_being_deleted(f->store, STR("box")), STORE_FAILED);
    assert_int_equal(store_each_block(f->store, NULL, NULL), STORE_FAILED);
    assert_int_equal(store_keys_version(f->store), UINT64_MAX);
}

/* A writer continues without a part that it cannot open, until it can. */
static void a_patient_writer(void **state)
{
    fixture_t *f = *state;
    char kept[8192], zeros[8192] = "", error[512], path[128];
    uint64_t closed;
    store_preview_t preview = fixture_preview("box", 80);
    store_block_t block = {.kind = BLOCK_BOX, .text = "other"};
    assert_int_equal(store_put_preview(f->store, &preview), STORE_OK);
    store_close(&f->store);
    assert_true(store_made_note(f->durable));
    int fd = open_data(f);
    assert_int_equal(pread(fd, kept, sizeof(kept), 0), sizeof(kept));
    assert_int_equal(pwrite(fd, zeros, sizeof(zeros), 0), sizeof(zeros));
    f->store = store_open_patiently(f->durable, f->scratch, FIXTURE_MAP_BYTES, true, 0, &closed, error,
                                    sizeof(error));
    assert_non_null(f->store);
    assert_int_equal(closed, STORE_PART(STORE_PART_PREVIEWS));
    assert_int_equal(store_damaged(f->store), closed);
    assert_non_null(strstr(error, f->durable));
    assert_int_equal(store_get_preview(f->store, STR("box"), 80, &preview), STORE_FAILED);
    assert_int_equal(store_put_preview(f->store, &preview), STORE_FAILED);
    assert_int_equal(store_each_preview(f->store, fixture_count, &(size_t){0}), STORE_FAILED);
    assert_int_equal(store_put_block(f->store, &block), STORE_OK);
    assert_true(store_whole(f->store) && store_in_trouble(f->store));
    assert_int_equal(store_reap_readers(f->store), 0);
    assert_false(store_may_open(f->store));
    assert_int_equal(pwrite(fd, kept, sizeof(kept), 0), sizeof(kept));
    close(fd);
    assert_true(store_may_open(f->store));
    _Atomic uint64_t known = closed;
    store_set_known_damage(f->store, &known);
    assert_false(store_may_open(f->store));
    store_close(&f->store);
    /* Known damage stays closed to a writer. */
    f->store = store_open_patiently(f->durable, f->scratch, FIXTURE_MAP_BYTES, true, known, &closed, error,
                                    sizeof(error));
    assert_int_equal(closed, known);
    store_close(&f->store);
    snprintf(path, sizeof(path), "%s.made", f->durable);
    assert_int_equal(unlink(path), 0);
    fixture_open(f, FIXTURE_MAP_BYTES);
    assert_int_equal(store_get_preview(f->store, STR("box"), 80, &preview), STORE_OK);
}

/* A reader tells damage from a passing fault. */
static void a_patient_reader(void **state)
{
    fixture_t *f = *state;
    char path[160], aside[170], kept[8192], zeros[8192] = "", error[512];
    uint64_t closed;
    store_preview_t preview = fixture_preview("box", 80);
    assert_int_equal(store_put_preview(f->store, &preview), STORE_OK);
    store_close(&f->store);
    assert_true(store_made_note(f->durable));
    snprintf(path, sizeof(path), "%s/keys/lock.mdb", f->durable);
    snprintf(aside, sizeof(aside), "%s.aside", path);
    for (int damaged = 0; damaged < 2; damaged++) {
        if (damaged) {
            snprintf(path, sizeof(path), "%s/keys/data.mdb", f->durable);
            int fd = open(path, O_RDWR | O_CLOEXEC);
            assert_int_equal(pread(fd, kept, sizeof(kept), 0), sizeof(kept));
            assert_int_equal(pwrite(fd, zeros, sizeof(zeros), 0), sizeof(zeros));
            close(fd);
        } else {
            assert_int_equal(rename(path, aside), 0);
            assert_int_equal(mkdir(path, 0700), 0); /* no file that can be opened */
        }
        f->store = store_open_patiently(f->durable, f->scratch, FIXTURE_MAP_BYTES, false, 0, &closed, error,
                                        sizeof(error));
        assert_int_equal(closed, STORE_PART(STORE_PART_KEYS));
        assert_int_equal(store_damaged(f->store), damaged ? closed : 0);
        assert_int_equal(store_get_preview(f->store, STR("box"), 80, &preview), STORE_OK);
        store_close(&f->store);
        if (!damaged) {
            assert_int_equal(rmdir(path), 0);
            assert_int_equal(rename(aside, path), 0);
        }
    }
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, kept, sizeof(kept), 0), sizeof(kept));
    close(fd);
    snprintf(path, sizeof(path), "%s.made", f->durable);
    assert_int_equal(unlink(path), 0);
    fixture_open(f, FIXTURE_MAP_BYTES);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {TEST(a_flipped_bit_hides_nothing), TEST(what_is_absent),
                                       TEST(known_damage), TEST(a_patient_writer), TEST(a_patient_reader)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
