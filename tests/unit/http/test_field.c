/* Field sections: identities, lookup, growth, cookies, copies. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "field.h"

#include "arena.h"

static const char *const all_names[] = {
#define X(id, name) name,
    FIELD_NAMES(X)
#undef X
};

static void test_every_name_is_found(void **state)
{
    (void)state;
    for (int id = 1; id < FIELD_ID_COUNT; id++) {
        str_t name = str_from(all_names[id - 1]);
        assert_true(str_eq(field_name((field_id_t)id), name));
        char text[64];
        memcpy(text, name.p, name.n);
        assert_int_equal(field_lookup(str_make(text, name.n)), id);
        for (size_t i = 0; i < name.n; i++)
            if (text[i] >= 'a' && text[i] <= 'z')
                text[i] = (char)(text[i] - 32);
        assert_int_equal(field_lookup(str_make(text, name.n)), id);
        /* a name with one letter more, less or changed is another name */
        text[name.n] = 'X';
        assert_int_not_equal(field_lookup(str_make(text, name.n + 1)), id);
        assert_int_not_equal(field_lookup(str_make(text, name.n - 1)), id);
        for (size_t i = 0; i < name.n; i++) {
            char kept = text[i];
            text[i] = kept == '-' ? '\r' : (char)(kept ^ 0x40);
            assert_int_equal(field_lookup(str_make(text, name.n)), FIELD_OTHER);
            text[i] = kept;
        }
    }
}

static void test_other_names(void **state)
{
    (void)state;
    static const char *const names[] = {"",
                                        "a",
                                        "x",
                                        "hosts",
                                        "content_length",
                                        "x-forwarded",
                                        "server",
                                        "a-name-that-is-longer-than-any-that-is-known-to-the-edge"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(field_lookup(str_from(names[i])), FIELD_OTHER);
}

static void test_single(void **state)
{
    (void)state;
    assert_true(field_is_single(FIELD_HOST));
    assert_true(field_is_single(FIELD_CONTENT_LENGTH));
    assert_true(field_is_single(FIELD_TRANSFER_ENCODING));
    assert_true(field_is_single(FIELD_AUTHORIZATION));
    assert_false(field_is_single(FIELD_OTHER));
    assert_false(field_is_single(FIELD_COOKIE));
    assert_false(field_is_single(FIELD_CONNECTION));
    assert_false(field_is_single(FIELD_X_FORWARDED_FOR));
}

static void test_section(void **state)
{
    (void)state;
    arena_t pool;
    arena_init(&pool);
    fields_t fields = {.at = NULL};
    assert_null(fields_find(&fields, FIELD_HOST));
    assert_int_equal(fields_value(&fields, FIELD_HOST).n, 0);
    static const char digits[] = "0123456789";
    for (size_t i = 0; i < 200; i++) { /* grows three times */
        fields_add(&pool, &fields, i % 2 != 0 ? FIELD_VARY : FIELD_OTHER, STR("n"),
                   str_make(digits + i % 10, 1));
        assert_int_equal(fields.count, i + 1);
    }
    for (size_t i = 0; i < 200; i++) {
        assert_int_equal(fields.at[i].id, i % 2 != 0 ? FIELD_VARY : FIELD_OTHER);
        assert_int_equal(fields.at[i].value.p[0], digits[i % 10]);
    }
    assert_int_equal(fields_count(&fields, FIELD_VARY), 100);
    assert_ptr_equal(fields_find(&fields, FIELD_VARY), &fields.at[1]);
    assert_true(str_eq(fields_value(&fields, FIELD_VARY), STR("1")));
    arena_clear(&pool);
}

static void join(const char *const *values, size_t count, const char *joined)
{
    arena_t pool;
    arena_init(&pool);
    fields_t fields = {.at = NULL};
    fields_add(&pool, &fields, FIELD_OTHER, STR("a"), STR("1"));
    for (size_t i = 0; i < count; i++) {
        fields_add(&pool, &fields, FIELD_COOKIE, STR("cookie"), str_from(values[i]));
        fields_add(&pool, &fields, FIELD_OTHER, STR("b"), STR("2"));
    }
    fields_join_cookies(&pool, &fields);
    assert_int_equal(fields.count, 1 + count + (count != 0));
    assert_int_equal(fields_count(&fields, FIELD_COOKIE), count != 0);
    if (count != 0) {
        assert_int_equal(fields.at[1].id, FIELD_COOKIE);
        assert_true(str_eq(fields.at[1].value, str_from(joined)));
    }
    arena_clear(&pool);
}

static void test_cookies(void **state)
{
    (void)state;
    join(NULL, 0, "");
    join((const char *const[]){"a=1"}, 1, "a=1");
    join((const char *const[]){"a=1", "b=2", "c=3"}, 3, "a=1; b=2; c=3");
    join((const char *const[]){"", "b=2", "", "c=3", ""}, 5, "b=2; c=3");
    join((const char *const[]){"", ""}, 2, "");
}

static void test_trailers(void **state)
{
    (void)state;
    assert_true(field_trailer_allowed(FIELD_OTHER, STR("grpc-status")));
    assert_true(field_trailer_allowed(FIELD_OTHER, STR("ranges")));
    assert_true(field_trailer_allowed(FIELD_OTHER, STR("i")));
    assert_true(field_trailer_allowed(FIELD_OTHER, STR("sec")));
    assert_false(field_trailer_allowed(FIELD_COOKIE, STR("cookie")));
    assert_false(field_trailer_allowed(FIELD_OTHER, STR("RANGE")));
    assert_false(field_trailer_allowed(FIELD_OTHER, STR("If-Anything")));
    assert_false(field_trailer_allowed(FIELD_OTHER, STR("sec-")));
}

static void test_copies(void **state)
{
    (void)state;
    arena_t pool;
    arena_init(&pool);
    char text[] = "abc";
    str_t copy = str_dup(&pool, str_make(text, 3));
    text[0] = 'x';
    assert_true(str_eq(copy, STR("abc")));
    assert_int_equal(str_dup(&pool, str_make(NULL, 0)).n, 0);
    assert_true(str_eq(str_format(&pool, "%d-%.*s", 42, 2, "abc"), STR("42-ab")));
    assert_int_equal(str_format(&pool, "%s", "").n, 0);
    static const int widths[] = {511, 512, 513, 20000, 1 << 20};
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
        str_t wide = str_format(&pool, "%*d", widths[i], 7);
        assert_int_equal(wide.n, widths[i]);
        assert_int_equal(wide.p[wide.n - 1], '7');
        assert_int_equal(wide.p[0], ' ');
    }
    arena_clear(&pool);
}

