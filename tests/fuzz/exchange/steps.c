/* The steps of a fuzzed exchange: those of the edge, and some at which the input lets it wait. */
#include "fuzz_world.h"

#include "access.h"
#include "arena.h"

/* No exchange is resumed after its answer. */
static fuzz_call_t *stepping(exchange_t *ex)
{
    fuzz_call_t *call = ex->codec;
    assert(ex->state == EXCHANGE_STEPS && call->ex == ex && call->heads == 0 && call->cuts == 0);
    return call;
}

static void busy(exchange_t *ex)
{
    exchange_reply_error(ex, 503, "box_busy", "Busy.", 1);
}

static void leave_world(exchange_t *ex, await_end_t how)
{
    (void)how;
    fuzz_forget(ex);
}

static const await_source_t world_source = {.name = "world", .leave = leave_world};

static step_result_t step_world(exchange_t *ex)
{
    fuzz_call_t *call = stepping(ex);
    if ((call->waits & WAITS_WORLD) == 0 || call->world_came)
        return STEP_NEXT;
    fuzz_take(ex);
    await_begin(ex, &world_source);
    await_until(ex, FUZZ_WAIT_MS, busy);
    if ((call->waits & WAITS_AT_ONCE) != 0) {
        call->world_came = true;
        await_complete(ex);
    }
    return STEP_WAIT;
}

static step_result_t step_body(exchange_t *ex)
{
    fuzz_call_t *call = stepping(ex);
    return (call->waits & WAITS_BODY) == 0 || exchange_await_body(ex) ? STEP_NEXT : STEP_WAIT;
}

static step_result_t step_to_origin(exchange_t *ex)
{
    fuzz_origin_t *origin = arena_alloc(&ex->arena, sizeof(*origin));
    *origin = (fuzz_origin_t){.nature = fuzz_world.nature};
    exchange_to_origin(ex);
    if (!ex->internal)
        activity_begin(ex);
    if ((fuzz_world.nature & ORIGIN_FAILS_AT_ONCE) != 0) {
        exchange_origin_failed(ex, ORIGIN_NOT_LISTENING);
        return STEP_DONE;
    }
    fuzz_take(ex);
    ex->origin = origin;
    ex->origin_ops = &fuzz_origin_ops;
    return STEP_DONE;
}

static void leave_subrequest(exchange_t *ex, await_end_t how)
{
    if (how == AWAIT_LEFT)
        subrequest_cancel(&((fuzz_call_t *)ex->codec)->subrequest);
}

const await_source_t fuzz_subrequest_source = {.name = "subrequest", .leave = leave_subrequest};

static void on_subrequest(exchange_t *parent, void *arg, int status, const fields_t *fields, str_t body)
{
    fuzz_call_t *call = stepping(parent);
    (void)arg;
    (void)fields;
    (void)body;
    call->subrequest = NULL;
    call->subrequest_came = true;
    if (status == 200 || status == 204)
        await_complete(parent);
    else
        exchange_reply_error(parent, 502, "server_unreachable", "The upstream failed.", 0);
}

static step_result_t step_subrequest(exchange_t *ex)
{
    static const exchange_step_t first[] = {{"origin", step_to_origin}, {NULL, NULL}};
    static const fields_t none;
    fuzz_call_t *call = stepping(ex);
    if ((call->waits & WAITS_SUBREQUEST) == 0 || call->subrequest_came)
        return STEP_NEXT;
    await_begin(ex, &fuzz_subrequest_source);
    call->subrequest = subrequest_start(ex, first, STR("GET"), STR("/ask"), &none, on_subrequest, NULL);
    return STEP_WAIT;
}

static void leave_line(exchange_t *ex, await_end_t how)
{
    fuzz_call_t *call = ex->codec;
    if (how == AWAIT_RESUMED)
        upstream_queue_turn(&call->place);
    else
        upstream_queue_leave(fuzz_world.worker->upstream_queue, &call->place);
}

static const await_source_t line_source = {.name = "line", .leave = leave_line};

static step_result_t step_line(exchange_t *ex)
{
    fuzz_call_t *call = stepping(ex);
    bool again = call->in_line;
    if ((call->waits & WAITS_LINE) == 0 || (!again && fuzz_world.line_open))
        return STEP_NEXT;
    if (again && fuzz_world.line_open) {
        call->in_line = false;
        call->waits &= ~(unsigned)WAITS_LINE;
        upstream_queue_leave(fuzz_world.worker->upstream_queue, &call->place);
        return STEP_NEXT;
    }
    if (!again && !upstream_queue_wait(fuzz_world.worker->upstream_queue, &call->place, ex, 0, 3)) {
        busy(ex);
        return STEP_DONE;
    }
    if (again)
        upstream_queue_wait_on(fuzz_world.worker->upstream_queue, &call->place);
    call->in_line = true;
    await_begin(ex, &line_source);
    if (!again)
        await_until(ex, FUZZ_WAIT_MS, busy);
    return STEP_WAIT;
}

void fuzz_comes(exchange_t *ex)
{
    ((fuzz_call_t *)ex->codec)->world_came = true;
    await_complete(ex);
}

/* The edge's steps, and between them those at which the world lets it wait. */
const exchange_step_t fuzz_steps[] = {
    {"client", step_client},
    {"host", step_host},
    {"route", step_route},
    {"access", step_access},
    {"limit", step_limit},
    {"world", step_world},
    {"body", step_body},
    {"subrequest", step_subrequest},
    {"line", step_line},
    {"wake", step_wake},
    {"slots", step_slots},
    {"origin", step_to_origin},
    {NULL, NULL},
};
