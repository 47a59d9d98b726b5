#include "trace.h"

#include <assert.h>

/* An id of zeros is not valid (W3C Trace Context, section 3.2.2.3). */
static void make_id(random_source_t *random, char *out, size_t n)
{
    do
        random_hex(random, out, n);
    while (strspn(out, "0") >= n);
}

trace_t *trace_new(arena_t *arena, random_source_t *random, str_t inbound)
{
    assert(inbound.n == 0 || inbound.n == TRACEPARENT_BYTES);
    trace_t *trace = arena_alloc(arena, sizeof(*trace));
    memset(trace, 0, sizeof(*trace));
    trace->has_parent = inbound.n != 0;
    if (trace->has_parent) {
        memcpy(trace->parent, inbound.p, TRACEPARENT_BYTES);
        memcpy(trace->outgoing, inbound.p, TRACEPARENT_BYTES);
    } else {
        memcpy(trace->outgoing, "00-", 3);
        memcpy(trace->outgoing + 35, "-................-01", 20);
        make_id(random, trace->outgoing + 3, TRACE_ID_BYTES);
    }
    make_id(random, trace->outgoing + 36, TRACE_SPAN_BYTES);
    return trace;
}

uint32_t trace_us(uint64_t start_us, uint64_t now_us)
{
    uint64_t us = now_us > start_us ? now_us - start_us : 1;
    return us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

void trace_steps_end(trace_t *trace, uint32_t us)
{
    if (trace->step_count != 0 && trace->steps[trace->step_count - 1].to_us == 0)
        trace->steps[trace->step_count - 1].to_us = us;
}

void trace_step_runs(trace_t *trace, const char *name, uint32_t us)
{
    bool waited = trace->step_count != 0 && trace->steps[trace->step_count - 1].name == name;
    if (waited || trace->step_count == TRACE_STEPS_MAX)
        return;
    trace_steps_end(trace, us);
    trace->steps[trace->step_count++] = (trace_step_t){.name = name, .from_us = us};
}
