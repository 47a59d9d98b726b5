/* The chunked coding: valid and refused bodies, every bound, and pieces against the whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "chunked_pieces.h"

#define MAX_FIELDS 10

static const size_t steps[] = {1, 2, 3, 5, 17};

static void decode_all_ways(decoded_t *whole, str_t input)
{
    decoded_init(whole, input, input.n, MAX_FIELDS);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        decoded_t pieces;
        decoded_init(&pieces, input, steps[i], MAX_FIELDS);
        assert_true(decoded_same(&pieces, whole));
        if (whole->result == CHUNKED_END)
            assert_int_equal(pieces.left, whole->left);
        decoded_fini(&pieces);
    }
}

static chunked_result_t result_of(str_t input)
{
    decoded_t d;
    decode_all_ways(&d, input);
    chunked_result_t result = d.result;
    decoded_fini(&d);
    return result;
}

static void test_decoded(void **state)
{
    (void)state;
    static const struct {
        str_t input;
        const char *body;
        size_t left;
    } cases[] = {
        {STR("0\r\n\r\n"), "", 0},
        {STR("5\r\nhello\r\n0\r\n\r\n"), "hello", 0},
        {STR("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET /"), "hello world", 5},
        {STR("a\r\n0123456789\r\nA\r\n0123456789\r\n000\r\n\r\n"), "01234567890123456789", 0},
        {STR("0000000000000001\r\nx\r\n0\r\n\r\n"), "x", 0},
        {STR("2\r\n\r\n\r\n0\r\n\r\n"), "\r\n", 0},
        {STR("1;a\r\nx\r\n0;b=c;d=\"e\xff\"\r\n\r\n"), "x", 0},
        {STR("1 ; a = b\r\nx\r\n1\t;\r\ny\r\n0\r\n\r\n"), "xy", 0},
        {STR("1\r\nx\r\n0\r\nA: b\r\n\r\nnext"), "x", 4},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        decoded_t d;
        decode_all_ways(&d, cases[i].input);
        assert_int_equal(d.result, CHUNKED_END);
        assert_true(str_eq(str_make(d.body.p, d.body.n), str_from(cases[i].body)));
        assert_int_equal(d.left, cases[i].left);
        decoded_fini(&d);
    }
}

static void test_refused(void **state)
{
    (void)state;
    static const str_t cases[] = {
#define CASE(text) {text, sizeof(text) - 1}
        CASE("\r\n"),
        CASE("\n"),
        CASE(";a\r\n"),
        CASE(" 5\r\n"),
        CASE("+5\r\n"),
        CASE("-5\r\n"),
        CASE("0x5\r\n"),
        CASE("5g\r\n"),
        CASE("5_0\r\n"),
        CASE("5,5\r\n"),
        CASE("5\n"),
        CASE("5\rx"),
        CASE("5\r\r\n"),
        CASE("5 \r\n"),
        CASE("5\t\r\n"),
        CASE("5 5\r\n"),
        CASE("5;a\n"),
        CASE("5;a\rb"),
        CASE("5;a\0\r\n"),
        CASE("5;\x7f\r\n"),
        CASE("5; \x0b\r\n"),
        CASE("1\r\nxy"),
        CASE("1\r\nx\n"),
        CASE("1\r\nx\ry"),
        CASE("1\r\nx0\r\n\r\n"),
        CASE("1\r\nx\r\n\r\n"),
        CASE("00000000000000000"),
        CASE("00000000000000005\r\n"),
        CASE("8000000000000000"),
        CASE("ffffffffffffffff"),
        CASE("10000000000000000"),
        /* trailers */
        CASE("0\r\n\n"),
        CASE("0\r\n\rx"),
        CASE("0\r\nA: b\n"),
        CASE("0\r\nA: b\r\n\n"),
        CASE("0\r\nA: b\rc"),
        CASE("0\r\nA: b\r\n c\r\n\r\n"),
        CASE("0\r\n A: b\r\n\r\n"),
        CASE("0\r\nA : b\r\n\r\n"),
        CASE("0\r\nA\r\n\r\n"),
        CASE("0\r\n: b\r\n\r\n"),
        CASE("0\r\nA: \0\r\n\r\n"),
        CASE("0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
#undef CASE
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (result_of(cases[i]) != CHUNKED_BAD)
            fail_msg("not refused: %.*s", STR_ARG(cases[i]));
}

static void test_more(void **state)
{
    (void)state;
    str_t whole = STR("5;a=b\r\nhello\r\n0\r\nA: b\r\nC: d\r\n\r\n");
    for (size_t n = 1; n < whole.n; n++)
        assert_int_equal(result_of(str_make(whole.p, n)), CHUNKED_MORE);
    assert_int_equal(result_of(whole), CHUNKED_END);
    chunked_t chunked;
    chunked_init(&chunked, NULL, 1);
    str_t nothing = {NULL, 0}, data;
    assert_int_equal(chunked_decode(&chunked, &nothing, &data), CHUNKED_MORE);
}

/* The largest chunk: it begins, and its data is passed on. */
static void test_size_limit(void **state)
{
    (void)state;
    chunked_t chunked;
    chunked_init(&chunked, NULL, 1);
    str_t input = STR("7fffffffffffffff\r\nabc"), data;
    assert_int_equal(chunked_decode(&chunked, &input, &data), CHUNKED_DATA);
    assert_int_equal(data.n, 3);
    assert_int_equal(chunked_decode(&chunked, &input, &data), CHUNKED_MORE);
}

