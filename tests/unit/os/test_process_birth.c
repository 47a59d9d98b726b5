/* Processes, and later ones with the same id. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process_birth.h"

static pid_t start_child(void)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    while (pid == 0)
        pause();
    return pid;
}

static void kill_child(pid_t pid)
{
    siginfo_t info;
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static void a_killed_process_is_dead_before_it_is_reaped(void **state)
{
    (void)state;
    pid_t pid = start_child();
    uint32_t birth = process_birth(pid);
    assert_int_not_equal(birth, 0);
    assert_int_equal(process_birth(pid), birth);
    assert_true(process_lives(pid, birth));
    kill_child(pid);
    assert_false(process_lives(pid, birth));
    assert_false(process_lives(pid, 0));
    assert_int_equal(process_birth(pid), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_false(process_lives(pid, birth));
}

/* To every observer, this process has the dead one's id. */
static void another_birth_is_another_process(void **state)
{
    (void)state;
    uint32_t birth = process_birth(getpid());
    assert_true(process_lives(getpid(), birth));
    assert_false(process_lives(getpid(), birth + 1));
    assert_true(process_lives(getpid(), 0)); /* not known */
    assert_false(process_lives(0, 0));
    assert_false(process_lives(-1, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_process_is_dead_before_it_is_reaped),
        cmocka_unit_test(another_birth_is_another_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
