/* Records: written ones can be read, and all other bytes are refused. */
#include "record.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const store_preview_t preview = {.version = 0x0102030405060708u,
                                        .created_at = 0xfffffffffffffffeu,
                                        .host_header = HOST_HEADER_LOCALHOST,
                                        .protocol = PREVIEW_H2C,
                                        .background_wakes = true,
                                        .bearer = true,
                                        .bearer_sha256 = {9, 8, 7},
                                        .expires_at = 0x8000000000000001u,
                                        .label = "my app",
                                        .allow_origins = "https://a.example"};
static const store_box_t box = {.state = BOX_GONE,
                                .generation = 0x1122334455667788u,
                                .address = {{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}}},
                                .fixed_port = 0xfffe,
                                .provider = PROVIDER_HTTP,
                                .keep_alive = true,
                                .ephemeral = true,
                                .expires_at = 0x0102030405060708u,
                                .idle_ms = UINT32_MAX,
                                .start_ms = 90000,
                                .pid = 4711,
                                .settles_at_ms = 0x1112131415161718u,
                                .ports = {3000},
                                .port_count = 1,
                                .listening = {[STORE_BOX_PORTS_MAX - 1] = 65535},
                                .listening_count = STORE_BOX_PORTS_MAX};

static void test_preview(void **state)
{
    (void)state;
    char record[RECORD_PREVIEW_MAX];
    size_t n = record_encode_preview(&preview, record);
    store_preview_t got;
    assert_true(record_decode_preview(str_make(record, n), STR("a-b"), 65535, &got));
    assert_string_equal(got.id, "a-b");
    assert_int_equal(got.port, 65535);
    assert_true(got.version == preview.version && got.created_at == preview.created_at);
    assert_int_equal(got.host_header, HOST_HEADER_LOCALHOST);
    assert_true(got.bearer && !got.basic);
    assert_int_equal(got.protocol, PREVIEW_H2C);
    assert_true(got.background_wakes);
    assert_true(got.expires_at == preview.expires_at);
    assert_memory_equal(got.bearer_sha256, preview.bearer_sha256, 32);
    assert_string_equal(got.label, "my app");
    assert_string_equal(got.allow_origins, "https://a.example");
    /* The layout is a promise to later edges. */
    assert_int_equal(n, 94 + 6 + 17);
    assert_memory_equal(record, "\2\x08\7\6\5\4\3\2\1\xfe\xff\xff\xff\xff\xff\xff\xff\1\x0d", 19);
    /* A record for HTTP/1 equals one from before protocols. */
    record[18] = 1;
    assert_true(record_decode_preview(str_make(record, n), STR("a-b"), 65535, &got));
    assert_true(got.bearer && got.protocol == PREVIEW_HTTP1);
    assert_false(got.background_wakes);
    record[18] = 16;
    assert_false(record_decode_preview(str_make(record, n), STR("a-b"), 65535, &got));
}

/* An older edge reads the nearest mode that it knows, and each its own sequence. */
static void test_preview_with_a_later_mode(void **state)
{
    (void)state;
    char record[RECORD_PREVIEW_MAX];
    store_preview_t got, bare = preview;
    bare.host_header = HOST_HEADER_LOCALHOST_BARE;
    size_t n = record_encode_preview(&bare, record);
    assert_memory_equal(record, "\2\x08\7\6\5\4\3\2\x21\xfe\xff\xff\xff\xff\xff\xff\xff\1\x0d", 19);
    assert_true(record_decode_preview(str_make(record, n), STR("a-b"), 65535, &got));
    assert_int_equal(got.host_header, HOST_HEADER_LOCALHOST_BARE);
    assert_true(got.version == bare.version);
    /* A mode that no edge writes, and one beside another nearest mode. */
    for (unsigned mode = 0; mode < 16; mode++) {
        record[8] = (char)(mode << 4 | 1);
        bool known = mode == 0 || mode == HOST_HEADER_LOCALHOST_BARE;
        assert_int_equal(record_decode_preview(str_make(record, n), STR("a-b"), 65535, &got), known);
    }
    record[8] = 0x21;
    record[17] = HOST_HEADER_DEFAULT;
    assert_false(record_decode_preview(str_make(record, n), STR("a-b"), 65535, &got));
}

/* A record from an edge without access control is a public preview. */
static void test_preview_of_version_1(void **state)
{
    (void)state;
    store_preview_t got;
    memset(&got, 0xff, sizeof(got));
    str_t record = STR("\1\x08\7\6\5\4\3\2\1\xfe\xff\xff\xff\xff\xff\xff\xff\1");
    assert_true(record_decode_preview(record, STR("a"), 1, &got));
    assert_true(!got.bearer && !got.basic && got.expires_at == 0);
    assert_string_equal(got.label, "");
    assert_string_equal(got.allow_origins, "");
    assert_int_equal(got.host_header, HOST_HEADER_LOCALHOST);
    assert_int_equal(got.protocol, PREVIEW_HTTP1);
}

