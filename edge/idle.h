/*
 * The controller's clock of what is idle: boxes that no worker reports as active for their idle_ms are paused
 * (DESIGN 9.9).
 */
#ifndef BOXEDGE_IDLE_H
#define BOXEDGE_IDLE_H

#include "boxes.h"

typedef struct idle idle_t;

idle_t *idle_new(loop_t *loop, boxes_t *boxes);
void idle_free(idle_t **idle);
/* PROCESS_ACTIVE of a worker: hands it on to boxes_active too, at most once a second for each box. */
void idle_active(idle_t *idle, str_t ids);

#endif
