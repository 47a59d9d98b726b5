/* Several records in one value: ids with colliding hashes, and bytes that are no records. */
#include "bucket.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

typedef struct bucket {
    char bytes[BUCKET_MAX];
    size_t len;
} bucket_t;

static str_t contents(const bucket_t *bucket)
{
    return str_make(bucket->bytes, bucket->len);
}

/* Replaces (or with record.p NULL removes) in place. */
static bucket_result_t replace(bucket_t *bucket, const char *id, uint16_t port, str_t record, size_t cap)
{
    static bucket_t next;
    bucket_result_t result =
        bucket_replace(contents(bucket), str_from(id), port, record, next.bytes, cap, &next.len);
    if (result == BUCKET_OK)
        *bucket = next;
    return result;
}

static void expect(const bucket_t *bucket, const char *id, uint16_t port, const char *record)
{
    bucket_entry_t entry;
    bucket_result_t result = bucket_find(contents(bucket), str_from(id), port, &entry);
    if (record == NULL) {
        assert_int_equal(result, BUCKET_END);
        return;
    }
    assert_int_equal(result, BUCKET_OK);
    assert_true(str_eq(entry.record, str_from(record)));
    assert_true(str_eq(entry.id, str_from(id)));
    assert_int_equal(entry.port, port);
}

static void test_several_records(void **state)
{
    (void)state;
    static bucket_t bucket;
    expect(&bucket, "a", 80, NULL);
    assert_int_equal(replace(&bucket, "a", 80, STR("one"), BUCKET_MAX), BUCKET_OK);
    assert_int_equal(replace(&bucket, "a", 81, STR("two"), BUCKET_MAX), BUCKET_OK);
    assert_int_equal(replace(&bucket, "ab", 80, STR("three"), BUCKET_MAX), BUCKET_OK);
    assert_int_equal(replace(&bucket, "b", 80, STR(""), BUCKET_MAX), BUCKET_OK);
    expect(&bucket, "a", 80, "one");
    expect(&bucket, "a", 81, "two");
    expect(&bucket, "ab", 80, "three");
    expect(&bucket, "b", 80, "");
    expect(&bucket, "a", 82, NULL);
    expect(&bucket, "abc", 80, NULL);
    assert_int_equal(replace(&bucket, "a", 80, STR("another"), BUCKET_MAX), BUCKET_OK);
    expect(&bucket, "a", 80, "another");
    expect(&bucket, "a", 81, "two");
    assert_int_equal(replace(&bucket, "a", 81, (str_t){NULL, 0}, BUCKET_MAX), BUCKET_OK);
    expect(&bucket, "a", 81, NULL);
    expect(&bucket, "a", 80, "another");
    expect(&bucket, "ab", 80, "three");
    assert_int_equal(replace(&bucket, "a", 80, (str_t){NULL, 0}, BUCKET_MAX), BUCKET_OK);
    assert_int_equal(replace(&bucket, "ab", 80, (str_t){NULL, 0}, BUCKET_MAX), BUCKET_OK);
    assert_int_equal(replace(&bucket, "b", 80, (str_t){NULL, 0}, BUCKET_MAX), BUCKET_OK);
    assert_int_equal(bucket.len, 0);
}

static void test_bounds(void **state)
{
    (void)state;
    static bucket_t bucket;
    static char longest[BUCKET_RECORD_MAX];
    char id[256];
    memset(id, 'x', 255);
    id[255] = '\0';
    bucket.len = 0;
    assert_int_equal(replace(&bucket, id, 65535, str_make(longest, sizeof(longest)), BUCKET_MAX), BUCKET_OK);
    bucket_entry_t entry;
    assert_int_equal(bucket_find(contents(&bucket), str_make(id, 255), 65535, &entry), BUCKET_OK);
    assert_int_equal(entry.record.n, BUCKET_RECORD_MAX);
    /* Exactly the needed size, and one byte less. */
    size_t needed = bucket.len + 5 + 1 + 3;
    static bucket_t before;
    before = bucket;
    assert_int_equal(replace(&bucket, "a", 1, STR("abc"), needed - 1), BUCKET_FULL);
    assert_int_equal(bucket.len, before.len);
    assert_int_equal(replace(&bucket, "a", 1, STR("abc"), needed), BUCKET_OK);
    assert_int_equal(bucket.len, needed);
    assert_int_equal(replace(&bucket, "b", 1, (str_t){NULL, 0}, before.len), BUCKET_FULL);
}

/* Every prefix of a bucket and every single wrong byte: refused or read, never beyond the end. */
static void test_broken(void **state)
{
    (void)state;
    static bucket_t bucket;
    bucket.len = 0;
    assert_int_equal(replace(&bucket, "first", 1, STR("one"), BUCKET_MAX), BUCKET_OK);
    size_t first = bucket.len;
    assert_int_equal(replace(&bucket, "second", 2, STR("two"), BUCKET_MAX), BUCKET_OK);
    bucket_entry_t entry;
    for (size_t n = 0; n < bucket.len; n++) {
        char *cut = malloc(n + 1);
        assert_non_null(cut);
        memcpy(cut, bucket.bytes, n);
        bucket_result_t wanted = n == 0 || n == first ? BUCKET_END : BUCKET_BROKEN;
        assert_int_equal(bucket_find(str_make(cut, n), STR("second"), 2, &entry), wanted);
        assert_int_equal(bucket_find(str_make(cut, n), STR("first"), 1, &entry),
                         n < first ? wanted : BUCKET_OK);
        free(cut);
    }
    for (size_t i = 0; i < bucket.len; i++) {
        for (unsigned wrong = 1; wrong < 256; wrong++) {
            char *copy = malloc(bucket.len);
            assert_non_null(copy);
            memcpy(copy, bucket.bytes, bucket.len);
            copy[i] = (char)((unsigned char)copy[i] ^ wrong);
            str_t rest = str_make(copy, bucket.len);
            size_t entries = 0;
            while (bucket_next(&rest, &entry) == BUCKET_OK)
                entries++;
            assert_true(entries <= 2);
            free(copy);
        }
    }
    /* An entry without an id. */
    assert_int_equal(bucket_find(STR("\3\0\1\0\0"), STR("a"), 1, &entry), BUCKET_BROKEN);
}

/* Unreadable entries go when the bucket is rewritten; the entries before them stay. */
static void test_broken_end_is_left_out(void **state)
{
    (void)state;
    static bucket_t bucket;
    bucket.len = 0;
    assert_int_equal(replace(&bucket, "a", 1, STR("one"), BUCKET_MAX), BUCKET_OK);
    memcpy(bucket.bytes + bucket.len, "\xff\xff", 2);
    bucket.len += 2;
    assert_int_equal(replace(&bucket, "b", 1, STR("two"), BUCKET_MAX), BUCKET_OK);
    expect(&bucket, "a", 1, "one");
    expect(&bucket, "b", 1, "two");
    expect(&bucket, "c", 1, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_several_records),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_broken_end_is_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
