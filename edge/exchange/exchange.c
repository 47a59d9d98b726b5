/*
 * The exchange between its two codecs: it runs the steps, passes bodies, and releases everything that it
 * holds in one place.
 *
 * State only moves forward: HEAD, STEPS, ORIGIN, RESPONSE or TUNNEL, DONE. An exchange waits only through its
 * await_t (await.h). An answer, a cut and the end call leave() first, so nothing resumes it afterwards.
 */
#include "exchange.h"

#include <assert.h>

#include "arena.h"
#include "budget.h"
#include "client.h"
#include "context.h"
#include "exchange_measure.h"
#include "forward.h"
#include "pipeline.h"
#include "request_head.h"
#include "step.h"
#include "trace.h"
#include "withheld.h"

/* Fewer bytes than this do not count as progress for relief.h. */
#define PROGRESS_BYTES 4096

static const exchange_hooks_t *hooks_of(const exchange_t *ex)
{
    return &ex->context->pipeline->hooks;
}

bool exchange_still_allowed(exchange_t *ex)
{
    bool (*hook)(exchange_t *) = hooks_of(ex)->still_allowed;
    return hook == NULL || hook(ex);
}

static void run_hooks(const exchange_hook_t *hook, exchange_t *ex)
{
    for (; *hook != NULL; hook++)
        (*hook)(ex);
}

/* ---- beginning ---- */

exchange_t *exchange_new(client_t *client, const client_ops_t *ops, void *codec)
{
    arena_t arena;
    arena_init(&arena);
    exchange_t *ex = arena_alloc(&arena, sizeof(*ex));
    *ex = (exchange_t){.arena = arena,
                       .context = client->context,
                       .client = client,
                       .remote = remote_of_connection(client),
                       .account = {.parent = &client->account},
                       .client_ops = ops,
                       .codec = codec,
                       .progress_ms = loop_now(client->context->loop),
                       .request = {.content_length = LENGTH_UNKNOWN},
                       .response = {.content_length = LENGTH_UNKNOWN},
                       .preview = &preview_none};
    list_insert(&client->context->exchanges, &ex->in_context);
    counter_add(&client->context->counters->exchanges_open, 1);
    return ex;
}

void exchange_count(exchange_t *ex)
{
    if (ex->head != NULL)
        request_head_count(ex);
    if (!arena_has_grown(&ex->arena, &ex->arena_seen))
        return;
    size_t n = arena_growth(&ex->arena, &ex->arena_seen);
    ex->arena_bytes += n;
    account_add(&ex->account, n);
}

void exchange_give_back(exchange_t *ex, const void *bytes)
{
    size_t n = arena_give_back(&ex->arena, bytes, &ex->arena_seen);
    if (n == 0)
        return;
    ex->arena_bytes -= n;
    account_sub(&ex->account, n);
}

void exchange_progress(exchange_t *ex, size_t bytes)
{
    ex->moved += (uint32_t)(bytes < PROGRESS_BYTES ? bytes : PROGRESS_BYTES);
    if (ex->moved < PROGRESS_BYTES)
        return;
    ex->moved = 0;
    ex->progress_ms = loop_now(ex->context->loop);
}

/* Moves the held bytes to other accounts, once the owner of the exchange is known. */
static void set_accounts(exchange_t *ex, account_t own, account_t named)
{
    uint32_t held = ex->account.held;
    account_sub(&ex->account, held);
    ex->account = own;
    ex->named = named;
    account_add(&ex->account, held);
}

void exchange_set_share(exchange_t *ex, str_t box)
{
    if (ex->context->shm == NULL || ex->account.share.cell[0] != 0)
        return;
    account_t own = {.parent = ex->account.parent, .share = shm_share_of_box(ex->context->shm, box)};
    account_t named = {.parent = ex->named.parent, .share = ex->named.share};
    set_accounts(ex, own, named);
}

/* A trusted proxy's connection carries many clients. */
static void set_client_share(exchange_t *ex)
{
    if (ex->context->shm == NULL || !ex->remote.named || ex->client->local)
        return;
    account_t own = {.parent = &ex->named}, named = {.parent = &ex->client->account};
    named.share = shm_share_of_client(ex->context->shm, &ex->remote.address);
    set_accounts(ex, own, named);
}

