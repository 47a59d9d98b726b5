/*
 * The runner without its process. runner_run (process.h) turns its loop; tests turn the loop
 * themselves. The process must ignore SIGCHLD and adopt the orphans of its children
 * (PR_SET_CHILD_SUBREAPER).
 */
#ifndef BOXEDGE_RUNNER_H
#define BOXEDGE_RUNNER_H

#include "loop.h"
#include "process.h"

typedef struct runner runner_t;

/* `loop` must outlive the runner, which owns all of `args` except `shm`. Sends PROCESS_READY. */
runner_t *runner_new(loop_t *loop, const runner_args_t *args);
/* The runner was ordered to end, and all boxes are stopped. */
bool runner_is_over(const runner_t *runner);
/* The exit status of the process. */
int runner_status(const runner_t *runner);
/* Leaves running boxes to their box inits, which kill them; nulls. */
void runner_free(runner_t **runner);

#endif
