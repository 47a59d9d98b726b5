/* sd_listen.h: $LISTEN_PID, $LISTEN_FDS and $LISTEN_FDNAMES at their bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sd_listen.h"

#define SELF 4711
#define MOST 64

static char error[256];

/* Returns the number of sockets, or -1. */
static int count_of(const char *pid, const char *fds)
{
    const sd_listen_env_t env = {.pid = pid, .fds = fds};
    unsigned count = 99;
    error[0] = '\0';
    bool ok = sd_listen_count(&env, SELF, MOST, &count, error, sizeof(error));
    assert_true(ok == (error[0] == '\0'));
    assert_true(ok || count == 0);
    return ok ? (int)count : -1;
}

static void sockets_are_for_one_process(void **state)
{
    (void)state;
    assert_int_equal(count_of("4711", "2"), 2);
    assert_int_equal(count_of("4712", "2"), 0);
    assert_int_equal(count_of("4712", "nonsense"), 0); /* not ours to judge */
    assert_int_equal(count_of(NULL, "2"), 0);
    assert_int_equal(count_of("4711", NULL), 0);
    assert_int_equal(count_of(NULL, NULL), 0);
}

static void the_number_has_bounds(void **state)
{
    (void)state;
    assert_int_equal(count_of("4711", "0"), 0);
    assert_int_equal(count_of("4711", "1"), 1);
    assert_int_equal(count_of("4711", "64"), MOST);
    assert_int_equal(count_of("4711", "65"), -1);
    assert_non_null(strstr(error, "LISTEN_FDS=65"));
    assert_int_equal(count_of("4711", "2147483648"), -1);
    assert_int_equal(count_of("4711", "18446744073709551617"), -1);
}

static void malformed_values_are_refused(void **state)
{
    static const char *const bad[] = {"", "-1", "+1", " 1", "1 ", "0x1", "1.0", "eins"};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(count_of("4711", bad[i]), -1);
        assert_non_null(strstr(error, "LISTEN_FDS="));
        assert_int_equal(count_of(bad[i], "1"), -1);
        assert_non_null(strstr(error, "LISTEN_PID="));
    }
    assert_int_equal(count_of("0", "1"), -1);
    assert_int_equal(count_of("2147483648", "1"), -1);
}

static void long_values_leave_a_sentence(void **state)
{
    char many[1000];
    (void)state;
    memset(many, '9', sizeof(many) - 1);
    many[sizeof(many) - 1] = '\0';
    assert_int_equal(count_of("4711", many), -1);
    assert_true(strlen(error) < 160);
}

static void assert_name(const char *names, unsigned index, const char *name)
{
    assert_true(str_eq(sd_listen_name(names, index), str_from(name)));
}

static void names_go_by_their_place(void **state)
{
    (void)state;
    assert_name("a:bb:c", 0, "a");
    assert_name("a:bb:c", 1, "bb");
    assert_name("a:bb:c", 2, "c");
    assert_name("a:bb:c", 3, "");
    assert_name("a:bb:c", 1000, "");
    assert_name("a::c", 1, "");
    assert_name("a::c", 2, "c");
    assert_name("a:", 1, "");
    assert_name("", 0, "");
    assert_name(NULL, 0, "");
    assert_name(NULL, 5, "");
}

static void set(const char *fds)
{
    char pid[16];
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    setenv("LISTEN_PID", pid, 1);
    setenv("LISTEN_FDS", fds, 1);
    setenv("LISTEN_FDNAMES", "one", 1);
}

static void descriptors_close_on_exec_and_variables_go(void **state)
{
    unsigned count;
    (void)state;
    if (fcntl(SD_LISTEN_FIRST, F_GETFD) < 0)
        assert_int_equal(dup2(STDERR_FILENO, SD_LISTEN_FIRST), SD_LISTEN_FIRST);
    assert_int_equal(fcntl(SD_LISTEN_FIRST, F_SETFD, 0), 0);
    set("1");
    assert_true(sd_listen_take(MOST, &count, error, sizeof(error)));
    assert_int_equal(count, 1);
    assert_int_equal(fcntl(SD_LISTEN_FIRST, F_GETFD), FD_CLOEXEC);
    sd_listen_forget();
    assert_null(getenv("LISTEN_PID"));
    assert_null(getenv("LISTEN_FDS"));
    assert_null(getenv("LISTEN_FDNAMES"));
    assert_true(sd_listen_take(MOST, &count, error, sizeof(error)));
    assert_int_equal(count, 0);
}

static void one_that_is_not_open_is_an_error(void **state)
{
    unsigned count;
    (void)state;
    (void)close_range(SD_LISTEN_FIRST + 1, ~0u, 0);
    set("2");
    assert_false(sd_listen_take(MOST, &count, error, sizeof(error)));
    assert_non_null(strstr(error, "descriptor 4"));
    sd_listen_forget();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sockets_are_for_one_process),
        cmocka_unit_test(the_number_has_bounds),
        cmocka_unit_test(malformed_values_are_refused),
        cmocka_unit_test(long_values_leave_a_sentence),
        cmocka_unit_test(names_go_by_their_place),
        cmocka_unit_test(descriptors_close_on_exec_and_variables_go),
        cmocka_unit_test(one_that_is_not_open_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
