/*
 * The controller's idle clock. It pauses boxes of `process` and `docker` that no worker reported as active
 * for their idle_ms (docs/internals/wake.md). Providers that pause boxes on their own get the active ones.
 */
#ifndef BOXEDGE_IDLE_H
#define BOXEDGE_IDLE_H

#include "boxes.h"

typedef struct idle idle_t;

/* Listens to `boxes`, which must outlive it and not change after idle_free. Every running box counts as
 * active now. */
idle_t *idle_new(loop_t *loop, boxes_t *boxes);
void idle_free(idle_t **idle);
/* Takes PROCESS_ACTIVE of a worker. boxes_active gets each box at most once a second. */
void idle_active(idle_t *idle, str_t ids);
/* Requests wait for "<id>-<port>" (PROCESS_WAKE, repeated each second): a box that starts slowly is not idle.
 */
void idle_wanted(idle_t *idle, str_t label);

#endif
