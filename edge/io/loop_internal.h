/* Access to the loop's libh2o part, for the files of this folder that own its sockets. */
#ifndef BOXEDGE_LOOP_INTERNAL_H
#define BOXEDGE_LOOP_INTERNAL_H

#include <h2o.h>

#include "loop.h"

h2o_evloop_t *loop_evloop(loop_t *loop);

#endif