/* A section whose size was known has no spare memory, and still grows. */
static void test_reserve(void **state)
{
    (void)state;
    arena_t pool;
    fields_t fields = {0};
    arena_init(&pool);
    fields_reserve(&pool, &fields, 0);
    assert_null(fields.at);
    fields_reserve(&pool, &fields, 3);
    const field_t *at = fields.at;
    for (uint32_t i = 0; i < 3; i++)
        fields_add(&pool, &fields, FIELD_OTHER, STR("n"), STR("v"));
    assert_ptr_equal(fields.at, at);
    assert_int_equal(fields.capacity, 3);
    fields_add(&pool, &fields, FIELD_VARY, STR("vary"), STR("accept"));
    assert_int_equal(fields.count, 4);
    assert_true(str_eq(fields_value(&fields, FIELD_VARY), STR("accept")));
    assert_true(str_eq(fields.at[0].name, STR("n")));
    arena_clear(&pool);
}

/* Keeps fields other than "gone", and counts the calls. */
static bool keep(field_t *field, void *arg)
{
    ++*(unsigned *)arg;
    if (str_eq(field->value, STR("changes")))
        field->value = STR("changed");
    return !str_eq(field->value, STR("gone"));
}

static void test_filter(void **state)
{
    (void)state;
    static const struct {
        const char *values[4], *left[4];
    } cases[] = {
        {{NULL}, {NULL}},
        {{"gone"}, {NULL}},
        {{"a", "b", "c"}, {"a", "b", "c"}},
        {{"gone", "a", "gone", "b"}, {"a", "b"}},
        {{"gone", "gone", "gone", "changes"}, {"changed"}},
        {{"changes", "gone", "gone", "gone"}, {"changed"}},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        arena_t pool;
        fields_t fields = {0};
        unsigned calls = 0, n = 0;
        arena_init(&pool);
        for (; n < 4 && cases[i].values[n] != NULL; n++)
            fields_add(&pool, &fields, FIELD_OTHER, STR("n"), str_from(cases[i].values[n]));
        fields_filter(&fields, keep, &calls);
        assert_int_equal(calls, n);
        for (n = 0; n < 4 && cases[i].left[n] != NULL; n++)
            assert_true(n < fields.count && str_eq(fields.at[n].value, str_from(cases[i].left[n])));
        assert_int_equal(fields.count, n);
        arena_clear(&pool);
    }
}

static void test_value_of_a_name(void **state)
{
    (void)state;
    arena_t pool;
    fields_t fields = {0};
    arena_init(&pool);
    assert_int_equal(fields_value_named(&fields, STR("a")).n, 0);
    fields_add(&pool, &fields, FIELD_OTHER, STR("ab"), STR("1"));
    fields_add(&pool, &fields, FIELD_OTHER, STR("A"), STR("2"));
    fields_add(&pool, &fields, FIELD_OTHER, STR("a"), STR("3"));
    assert_true(str_eq(fields_value_named(&fields, STR("a")), STR("2")));
    assert_int_equal(fields_value_named(&fields, STR("b")).n, 0);
    arena_clear(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_name_is_found),
        cmocka_unit_test(test_other_names),
        cmocka_unit_test(test_single),
        cmocka_unit_test(test_section),
        cmocka_unit_test(test_reserve),
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_value_of_a_name),
        cmocka_unit_test(test_cookies),
        cmocka_unit_test(test_trailers),
        cmocka_unit_test(test_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