/* The state of a sampled exchange becomes `state`. */
static COLD void trace_state(exchange_t *ex, exchange_state_t state)
{
    uint32_t us = trace_us(ex->times.start_us, loop_precise_us());
    if (ex->state == EXCHANGE_STEPS)
        trace_steps_end(ex->trace, us);
    if (state == EXCHANGE_ORIGIN)
        ex->trace->origin_us = us;
    else if (state == EXCHANGE_RESPONSE || state == EXCHANGE_TUNNEL)
        ex->trace->head_us = us;
}

static void set_state(exchange_t *ex, exchange_state_t state)
{
    assert(state > ex->state);
    assert(await_source(ex) == NULL);
    assert(state != EXCHANGE_TUNNEL || ex->state == EXCHANGE_ORIGIN);
    if (ex->trace != NULL)
        trace_state(ex, state);
    ex->state = state;
}

static void begin(exchange_t *ex)
{
    uint64_t now_ms = loop_now(ex->context->loop);
    ex->times.head_ms = (uint32_t)(now_ms - ex->progress_ms);
    ex->progress_ms = now_ms;
    if (!ex->internal)
        remote_find(ex);
    set_client_share(ex);
    ex->times.start_us = loop_precise_us();
    ex->times.wall_us = loop_wall_us(ex->context->loop);
    str_t inbound = fields_value(&ex->request.fields, FIELD_X_REQUEST_ID);
    if (remote_gives_id(ex, inbound)) {
        memcpy(ex->request_id, inbound.p, inbound.n);
        ex->request_id[inbound.n] = '\0';
    } else {
        random_hex(ex->context->random, ex->request_id, 32);
        ex->request_id[32] = '\0';
    }
}

void exchange_leave_origin(exchange_t *ex)
{
    const origin_ops_t *ops = ex->origin_ops;
    ex->origin_ops = NULL;
    if (ops != NULL)
        ops->cancel(ex);
}

/*
 * Leaves everything that could call the exchange back (its wait, its origin, its tunnel), then gives its
 * claims back: its turn at a box, its slots, a deletion that it noted. Every answer of the edge itself, every
 * cut and the end begin with it. Idempotent.
 */
static void leave(exchange_t *ex)
{
    await_leave(ex);
    withheld_drop(ex);
    exchange_leave_origin(ex);
    run_hooks(hooks_of(ex)->leave, ex);
}

void exchange_begin(exchange_t *ex)
{
    begin(ex);
    ex->request_complete = !ex->request.has_body && !ex->request.websocket;
    set_state(ex, EXCHANGE_STEPS);
    run_hooks(hooks_of(ex)->begin, ex);
    ex->step = ex->client->steps;
    if (budget_refuses(ex))
        exchange_count(ex);
}

void exchange_go(exchange_t *ex)
{
    if (ex->state == EXCHANGE_STEPS)
        await_run_steps(ex);
}

void exchange_start(exchange_t *ex)
{
    exchange_begin(ex);
    exchange_go(ex);
}

void exchange_start_at(exchange_t *ex, const exchange_step_t *step, const char *request_id)
{
    assert(ex->internal && !ex->request.has_body);
    begin(ex);
    (void)snprintf(ex->request_id, sizeof(ex->request_id), "%s", request_id);
    ex->request_complete = true;
    set_state(ex, EXCHANGE_STEPS);
    ex->step = step;
    await_run_steps(ex);
}

void exchange_refuse(exchange_t *ex, int status, const char *code, const char *sentence, const fault_t *fault)
{
    if (ex->times.start_us == 0)
        begin(ex);
    if (status == 400 && fault != NULL)
        fault_report(ex, fault, false);
    exchange_count(ex);
    if (ex->state == EXCHANGE_HEAD && budget_is_short(ex))
        exchange_cut(ex); /* memory is short: an answer would take more */
    else
        exchange_reply_error(ex, status, code, sentence, 0);
    exchange_count(ex);
}

