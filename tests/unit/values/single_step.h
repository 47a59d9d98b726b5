/* Runs work in a child, one instruction at a time (ptrace): counts its instructions, or inspects shared
 * memory after each. Unlike a clock, a count repeats: the same work takes the same steps. */
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

/* A child that stands before work(arg). Before that the work runs once uncounted, so that costs of the first
 * call do not count; `warm` is its argument then (NULL: no such run). */
pid_t step_begin(work_t *work, void *warm, void *arg);

/* One instruction. False when the work is done. */
bool step_once(pid_t child);

/* Lets the work finish if it has not. */
void step_finish(pid_t child, bool done);

/* Steps through work(arg); after(after_arg), if given, is called after each step, here. Returns the
 * instructions, including those around the work: compare counts with each other only. */
size_t single_step(work_t *work, void *warm, void *arg, work_t *after, void *after_arg);

#endif
