#include "http2_closed.h"

#include <assert.h>

bool http2_closed_tolerates(const http2_closed_t *closed, int32_t id)
{
    if (id <= closed->forgotten)
        return true;
    for (unsigned i = 0; i < HTTP2_CLOSED_KEPT; i++)
        if (closed->ids[i] == id)
            return true;
    return false;
}

void http2_closed_reset(http2_closed_t *closed, int32_t id)
{
    assert(id > 0);
    if (http2_closed_tolerates(closed, id))
        return;
    int32_t *place = &closed->ids[closed->next++ % HTTP2_CLOSED_KEPT];
    if (*place > closed->forgotten)
        closed->forgotten = *place;
    *place = id;
}