/* Sends 100 (Continue) to a client that waits for it, unless the origin takes no body. */
static void send_continue(exchange_t *ex)
{
    static const fields_t none;
    if (!ex->request.expect_continue || ex->request_complete || ex->continued)
        return;
    if (ex->origin_ops != NULL && ex->origin_ops->room(ex) == 0)
        return;
    ex->continued = true;
    ex->client_ops->send_informational(ex, 100, &none);
    ex->client_ops->flush(ex);
}

void exchange_to_origin(exchange_t *ex)
{
    if (ex->state != EXCHANGE_ORIGIN)
        set_state(ex, EXCHANGE_ORIGIN);
    send_continue(ex);
}

/* ---- the request's body ---- */

/* Nothing to do: exchange_request_flush checks the body of every exchange that waits for it. */
static void leave_body(exchange_t *ex, await_end_t how)
{
    (void)ex;
    (void)how;
}

static const await_source_t body_source = {.name = "body", .leave = leave_body};

static bool awaits_body(const exchange_t *ex)
{
    return await_source(ex) == &body_source;
}

/* A WebSocket handshake has no body: the bytes after it belong to the tunnel. */
static bool body_is_held(const exchange_t *ex)
{
    return ex->request_complete || ex->request.websocket || buffer_size(&ex->held) >= EXCHANGE_BODY_BYTES;
}

bool exchange_await_body(exchange_t *ex)
{
    if (body_is_held(ex))
        return true;
    await_begin(ex, &body_source);
    send_continue(ex);
    return false;
}

size_t exchange_request_room(const exchange_t *ex)
{
    if (ex->state == EXCHANGE_DONE || ex->state == EXCHANGE_HEAD)
        return 0;
    if (ex->request.websocket && ex->state != EXCHANGE_TUNNEL)
        return 0;
    if (ex->origin_ops != NULL)
        return ex->origin_ops->room(ex);
    /* Thousands may wait for boxes: bound the sum of their bodies and leave the rest with the clients. */
    bool awaits = awaits_body(ex);
    bool full = !awaits && account_own(&ex->context->memory) >= ex->context->conf->limits.memory_bytes;
    if (ex->state != EXCHANGE_STEPS || full)
        return 0;
    size_t bound = awaits ? EXCHANGE_BODY_BYTES : budget_bound(ex, EXCHANGE_BODY_BYTES);
    return buffer_size(&ex->held) < bound ? bound - buffer_size(&ex->held) : 0;
}

void exchange_request_body(exchange_t *ex, str_t data)
{
    ex->request_bytes += data.n;
    exchange_progress(ex, data.n);
    counter_add(&ex->context->counters->request_body_bytes_total, data.n);
    if (ex->state == EXCHANGE_DONE)
        return;
    if (ex->state == EXCHANGE_TUNNEL || ex->state == EXCHANGE_RESPONSE)
        for (void (*const *hook)(exchange_t *, str_t) = hooks_of(ex)->request_body; *hook != NULL; hook++)
            (*hook)(ex, data);
    if (ex->origin_ops != NULL)
        ex->origin_ops->send_body(ex, data);
    else if (ex->state == EXCHANGE_STEPS)
        buffer_append(&ex->held, data, &ex->account);
}

void exchange_request_end(exchange_t *ex)
{
    assert(!ex->request_complete);
    ex->request_complete = true;
    if (ex->state != EXCHANGE_DONE && ex->origin_ops != NULL)
        ex->origin_ops->send_end(ex);
}

/* The two directions of a tunnel end separately. It is over when both have ended and the kernel has the
 * client's last bytes for the box. */
static bool tunnel_over(exchange_t *ex)
{
    if (ex->state != EXCHANGE_TUNNEL || !ex->request_complete || !ex->response_complete)
        return false;
    if (ex->origin_ops != NULL && !ex->origin_ops->sent(ex))
        return false;
    set_state(ex, EXCHANGE_DONE);
    return true;
}

void exchange_request_flush(exchange_t *ex)
{
    if (awaits_body(ex)) {
        if (body_is_held(ex))
            await_complete(ex);
        return;
    }
    if (ex->state == EXCHANGE_DONE || ex->origin_ops == NULL)
        return;
    ex->origin_ops->flush(ex);
    exchange_count(ex);
    if (tunnel_over(ex))
        ex->client_ops->resume_request(ex);
}

