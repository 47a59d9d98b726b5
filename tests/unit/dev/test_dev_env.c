/* The environment of the command: that of the caller, and what dev servers need. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "dev_env.h"

static size_t count_of(char *const *env, const char *variable)
{
    size_t count = 0;
    for (; *env != NULL; env++)
        count += strcmp(*env, variable) == 0;
    return count;
}

static size_t length(char *const *env)
{
    size_t count = 0;
    while (env[count] != NULL)
        count++;
    return count;
}

static void what_is_missing_is_added(void **state)
{
    char a[] = "A=1", *caller[] = {a, NULL};
    (void)state;
    char **env = dev_env_make(caller, "dev.localhost", 3000, false);
    assert_int_equal(length(env), 4);
    assert_int_equal(count_of(env, "A=1"), 1);
    assert_int_equal(count_of(env, "PORT=3000"), 1);
    assert_int_equal(count_of(env, "PYTHONUNBUFFERED=1"), 1);
    assert_int_equal(count_of(env, "__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS=.dev.localhost"), 1);
    dev_env_free(&env);
    assert_null(env);
    env = dev_env_make(caller, "dev.localhost", 0, true);
    assert_int_equal(length(env), 2); /* no port, and a terminal needs no flush */
    dev_env_free(&env);
}

/* But for the port, which --port names. */
static void what_the_caller_has_stays(void **state)
{
    char vite[] = "__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS=x", port[] = "PORT=1", near[] = "PORTS=2";
    char python[] = "PYTHONUNBUFFERED=", odd[] = "no value";
    char *caller[] = {vite, port, near, python, odd, NULL};
    (void)state;
    char **env = dev_env_make(caller, "dev.localhost", 3000, false);
    assert_int_equal(length(env), 5);
    assert_int_equal(count_of(env, vite), 1);
    assert_int_equal(count_of(env, "PORT=3000"), 1);
    assert_int_equal(count_of(env, near), 1);
    assert_int_equal(count_of(env, python), 1);
    dev_env_free(&env);
    env = dev_env_make(caller, "dev.localhost", 0, false);
    assert_int_equal(count_of(env, port), 1);
    dev_env_free(&env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_missing_is_added),
        cmocka_unit_test(what_the_caller_has_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
