/*
 * The controller's clock of what is idle: boxes of `process` and `docker` that no worker reports as active
 * for their idle_ms are paused (docs/internals/wake.md); the providers that pause on their own hear what is
 * active.
 */
#ifndef BOXEDGE_IDLE_H
#define BOXEDGE_IDLE_H

#include "boxes.h"

typedef struct idle idle_t;

/* Listens to `boxes`, which outlives it and is not to change any more once it is freed. Every box that runs
 * counts as active now. */
idle_t *idle_new(loop_t *loop, boxes_t *boxes);
void idle_free(idle_t **idle);
/* PROCESS_ACTIVE of a worker. boxes_active hears of each box at most once a second. */
void idle_active(idle_t *idle, str_t ids);
/* Requests wait for "<id>-<port>" (PROCESS_WAKE, said again each second): a box that is slow to start is not
 * idle. */
void idle_wanted(idle_t *idle, str_t label);

#endif