void exchange_request_room_grew(exchange_t *ex)
{
    if (tunnel_over(ex) || (!ex->request_complete && ex->state != EXCHANGE_DONE))
        ex->client_ops->resume_request(ex);
}

/* ---- the response ---- */

void exchange_response_informational(exchange_t *ex, int status, const fields_t *fields)
{
    assert(status >= 100 && status < 200 && status != 101);
    if (status == 100 && (!ex->request.expect_continue || ex->continued))
        return;
    if (ex->request.version == HTTP_1_0)
        return;
    ex->continued |= status == 100;
    ex->client_ops->send_informational(ex, status, fields);
    ex->client_ops->flush(ex);
}

void exchange_drain(exchange_t *ex)
{
    run_hooks(hooks_of(ex)->drain, ex);
}

void exchange_client_half_closed(exchange_t *ex)
{
    static const fields_t none;
    bool answered = ex->state != EXCHANGE_STEPS && ex->state != EXCHANGE_ORIGIN;
    if (!answered && !ex->client->local) /* local commands run to completion even if the client has gone */
        exchange_response_informational(ex, 102, &none);
}

/* False: a hook has answered the exchange in place of the origin. */
static bool judge_head(exchange_t *ex)
{
    for (bool (*const *hook)(exchange_t *) = hooks_of(ex)->judge_head; *hook != NULL; hook++)
        if (!(*hook)(ex))
            return false;
    return true;
}

void exchange_response_head(exchange_t *ex)
{
    ex->times.first_byte_us = (uint32_t)(loop_precise_us() - ex->times.start_us);
    if (judge_head(ex) && ex->withheld == NULL)
        exchange_pass_head(ex);
}

void exchange_pass_head(exchange_t *ex)
{
    ex->status = ex->response.status;
    set_state(ex, ex->response.tunnel ? EXCHANGE_TUNNEL : EXCHANGE_RESPONSE);
    run_hooks(hooks_of(ex)->response_head, ex);
    ex->progress_ms = loop_now(ex->context->loop);
    ex->client_ops->send_head(ex);
    request_head_release(ex);
    if (!ex->response.tunnel)
        return;
    ex->client_ops->resume_request(ex);
    if (ex->context->draining)
        exchange_drain(ex);
}

size_t exchange_response_body_room(const exchange_t *ex)
{
    return ex->withheld == NULL ? ex->client_ops->room(ex) : withheld_room(ex);
}

void exchange_response_body(exchange_t *ex, str_t data)
{
    if (ex->withheld != NULL)
        withheld_body(ex, data);
    else
        exchange_pass_body(ex, data);
}

void exchange_pass_body(exchange_t *ex, str_t data)
{
    assert(ex->state == EXCHANGE_RESPONSE || ex->state == EXCHANGE_TUNNEL);
    ex->response_bytes += data.n;
    for (bool (*const *hook)(exchange_t *, str_t *) = hooks_of(ex)->response_body; *hook != NULL; hook++)
        if (!(*hook)(ex, &data))
            return;
    ex->client_ops->send_body(ex, data);
}

/* False: a hook continues the exchange. */
static bool origin_left(exchange_t *ex, const origin_failure_t *failure)
{
    bool (*const *hook)(exchange_t *, const origin_failure_t *) = hooks_of(ex)->origin_left;
    for (; *hook != NULL; hook++)
        if (!(*hook)(ex, failure))
            return false;
    return true;
}

bool exchange_origin_connected(exchange_t *ex)
{
    for (bool (*const *hook)(exchange_t *) = hooks_of(ex)->origin_connected; *hook != NULL; hook++)
        if (!(*hook)(ex))
            return false;
    return true;
}

void exchange_origin_unreachable(exchange_t *ex)
{
    if (ex->trace != NULL)
        ex->trace->unreachable_us = trace_us(ex->times.start_us, loop_precise_us());
    run_hooks(hooks_of(ex)->origin_unreachable, ex);
}

bool exchange_may_pool(const exchange_t *ex)
{
    for (bool (*const *hook)(const exchange_t *) = hooks_of(ex)->may_pool; *hook != NULL; hook++)
        if (!(*hook)(ex))
            return false;
    return true;
}

