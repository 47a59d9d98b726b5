#include "in_flight.h"

#include "context.h"
#include "crash.h"
#include "exchange.h"
#include "list.h"

/* Steps along a list that may be damaged. */
#define STEPS_MAX 1000000

/* Such an id fits into the line, and is of the edge's making, or was checked. */
static bool add_id(crash_line_t *line, const exchange_t *ex)
{
    if (strnlen(ex->request_id, sizeof(ex->request_id)) == sizeof(ex->request_id))
        return false;
    crash_line_text(line, " ");
    crash_line_text(line, ex->request_id);
    return true;
}

void in_flight_write(void *context)
{
    const list_t *all = &((const context_t *)context)->exchanges;
    size_t named = 0, others = 0, steps = 0;
    crash_line_t line;
    crash_line_begin(&line);
    crash_line_text(&line, "requests in flight:");
    for (const list_t *link = all->next; link != NULL && link != all && steps < STEPS_MAX;
         link = link->next, steps++) {
        const exchange_t *ex = CONTAINER_OF(exchange_t, in_context, link);
        if (ex->request_id[0] == '\0' || ex->internal)
            continue; /* no whole head came, or it belongs to another request */
        if (named < IN_FLIGHT_MAX && add_id(&line, ex))
            named++;
        else
            others++;
    }
    if (named + others == 0)
        crash_line_text(&line, " none");
    if (others != 0) {
        crash_line_text(&line, " and ");
        crash_line_number(&line, others, 10);
        crash_line_text(&line, " others");
    }
    crash_line_end(&line);
}
