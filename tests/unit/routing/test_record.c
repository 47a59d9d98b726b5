/* Records: what is written is read, and everything else is refused. */
#include "record.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const store_preview_t preview = {
    .version = 0x0102030405060708u, .created_at = 0xfffffffffffffffeu, .host_header = HOST_HEADER_LOCALHOST};
static const store_box_t box = {.state = BOX_GONE,
                                .generation = 0x1122334455667788u,
                                .address = {{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}}},
                                .fixed_port = 0xfffe};

static void test_preview(void **state)
{
    (void)state;
    char record[RECORD_PREVIEW_BYTES];
    record_encode_preview(&preview, record);
    store_preview_t got;
    assert_true(record_decode_preview(str_make(record, sizeof(record)), STR("a-b"), 65535, &got));
    assert_string_equal(got.id, "a-b");
    assert_int_equal(got.port, 65535);
    assert_true(got.version == preview.version && got.created_at == preview.created_at);
    assert_int_equal(got.host_header, HOST_HEADER_LOCALHOST);
    /* The layout is a promise to later edges. */
    assert_memory_equal(record, "\1\x08\7\6\5\4\3\2\1\xfe\xff\xff\xff\xff\xff\xff\xff\1", sizeof(record));
}

static void test_box(void **state)
{
    (void)state;
    char record[RECORD_BOX_BYTES], id[BOX_ID_MAX];
    memset(id, 'x', sizeof(id));
    record_encode_box(&box, record);
    store_box_t got;
    assert_true(record_decode_box(str_make(record, sizeof(record)), str_make(id, sizeof(id)), &got));
    assert_memory_equal(got.id, id, sizeof(id));
    assert_int_equal(got.id[BOX_ID_MAX], '\0');
    assert_int_equal(got.state, BOX_GONE);
    assert_true(got.generation == box.generation);
    assert_memory_equal(&got.address, &box.address, 16);
    assert_int_equal(got.fixed_port, 0xfffe);
    assert_memory_equal(
        record,
        "\1\3\x88\x77\x66\x55\x44\x33\x22\x11\1\2\3\4\5\6\7\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"
        "\xfe\xff",
        sizeof(record));
}

static void test_other_versions_are_refused(void **state)
{
    (void)state;
    char record[RECORD_BOX_BYTES];
    store_preview_t p;
    store_box_t b;
    for (unsigned version = 0; version < 256; version++) {
        record_encode_preview(&preview, record);
        record[0] = (char)version;
        assert_int_equal(record_decode_preview(str_make(record, RECORD_PREVIEW_BYTES), STR("a"), 1, &p),
                         version == 1);
        record_encode_box(&box, record);
        record[0] = (char)version;
        assert_int_equal(record_decode_box(str_make(record, RECORD_BOX_BYTES), STR("a"), &b), version == 1);
    }
}

static void test_other_lengths_are_refused(void **state)
{
    (void)state;
    store_preview_t p;
    store_box_t b;
    for (size_t n = 0; n < 64; n++) {
        char *record = calloc(1, n + RECORD_BOX_BYTES);
        assert_non_null(record);
        record_encode_preview(&preview, record);
        assert_int_equal(record_decode_preview(str_make(record, n), STR("a"), 1, &p),
                         n == RECORD_PREVIEW_BYTES);
        record_encode_box(&box, record);
        assert_int_equal(record_decode_box(str_make(record, n), STR("a"), &b), n == RECORD_BOX_BYTES);
        free(record);
    }
}

static void test_values_out_of_range_are_refused(void **state)
{
    (void)state;
    char record[RECORD_BOX_BYTES];
    store_preview_t p;
    store_box_t b;
    for (unsigned value = 0; value < 256; value++) {
        record_encode_preview(&preview, record);
        record[17] = (char)value;
        assert_int_equal(record_decode_preview(str_make(record, RECORD_PREVIEW_BYTES), STR("a"), 1, &p),
                         value <= HOST_HEADER_LOCALHOST);
        record_encode_box(&box, record);
        record[1] = (char)value;
        assert_int_equal(record_decode_box(str_make(record, RECORD_BOX_BYTES), STR("a"), &b),
                         value >= BOX_RUNNING && value <= BOX_GONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_preview),
        cmocka_unit_test(test_box),
        cmocka_unit_test(test_other_versions_are_refused),
        cmocka_unit_test(test_other_lengths_are_refused),
        cmocka_unit_test(test_values_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