void exchange_response_end(exchange_t *ex)
{
    if (ex->state == EXCHANGE_DONE || (ex->withheld != NULL && !withheld_end(ex)) || !origin_left(ex, NULL))
        return;
    assert(!ex->response_complete);
    ex->response_complete = true;
    /* A tunnel whose box has ended still carries the client's bytes until the client ends too. */
    if (!tunnel_over(ex) && ex->state == EXCHANGE_RESPONSE)
        set_state(ex, EXCHANGE_DONE);
    if (ex->state == EXCHANGE_DONE)
        slots_release(ex); /* the origin's connection is free even before the client takes the rest */
    ex->client_ops->send_end(ex);
}

void exchange_response_flush(exchange_t *ex)
{
    ex->client_ops->flush(ex);
    exchange_count(ex);
}

void exchange_response_room(exchange_t *ex)
{
    if (ex->reply_rest.n != 0)
        exchange_reply_more(ex);
    else if (ex->withheld != NULL)
        withheld_room_grew(ex);
    else if (ex->origin_ops != NULL)
        ex->origin_ops->resume_response(ex);
}

void exchange_cut(exchange_t *ex)
{
    leave(ex);
    if (ex->state == EXCHANGE_DONE)
        return;
    set_state(ex, EXCHANGE_DONE);
    ex->reply_rest = str_make(NULL, 0);
    ex->client_ops->flush(ex); /* sends the bytes before the cut, whose slices do not outlive this call */
    request_head_release(ex);  /* the codec ends the exchange later, behind the heads of other connections */
    ex->client_ops->cut(ex);
}

void exchange_origin_failed(exchange_t *ex, origin_failure_t failure)
{
    const origin_failure_text_t *text = origin_failure_text(failure, ex->target.is_box);
    assert(ex->origin_ops == NULL);
    if (ex->withheld != NULL)
        withheld_cut(ex);
    if (!origin_left(ex, &failure))
        return;
    for (void (*const *hook)(exchange_t *, origin_failure_t) = hooks_of(ex)->failed; *hook != NULL; hook++)
        (*hook)(ex, failure);
    exchange_reply_error(ex, text->status, text->code, text->sentence, text->status == 503 ? 1 : 0);
}

void exchange_answer(exchange_t *ex)
{
    leave(ex);
    ex->status = ex->response.status;
    run_hooks(hooks_of(ex)->local_head, ex);
    counter_add(&ex->context->counters->responses_local_total, 1);
    set_state(ex, EXCHANGE_RESPONSE);
    ex->client_ops->send_head(ex);
    request_head_release(ex);
}

void exchange_answered(exchange_t *ex)
{
    leave(ex);
    set_state(ex, EXCHANGE_DONE);
    ex->response_complete = true;
    ex->client_ops->send_end(ex);
}

/* ---- the end ---- */

static void count(const exchange_t *ex)
{
    counters_t *counters = ex->context->counters;
    counter_sub(&counters->exchanges_open, 1);
    counter_add(&counters->exchanges_total, 1);
    counter_add(&counters->response_body_bytes_total, ex->response_bytes);
    if (ex->end == EXCHANGE_END_CLIENT_GONE)
        counter_add(&counters->client_departures_total, 1);
    exchange_measure(ex);
}

void exchange_end(exchange_t **exp, exchange_end_t how)
{
    exchange_t *ex = *exp;
    *exp = NULL;
    ex->end = how;
    leave(ex);
    if (ex->times.start_us != 0)
        ex->times.end_us = loop_precise_us();
    remote_uncount(ex);
    count(ex);
    run_hooks(hooks_of(ex)->end, ex);
    list_unlink(&ex->in_context);
    buffer_clear(&ex->held, &ex->account);
    request_head_free(ex);
    account_sub(&ex->account, ex->arena_bytes);
    preview_drop(&ex->preview);
    arena_t arena = ex->arena; /* the exchange lives in its own arena */
    arena_clear(&arena);
}

void exchange_refuse_unread(exchange_t **exp, const char *code, const fault_t *fault)
{
    exchange_t *ex = *exp;
    begin(ex);
    ex->local_code = code;
    fault_report(ex, fault, false);
    exchange_end(exp, EXCHANGE_END_CUT);
}
