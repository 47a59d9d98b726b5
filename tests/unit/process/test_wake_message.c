/* Messages between workers and the controller about a wake. */
#include "wake_message.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void there_and_back(void **state)
{
    (void)state;
    char bytes[WAKE_ANSWER_BYTES];
    wake_answer_t in = {.label = "a-b-3000", .resume_ms = 0, .listen_ms = UINT32_MAX, .retry_after_ms = 5000},
                  out;
    memcpy(in.sentence, "a b\nc\x1f!", 8);
    size_t n = wake_answer_write(&in, bytes);
    assert_true(wake_answer_read(str_make(bytes, n), &out));
    assert_string_equal(out.label, "a-b-3000");
    assert_int_equal(out.resume_ms, 0);
    assert_int_equal(out.listen_ms, UINT32_MAX);
    assert_int_equal(out.retry_after_ms, 5000);
    assert_string_equal(out.sentence, "a b c\x1f!");
}

static void the_longest(void **state)
{
    (void)state;
    char bytes[WAKE_ANSWER_BYTES];
    wake_answer_t in = {.resume_ms = UINT32_MAX, .listen_ms = UINT32_MAX, .retry_after_ms = UINT32_MAX}, out;
    memset(in.label, 'a', WAKE_LABEL_MAX);
    memset(in.sentence, 'b', WAKE_SENTENCE_MAX);
    size_t n = wake_answer_write(&in, bytes);
    assert_true(wake_answer_read(str_make(bytes, n), &out));
    assert_string_equal(out.label, in.label);
    assert_string_equal(out.sentence, in.sentence);
}

static void refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "a",
                                        "a 1 2",
                                        "a 1 2 3",
                                        " 1 2 3 s",
                                        "a x 2 3 s",
                                        "a 1 -2 3 s",
                                        "a 1 2 3x s",
                                        "a 4294967296 1 1 s",
                                        "a  1 2 3",
                                        "a 1 2 99999999999 s"};
    wake_answer_t out;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_false(wake_answer_read(str_from(texts[i]), &out));
    char text[WAKE_ANSWER_BYTES];
    memset(text, 'a', sizeof(text));
    memcpy(text + WAKE_LABEL_MAX + 1, " 1 2 3 s", 8);
    assert_false(wake_answer_read(str_make(text, WAKE_LABEL_MAX + 9), &out));
    memcpy(text, "a 1 2 3 ", 8);
    memset(text + 8, 's', sizeof(text) - 8);
    assert_true(wake_answer_read(str_make(text, 8 + WAKE_SENTENCE_MAX), &out));
    assert_false(wake_answer_read(str_make(text, 9 + WAKE_SENTENCE_MAX), &out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(there_and_back),
        cmocka_unit_test(the_longest),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
