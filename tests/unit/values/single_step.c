#include "single_step.h"

/* The next stop of the child, which must be a stop. Returns its signal. */
static int wait_for_stop(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSTOPPED(status));
    return WSTOPSIG(status);
}

pid_t step_begin(work_t *work, void *warm, void *arg)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (warm != NULL)
            work(warm);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
            _exit(1);
        raise(SIGSTOP);
        work(arg);
        raise(SIGSTOP);
        _exit(0);
    }
    assert_int_equal(wait_for_stop(child), SIGSTOP);
    /* A test that fails on the way leaves no child behind. */
    assert_int_equal(ptrace(PTRACE_SETOPTIONS, child, NULL, (void *)PTRACE_O_EXITKILL), 0);
    return child;
}

bool step_once(pid_t child)
{
    assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
    int signal = wait_for_stop(child);
    assert_true(signal == SIGTRAP || signal == SIGSTOP);
    return signal == SIGTRAP;
}

void step_finish(pid_t child, bool done)
{
    if (!done) {
        assert_int_equal(ptrace(PTRACE_CONT, child, NULL, NULL), 0);
        assert_int_equal(wait_for_stop(child), SIGSTOP);
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

size_t single_step(work_t *work, void *warm, void *arg, work_t *after, void *after_arg)
{
    /* Through a pointer that the compiler cannot see through: every count covers the one copy of step_begin,
     * none an inlined copy whose own instructions would count too. */
    pid_t (*volatile begin)(work_t *, void *, void *) = step_begin;
    pid_t child = begin(work, warm, arg);
    size_t count = 0;
    for (bool more = true; more; count++) {
        assert_true(count < STEPS_MAX);
        more = step_once(child);
        if (after != NULL)
            after(after_arg);
    }
    step_finish(child, true);
    return count;
}