static void add_repeated(text_t *text, char c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        text_add(text, str_make(&c, 1));
}

static void test_extension_limits(void **state)
{
    (void)state;
    for (size_t over = 0; over < 2; over++) {
        text_t text = {NULL, 0, 0};
        text_add(&text, STR("0;"));
        add_repeated(&text, 'x', CHUNKED_EXTENSION_BYTES + over);
        text_add(&text, STR("\r\n\r\n"));
        assert_int_equal(result_of(str_make(text.p, text.n)), over ? CHUNKED_BAD : CHUNKED_END);
        free(text.p);
        text = (text_t){NULL, 0, 0};
        text_add(&text, STR("0 "));
        add_repeated(&text, ' ', CHUNKED_EXTENSION_BYTES - 1 + over);
        text_add(&text, STR(";\r\n\r\n"));
        assert_int_equal(result_of(str_make(text.p, text.n)), over ? CHUNKED_BAD : CHUNKED_END);
        free(text.p);
        /* the same bytes, over many chunks */
        text = (text_t){NULL, 0, 0};
        for (size_t i = 0; i < CHUNKED_EXTENSIONS_MAX / 128; i++) {
            text_add(&text, STR("1;"));
            add_repeated(&text, 'x', 128);
            text_add(&text, STR("\r\ny\r\n"));
        }
        text_add(&text, over ? STR("0;x\r\n\r\n") : STR("0;\r\n\r\n"));
        assert_int_equal(result_of(str_make(text.p, text.n)), over ? CHUNKED_BAD : CHUNKED_END);
        free(text.p);
    }
}

static void test_trailers(void **state)
{
    (void)state;
    decoded_t d;
    decode_all_ways(&d, STR("0\r\ngrpc-status: \t0 \r\nX-Sum:\r\nx-sum: 2\r\n\r\n"));
    assert_int_equal(d.result, CHUNKED_END);
    assert_int_equal(d.trailers.count, 3);
    assert_true(str_eq(d.trailers.at[0].name, STR("grpc-status")));
    assert_true(str_eq(d.trailers.at[0].value, STR("0")));
    assert_true(str_eq(d.trailers.at[1].value, STR("")));
    assert_true(str_eq(d.trailers.at[2].value, STR("2")));
    decoded_fini(&d);
}

static void test_trailer_limits(void **state)
{
    (void)state;
    for (size_t over = 0; over < 2; over++) {
        text_t text = {NULL, 0, 0};
        text_add(&text, STR("0\r\nA:"));
        add_repeated(&text, 'x', CHUNKED_TRAILER_BYTES - 6 + over);
        text_add(&text, STR("\r\n\r\n"));
        assert_int_equal(result_of(str_make(text.p, text.n)), over ? CHUNKED_BAD : CHUNKED_END);
        free(text.p);
        text = (text_t){NULL, 0, 0};
        text_add(&text, STR("0\r\n"));
        for (size_t i = 0; i < MAX_FIELDS + over; i++)
            text_add(&text, STR("A: b\r\n"));
        text_add(&text, STR("\r\n"));
        assert_int_equal(result_of(str_make(text.p, text.n)), over ? CHUNKED_BAD : CHUNKED_END);
        free(text.p);
    }
}

static void test_forbidden_trailers(void **state)
{
    (void)state;
    static const char *const names[] = {
        "content-length",
        "Transfer-Encoding",
        "HOST",
        "authorization",
        "cookie",
        "set-cookie",
        "te",
        "trailer",
        "connection",
        "content-encoding",
        "content-type",
        "content-range",
        "expect",
        "max-forwards",
        "cache-control",
        "upgrade",
        "keep-alive",
        "range",
        "if-match",
        "if-none-match",
        "x-forwarded-for",
        "x-forwarded-new",
        "forwarded",
        "proxy-whatever",
        "sec-fetch-site",
        "www-authenticate",
        "location",
        "vary",
        "age",
        "expires",
        "x-request-id",
        "cdn-loop",
        "traceparent",
        "pragma",
        "retry-after",
        "sec-websocket-key",
        "origin",
        "access-control-allow-origin",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        text_t text = {NULL, 0, 0};
        text_add(&text, STR("0\r\nfine: yes\r\n"));
        text_add(&text, str_from(names[i]));
        text_add(&text, STR(": 1\r\n\r\n"));
        if (result_of(str_make(text.p, text.n)) != CHUNKED_BAD)
            fail_msg("%s passes as a trailer", names[i]);
        free(text.p);
    }
    assert_int_equal(result_of(STR("0\r\nserver-timing: a\r\netag: b\r\nagent: c\r\nif: d\r\n\r\n")),
                     CHUNKED_END);
}

/* A message without trailers allocates nothing. */
static void test_no_memory_without_trailers(void **state)
{
    (void)state;
    decoded_t d;
    decoded_init(&d, STR("5;a=b\r\nhello\r\n0\r\n\r\n"), 1, MAX_FIELDS);
    assert_int_equal(d.result, CHUNKED_END);
    assert_null(d.pool.chunks);
    assert_null(d.pool.large);
    decoded_fini(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decoded),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_more),
        cmocka_unit_test(test_size_limit),
        cmocka_unit_test(test_extension_limits),
        cmocka_unit_test(test_trailers),
        cmocka_unit_test(test_trailer_limits),
        cmocka_unit_test(test_forbidden_trailers),
        cmocka_unit_test(test_no_memory_without_trailers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
