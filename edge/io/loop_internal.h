/* The loop's side of libh2o, for the files of this folder that have sockets of it. */
#ifndef BOXEDGE_LOOP_INTERNAL_H
#define BOXEDGE_LOOP_INTERNAL_H

#include <h2o.h>

#include "loop.h"

h2o_evloop_t *loop_evloop(loop_t *loop);

#endif
