/*
 * Runs work in a child, one instruction at a time (ptrace): counts its instructions, or looks at what they
 * left behind in shared memory after each. A count says what a clock cannot: the same work takes the same
 * steps.
 */
#ifndef SINGLE_STEP_H
#define SINGLE_STEP_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>

#include <cmocka.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "str.h"

#define STEPS_MAX 1000000

typedef void work_t(void *arg);

/* The next stop of the child; it has to be a stop. Returns its signal. */
static inline int wait_for_stop(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSTOPPED(status));
    return WSTOPSIG(status);
}

/*
 * Steps through work(arg) in a child; after(after_arg), where given, is called after each step, here. The
 * work is done once before, unwatched, so that what happens on the first call only is not counted; `warm` is
 * its argument then (NULL: not done before). Returns the instructions, those around the work included:
 * compare counts with each other only.
 */
static inline size_t single_step(work_t *work, void *warm, void *arg, work_t *after, void *after_arg)
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
    size_t count = 0;
    for (int signal = SIGTRAP; signal != SIGSTOP; count++) {
        assert_true(count < STEPS_MAX);
        assert_int_equal(ptrace(PTRACE_SINGLESTEP, child, NULL, NULL), 0);
        signal = wait_for_stop(child);
        assert_true(signal == SIGTRAP || signal == SIGSTOP);
        if (after != NULL)
            after(after_arg);
    }
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    return count;
}

#endif
