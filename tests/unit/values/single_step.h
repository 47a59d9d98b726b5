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

/* A child that stands before work(arg). The work is done once before, unwatched, so that what happens on the
 * first call only is not counted; `warm` is its argument then (NULL: not done before). */
pid_t step_begin(work_t *work, void *warm, void *arg);

/* One instruction. False when the work is done. */
bool step_once(pid_t child);

/* Lets the work be done, where it is not. */
void step_finish(pid_t child, bool done);

/*
 * Steps through work(arg); after(after_arg), where given, is called after each step, here. Returns the
 * instructions, those around the work included: compare counts with each other only.
 */
size_t single_step(work_t *work, void *warm, void *arg, work_t *after, void *after_arg);

#endif