static void test_block_and_keys(void **state)
{
    (void)state;
    char record[RECORD_KEYS_BYTES];
    store_block_t block = {.kind = BLOCK_CIDR, .created_at = 77}, got;
    record_encode_block(&block, record);
    assert_true(record_decode_block(str_make(record, RECORD_BLOCK_BYTES), STR("192.0.2.0/24"), &got));
    assert_int_equal(got.kind, BLOCK_CIDR);
    assert_int_equal(got.created_at, 77);
    assert_string_equal(got.text, "192.0.2.0/24");
    record[1] = BLOCK_CIDR + 1;
    assert_false(record_decode_block(str_make(record, RECORD_BLOCK_BYTES), STR("x"), &got));
    store_cookie_keys_t keys = {.current = {1}, .previous = {2}, .rotated_at = 3}, read;
    record_encode_keys(&keys, record);
    assert_true(record_decode_keys(str_make(record, sizeof(record)), &read));
    assert_memory_equal(&read, &keys, sizeof(keys));
    assert_false(record_decode_keys(str_make(record, sizeof(record) - 1), &read));
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
    assert_int_equal(got.provider, PROVIDER_HTTP);
    assert_true(got.keep_alive && got.ephemeral);
    assert_true(got.expires_at == box.expires_at && got.settles_at_ms == box.settles_at_ms);
    assert_int_equal(got.idle_ms, UINT32_MAX);
    assert_int_equal(got.start_ms, 90000);
    assert_int_equal(got.pid, 4711);
    assert_int_equal(got.port_count, 1);
    assert_int_equal(got.ports[0], 3000);
    assert_int_equal(got.listening_count, STORE_BOX_PORTS_MAX);
    assert_int_equal(got.listening[STORE_BOX_PORTS_MAX - 1], 65535);
    assert_memory_equal(
        record,
        "\3\3\x88\x77\x66\x55\x44\x33\x22\x11\1\2\3\4\5\6\7\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"
        "\xfe\xff\3\3",
        30);
}

static void test_other_versions_are_refused(void **state)
{
    (void)state;
    char record[RECORD_PREVIEW_MAX];
    store_preview_t p;
    store_box_t b;
    for (unsigned version = 0; version < 256; version++) {
        size_t n = record_encode_preview(&preview, record);
        record[0] = (char)version;
        assert_int_equal(record_decode_preview(str_make(record, n), STR("a"), 1, &p), version == 2);
        record_encode_box(&box, record);
        record[0] = (char)version;
        assert_int_equal(record_decode_box(str_make(record, RECORD_BOX_BYTES), STR("a"), &b), version == 3);
    }
}

static void test_other_lengths_are_refused(void **state)
{
    (void)state;
    store_preview_t p;
    store_box_t b;
    for (size_t n = 0; n < 300; n++) {
        char *record = calloc(1, n + RECORD_PREVIEW_MAX);
        assert_non_null(record);
        size_t right = record_encode_preview(&preview, record);
        assert_int_equal(record_decode_preview(str_make(record, n), STR("a"), 1, &p), n == right);
        record_encode_box(&box, record);
        assert_int_equal(record_decode_box(str_make(record, n), STR("a"), &b), n == RECORD_BOX_BYTES);
        free(record);
    }
}

static void test_values_out_of_range_are_refused(void **state)
{
    (void)state;
    char record[RECORD_PREVIEW_MAX];
    store_preview_t p;
    store_box_t b;
    for (unsigned value = 0; value < 256; value++) {
        size_t n = record_encode_preview(&preview, record);
        record[17] = (char)value;
        assert_int_equal(record_decode_preview(str_make(record, n), STR("a"), 1, &p),
                         value <= HOST_HEADER_LOCALHOST);
        record_encode_preview(&preview, record);
        record[18] = (char)value;
        assert_int_equal(record_decode_preview(str_make(record, n), STR("a"), 1, &p), value <= 15);
        record_encode_preview(&preview, record);
        record[91] = (char)value; /* a label of another length */
        assert_int_equal(record_decode_preview(str_make(record, n), STR("a"), 1, &p), value == 6);
        record_encode_box(&box, record);
        record[1] = (char)value;
        assert_int_equal(record_decode_box(str_make(record, RECORD_BOX_BYTES), STR("a"), &b),
                         value >= BOX_RUNNING && value <= BOX_GONE);
        static const struct {
            size_t at;
            unsigned most;
        } bounded[] = {{28, PROVIDER_HTTP}, {29, 7}, {62, STORE_BOX_PORTS_MAX}, {63, STORE_BOX_PORTS_MAX}};
        for (size_t i = 0; i < sizeof(bounded) / sizeof(bounded[0]); i++) {
            record_encode_box(&box, record);
            record[bounded[i].at] = (char)value;
            assert_int_equal(record_decode_box(str_make(record, RECORD_BOX_BYTES), STR("a"), &b),
                             value <= bounded[i].most);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_preview),
        cmocka_unit_test(test_preview_with_a_later_mode),
        cmocka_unit_test(test_preview_of_version_1),
        cmocka_unit_test(test_block_and_keys),
        cmocka_unit_test(test_box),
        cmocka_unit_test(test_other_versions_are_refused),
        cmocka_unit_test(test_other_lengths_are_refused),
        cmocka_unit_test(test_values_out_of_range_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
