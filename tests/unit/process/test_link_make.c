/* Keys, paths and messages of links, at their bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "link_message.h"

static void keys(void **state)
{
    (void)state;
    static const char key[] = "0123456789abcdef.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    uint64_t id;
    str_t secret, whole = STR(key);
    assert_int_equal(whole.n, LINK_KEY_LEN);
    assert_true(link_key_read(whole, &id, &secret));
    assert_true(id == 0x0123456789abcdef && secret.n == SECRET_TEXT_LEN && secret.p[0] == 'A');
    for (size_t n = 0; n < whole.n; n++)
        assert_false(link_key_read(str_make(key, n), &id, &secret));
    assert_false(link_key_read(str_make(key, whole.n + 1), &id, &secret));
    static const char *const ids[] = {"0123456789ABCDEF", "0123456789abcde",  "0123456789abcdef0",
                                      "0000000000000000", "0123456789abcdeg", "",
                                      " 123456789abcdef"};
    for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++)
        assert_false(link_id_read(str_from(ids[i]), &id));
    char text[LINK_ID_DIGITS + 1];
    link_id_text(0x42, text);
    assert_string_equal(text, "0000000000000042");
    assert_true(link_id_read(str_from(text), &id) && id == 0x42);
}

static void paths(void **state)
{
    (void)state;
    static const char *const good[] = {"/", "/x", "/x?a=b&c#d", "/~a//b", "/%20"};
    static const char *const bad[] = {"",      "x",     "//x",       "/\\x",      "/x y",
                                      "/x\ny", "/\x7f", "/\xc3\xbc", "https://a/"};
    char longest[STORE_LINK_PATH_MAX + 1];
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        assert_true(link_path_valid(str_from(good[i])));
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(link_path_valid(str_from(bad[i])));
    memset(longest, '/', 1);
    memset(longest + 1, 'x', STORE_LINK_PATH_MAX);
    assert_true(link_path_valid(str_make(longest, STORE_LINK_PATH_MAX)));
    assert_false(link_path_valid(str_make(longest, STORE_LINK_PATH_MAX + 1)));
}

static bool reads(const link_call_t *call)
{
    link_call_t got;
    return link_call_read(str_make((const char *)call, sizeof(*call)), &got);
}

static void calls(void **state)
{
    (void)state;
    link_call_t got, call = {.op = LINK_CREATE, .port = 80, .seconds = 1, .box = "box", .path = "/"};
    assert_true(reads(&call));
    assert_false(link_call_read(str_make((const char *)&call, sizeof(call) - 1), &got));
    call.seconds = 0;
    assert_false(reads(&call));
    call.seconds = LINK_SECONDS_MAX + 1;
    assert_false(reads(&call));
    call.seconds = LINK_SECONDS_MAX;
    assert_true(reads(&call));
    call.path[0] = 'x';
    assert_false(reads(&call));
    call.op = LINK_OPEN; /* reads no path */
    assert_true(reads(&call));
    memset(call.label, 'x', sizeof(call.label));
    assert_false(reads(&call));
    call.label[0] = '\0';
    memset(call.label, 0, sizeof(call.label));
    call.port = 0;
    assert_false(reads(&call));
    call.port = 80;
    call.op = LINK_REVOKE + 1;
    assert_false(reads(&call));
    call.op = 0;
    assert_false(reads(&call));
    call.op = LINK_REVOKE;
    call.box[0] = '-';
    assert_false(reads(&call));
}

static void answers(void **state)
{
    (void)state;
    preview_answer_t answer = {.status = 200};
    link_answer_t got, link = {UINT64_MAX, 3, UINT64_MAX};
    link_answer_write(&answer, &link);
    assert_true(link_answer_read(&answer, &got));
    assert_true(got.link == UINT64_MAX && got.number == 3 && got.expires_at == UINT64_MAX);
    static const char *const bad[] = {"", "1", "1 2", "1 2 3 4", "1 2 x", "1  3", "-1 2 3"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        (void)snprintf(answer.sentence, sizeof(answer.sentence), "%s", bad[i]);
        assert_false(link_answer_read(&answer, &got));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(keys), cmocka_unit_test(paths),
                                       cmocka_unit_test(calls), cmocka_unit_test(answers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
