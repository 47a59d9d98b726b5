/* The cost of a comparison does not reveal the position of the first wrong byte. Counted in instructions,
 * which repeat on every run and machine, and not in time. */
#include "credentials.h"
#include "session.h"
#include "single_step.h"

/* ---- secrets ---- */

typedef struct secret_case {
    str_t shown;
    uint8_t hash[32];
    volatile bool result;
} secret_case_t;

static void match_secret(void *arg)
{
    secret_case_t *one = arg;
    one->result = secret_matches(one->shown, one->hash);
}

static size_t steps_of_secret(secret_case_t *one)
{
    return single_step(match_secret, one, one, NULL, NULL);
}

static secret_case_t secret_case(str_t shown, str_t right)
{
    secret_case_t one = {.shown = shown};
    secret_hash(right, one.hash);
    return one;
}

static void test_stored_hash(void **state)
{
    (void)state;
    secret_case_t right = secret_case(STR("a secret of some length"), STR("a secret of some length"));
    static const size_t places[] = {0, 1, 15, 16, 30, 31};
    size_t steps = 0;
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        secret_case_t wrong = right;
        wrong.hash[places[i]] ^= 0x80;
        size_t taken = steps_of_secret(&wrong);
        steps = i == 0 ? taken : steps;
        assert_int_equal(taken, steps);
    }
    assert_true(steps > 32);
}

static void test_shown_secret(void **state)
{
    (void)state;
    static const char right[] = "user:a password of some length";
    char shown[sizeof(right)];
    size_t steps = 0;
    for (size_t i = 0; i < sizeof(right) - 1; i += sizeof(right) - 2) { /* the first, the last */
        memcpy(shown, right, sizeof(right));
        shown[i] ^= 1;
        secret_case_t wrong = secret_case(str_make(shown, sizeof(right) - 1), STR(right));
        size_t taken = steps_of_secret(&wrong);
        steps = i == 0 ? taken : steps;
        assert_int_equal(taken, steps);
    }
}

/* ---- sessions ---- */

typedef struct session_case {
    session_keys_t keys;
    char value[SESSION_TEXT_MAX];
    size_t len;
    volatile bool result;
} session_case_t;

static void judge_session(void *arg)
{
    session_case_t *one = arg;
    one->result = session_valid(&one->keys, STR("a-80.p.example"), 1, 5, str_make(one->value, one->len));
}

static void test_signature(void **state)
{
    (void)state;
    session_case_t right = {.keys = {{1}, {2}}};
    right.len = session_make(&right.keys, STR("a-80.p.example"), 1, 1800000000, right.value);
    size_t steps = 0;
    for (size_t i = right.len - 43; i < right.len; i += 42) { /* the first, the last */
        session_case_t wrong = right;
        wrong.value[i] = wrong.value[i] == 'A' ? 'B' : 'A';
        size_t taken = single_step(judge_session, &wrong, &wrong, NULL, NULL);
        steps = i == right.len - 43 ? taken : steps;
        assert_int_equal(taken, steps);
    }
}

/* ---- the count itself ---- */

/* A comparison that nobody should use. */
static void compare_early(void *arg)
{
    const volatile char *a = arg, *right = "0123456789abcdef";
    for (size_t i = 0; i < 16; i++)
        if (a[i] != right[i])
            return;
}

/* The count distinguishes a comparison that stops at the first wrong byte from one that does not; and counts
 * repeat. */
static void test_count_sees_it(void **state)
{
    (void)state;
    char first[] = "x123456789abcdef", last[] = "0123456789abcdex";
    size_t steps = single_step(compare_early, first, first, NULL, NULL);
    assert_int_equal(single_step(compare_early, first, first, NULL, NULL), steps);
    assert_true(single_step(compare_early, last, last, NULL, NULL) > steps + 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_count_sees_it),
        cmocka_unit_test(test_stored_hash),
        cmocka_unit_test(test_shown_secret),
        cmocka_unit_test(test_signature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
