/*
 * The runner without its process: what runner_run (process.h) turns the loop for, and tests turn it
 * themselves. The process above it ignores SIGCHLD and takes the orphans of its children
 * (PR_SET_CHILD_SUBREAPER).
 */
#ifndef BOXEDGE_RUNNER_H
#define BOXEDGE_RUNNER_H

#include "loop.h"
#include "process.h"

typedef struct runner runner_t;

/* `loop` outlives it; of `args` everything is its own, but `shm`. Sends PROCESS_READY. */
runner_t *runner_new(loop_t *loop, const runner_args_t *args);
/* It was told to end, and all boxes are stopped. */
bool runner_is_over(const runner_t *runner);
/* The exit status of the process. */
int runner_status(const runner_t *runner);
/* Leaves what runs to its keepers, which kill it; nulls. */
void runner_free(runner_t **runner);

#endif
