/*
 * The exchange between its two codecs: which steps it takes, where its bodies flow, and the one place where
 * everything that it holds is let go.
 *
 * State only moves forward: HEAD, STEPS, ORIGIN, RESPONSE or TUNNEL, DONE. An exchange waits in STEPS only
 * (await.h): an answer, a cut and the end call leave() first, so nothing resumes it afterwards.
 */
#include "exchange.h"

#include <assert.h>

#include "access.h"
#include "access_log.h"
#include "api.h"
#include "budget.h"
#include "client.h"
#include "forward.h"
#include "request_head.h"
#include "steps.h"
#include "tunnel.h"
#include "wake.h"
#include "worker.h"

/* Fewer bytes than this in the time of relief.h are no progress. */
#define PROGRESS_BYTES 4096

/*
 * The steps of an exchange that came to a preview's host, in order. Each listener's kind has a table; a step
 * answers STEP_NEXT, STEP_WAIT or STEP_DONE, and never goes back.
 */
const exchange_step_t exchange_preview_steps[] = {
    {"client", step_client}, /* has its client too many requests open: 429 */
    {"host", step_host},     /* is this name ours: 421 */
    {"route", step_route},   /* which preview and which box: 404 */
    {"access", step_access}, /* may this request see it: 401, 403, 429, or the sign-in page */
    {"limit", step_limit},   /* is there room for it: 503; has it been here before: 508 */
    {"wake", step_wake},     /* does its box run: else it waits, bounded: 503 */
    {"slots", step_slots},   /* may its client and its box have another connection: else it waits: 503 */
    {"origin", step_origin}, /* to the port in the box, and the response back */
    {NULL, NULL},
};

/* The host step goes over to these where the name is one of the API's. */
const exchange_step_t exchange_api_steps[] = {
    {"host", step_host},
    {"key", step_api_key},           /* which key it shows */
    {"limit", step_api_limit},       /* may it go on now: 429; does its key count: 401 */
    {"room", step_limit},            /* is there room for it: 503; has it been here before: 508 */
    {"deletion", step_api_deletion}, /* does it delete boxes: noted before it goes on */
    {"preview", step_api_preview},   /* is it about previews: answered here, where the upstream lets it */
    {"slots", step_api_slots},       /* may its client have another connection: else it waits: 503 */
    {"pick", step_api_pick},         /* which server: 503; where all are full it waits, bounded */
    {"origin", step_api_origin},     /* to the server, and the response back */
    {NULL, NULL},
};

const exchange_step_t exchange_api_upstream_steps[] = {
    {"pick", step_api_pick},
    {"origin", step_api_origin},
    {NULL, NULL},
};

const exchange_step_t exchange_redirect_steps[] = {
    {"redirect", step_redirect},
    {NULL, NULL},
};

const exchange_step_t exchange_health_steps[] = {
    {"health", step_health},
    {NULL, NULL},
};

/* ---- beginning ---- */

exchange_t *exchange_new(client_t *client, const client_ops_t *ops, void *codec)
{
    h2o_mem_pool_t arena;
    h2o_mem_init_pool(&arena);
    exchange_t *ex = h2o_mem_alloc_pool(&arena, sizeof(*ex));
    *ex = (exchange_t){.arena = arena,
                       .worker = client->worker,
                       .client = client,
                       .remote = remote_of_connection(client),
                       .account = {.parent = &client->account},
                       .client_ops = ops,
                       .codec = codec,
                       .request = {.content_length = LENGTH_UNKNOWN},
                       .response = {.content_length = LENGTH_UNKNOWN}};
    counter_add(&client->worker->counters->exchanges_open, 1);
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
    ex->progress_ms = loop_now(ex->worker->loop);
}

/* What an exchange holds already when it is known whose it is, moves there. */
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
    if (ex->worker->shm == NULL || ex->account.share.cell[0] != 0)
        return;
    account_t own = {.parent = ex->account.parent, .share = shm_share_of_box(ex->worker->shm, box)};
    account_t named = {.parent = ex->named.parent, .share = ex->named.share};
    set_accounts(ex, own, named);
}

/* A trusted proxy's connection carries many clients. */
static void set_client_share(exchange_t *ex)
{
    if (ex->worker->shm == NULL || !ex->remote.named || ex->client->local)
        return;
    account_t own = {.parent = &ex->named}, named = {.parent = &ex->client->account};
    named.share = shm_share_of_client(ex->worker->shm, &ex->remote.address);
    set_accounts(ex, own, named);
}

static void set_state(exchange_t *ex, exchange_state_t state)
{
    assert(state > ex->state);
    assert(await_source(ex) == NULL);
    assert(state != EXCHANGE_TUNNEL || ex->state == EXCHANGE_ORIGIN);
    ex->state = state;
}

/* An inbound request id counts only from a trusted client, and only as 1-36 letters, digits, '-', '_', '.'.
 */
static bool inbound_id_usable(const exchange_t *ex, str_t id)
{
    if (id.n == 0 || id.n >= sizeof(ex->request_id))
        return false;
    for (size_t i = 0; i < id.n; i++) {
        char c = str_lower(id.p[i]);
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.'))
            return false;
    }
    return remote_is_trusted(ex);
}

static void begin(exchange_t *ex)
{
    ex->progress_ms = loop_now(ex->worker->loop);
    if (!ex->internal)
        remote_find(ex);
    set_client_share(ex);
    ex->times.start_us = loop_precise_us();
    ex->times.wall_us = loop_wall_us(ex->worker->loop);
    str_t inbound = fields_value(&ex->request.fields, FIELD_X_REQUEST_ID);
    if (inbound_id_usable(ex, inbound)) {
        memcpy(ex->request_id, inbound.p, inbound.n);
        ex->request_id[inbound.n] = '\0';
    } else {
        random_hex(ex->worker->random, ex->request_id, 32);
        ex->request_id[32] = '\0';
    }
}

static void cancel_origin(exchange_t *ex)
{
    const origin_ops_t *ops = ex->origin_ops;
    ex->origin_ops = NULL;
    if (ops != NULL)
        ops->cancel(ex);
}

/*
 * Leaves everything that could call the exchange back (its wait, its origin, its tunnel), then gives its
 * claims back: its turn at a box, its slots, a deletion that it noted. Every answer of the edge's own, every
 * cut and the end begin with it. Idempotent.
 */
static void leave(exchange_t *ex)
{
    await_leave(ex);
    cancel_origin(ex);
    tunnel_leave(ex);
    wake_turn_end(ex);
    slots_release(ex);
    if (ex->api != NULL)
        api_deletion_end(ex);
}

void exchange_begin(exchange_t *ex)
{
    begin(ex);
    ex->request_complete = !ex->request.has_body && !ex->request.websocket;
    set_state(ex, EXCHANGE_STEPS);
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
        fault_say(ex, fault, false);
    exchange_count(ex);
    if (ex->state == EXCHANGE_HEAD && budget_is_short(ex))
        exchange_cut(ex); /* an answer would take more of what it holds too much of */
    else
        exchange_reply_error(ex, status, code, sentence, 0);
    exchange_count(ex);
}

/* A client that waits for 100 (Continue) gets it, unless the origin takes no body. */
static void ask_for_body(exchange_t *ex)
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
    ask_for_body(ex);
}

/* ---- the request's body ---- */

/* exchange_request_flush looks at the body of every exchange that waits for it. */
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

static bool body_is_held(const exchange_t *ex)
{
    return ex->request_complete || buffer_size(&ex->held) >= EXCHANGE_BODY_BYTES;
}

bool exchange_await_body(exchange_t *ex)
{
    if (body_is_held(ex))
        return true;
    await_begin(ex, &body_source);
    ask_for_body(ex);
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
    /* Thousands may wait for boxes: what all hold is bounded, and the rest stays with the clients. */
    bool awaits = awaits_body(ex);
    bool full = !awaits && ex->worker->memory.held >= ex->worker->conf->limits.memory_bytes;
    if (ex->state != EXCHANGE_STEPS || full)
        return 0;
    size_t bound = awaits ? EXCHANGE_BODY_BYTES : budget_bound(ex, EXCHANGE_BODY_BYTES);
    return buffer_size(&ex->held) < bound ? bound - buffer_size(&ex->held) : 0;
}

void exchange_request_body(exchange_t *ex, str_t data)
{
    ex->request_bytes += data.n;
    exchange_progress(ex, data.n);
    counter_add(&ex->worker->counters->request_body_bytes_total, data.n);
    if (ex->state == EXCHANGE_DONE)
        return;
    if (ex->state == EXCHANGE_TUNNEL)
        tunnel_takes(ex, data);
    else if (ex->state == EXCHANGE_RESPONSE)
        use_carried(ex, data.n, true);
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

/* The two directions of a tunnel end apart. It is over when both have, and the box's kernel has what the
 * client sent last. */
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

void exchange_client_half_closed(exchange_t *ex)
{
    static const fields_t none;
    bool answered = ex->state != EXCHANGE_STEPS && ex->state != EXCHANGE_ORIGIN;
    if (!answered && !ex->client->local) /* a command is carried out, whether or not who gave it waits */
        exchange_response_informational(ex, 102, &none);
}

/* How long the wake took, and the box's answer after it (Server Timing, W3C). The app's own fields stay. */
static void add_server_timing(exchange_t *ex)
{
    uint32_t origin_us = ex->times.first_byte_us > ex->wake_times.went_us
                             ? ex->times.first_byte_us - ex->wake_times.went_us
                             : 0;
    fields_add(&ex->arena, &ex->response.fields, FIELD_OTHER, STR("server-timing"),
               str_format(&ex->arena, "resume;dur=%u, listen;dur=%u, origin;dur=%u.%03u",
                          ex->wake_times.resume_ms, ex->wake_times.listen_ms, origin_us / 1000,
                          origin_us % 1000));
}

void exchange_response_head(exchange_t *ex)
{
    /* Who is about to be let in for long is judged by what is known now. */
    if (ex->response.tunnel && !exchange_still_allowed(ex))
        return;
    ex->times.first_byte_us = (uint32_t)(loop_precise_us() - ex->times.start_us);
    wake_turn_end(ex); /* the box has answered: the next that waited may go to it */
    if (ex->preflight && !ex->response.bodyless) {
        fields_t fields = ex->response.fields;
        exchange_reply(ex, ex->response.status, STR(""), &fields, STR(""));
        return;
    }
    if (ex->api != NULL) {
        api_answered(ex);
        api_add_fields(ex, &ex->response.fields);
    }
    ex->status = ex->response.status;
    if (ex->wake_times.woken)
        add_server_timing(ex);
    if (ex->session_cookie.n != 0) {
        fields_add(&ex->arena, &ex->response.fields, FIELD_SET_COOKIE, STR("set-cookie"), ex->session_cookie);
        /* Whatever the app says of its page: no cache may give one person's session to others. */
        fields_add(&ex->arena, &ex->response.fields, FIELD_OTHER, STR("cache-control"), STR("private"));
    }
    if (ex->response.tunnel) {
        set_state(ex, EXCHANGE_TUNNEL);
        tunnel_open(ex);
    } else {
        set_state(ex, EXCHANGE_RESPONSE);
    }
    use_responds(ex);
    ex->progress_ms = loop_now(ex->worker->loop);
    ex->client_ops->send_head(ex);
    request_head_release(ex);
    if (!ex->response.tunnel)
        return;
    ex->client_ops->resume_request(ex);
    if (ex->worker->draining)
        exchange_drain(ex);
}

size_t exchange_response_body_room(const exchange_t *ex)
{
    return ex->client_ops->room(ex);
}

void exchange_response_body(exchange_t *ex, str_t data)
{
    assert(ex->state == EXCHANGE_RESPONSE || ex->state == EXCHANGE_TUNNEL);
    ex->response_bytes += data.n;
    if (ex->state == EXCHANGE_TUNNEL && !tunnel_pass(ex, &data))
        return; /* the tunnel was closed within these bytes */
    if (ex->use.quiet && ex->state == EXCHANGE_RESPONSE)
        use_carried(ex, data.n, false);
    ex->client_ops->send_body(ex, data);
}

void exchange_response_end(exchange_t *ex)
{
    if (ex->state == EXCHANGE_DONE)
        return;
    if (tunnel_box_left(ex, NULL))
        return;
    assert(!ex->response_complete);
    ex->response_complete = true;
    /* A tunnel whose box ended still carries what the client sends, until that ends too. */
    if (!tunnel_over(ex) && ex->state == EXCHANGE_RESPONSE)
        set_state(ex, EXCHANGE_DONE);
    if (ex->state == EXCHANGE_DONE)
        slots_release(ex); /* the origin's connection is free, whenever the client takes the rest */
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
    else if (ex->origin_ops != NULL)
        ex->origin_ops->resume_response(ex);
}

void exchange_cut(exchange_t *ex)
{
    leave(ex);
    if (ex->state == EXCHANGE_DONE)
        return;
    set_state(ex, EXCHANGE_DONE);
    ex->client_ops->flush(ex); /* what came before the cut, whose slices do not outlive this call */
    ex->client_ops->cut(ex);
}

void exchange_origin_failed(exchange_t *ex, origin_failure_t failure)
{
    const origin_failure_text_t *text = origin_failure_text(failure, ex->target.is_box);
    assert(ex->origin_ops == NULL);
    if (tunnel_box_left(ex, &failure))
        return;
    if (ex->api != NULL)
        api_failed(ex, failure);
    exchange_reply_error(ex, text->status, text->code, text->sentence, text->status == 503 ? 1 : 0);
}

void exchange_answer(exchange_t *ex)
{
    leave(ex);
    ex->status = ex->response.status;
    if (ex->api != NULL)
        api_add_fields(ex, &ex->response.fields);
    counter_add(&ex->worker->counters->responses_local_total, 1);
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

static void count(const exchange_t *ex, exchange_end_t how)
{
    counters_t *counters = ex->worker->counters;
    counter_sub(&counters->exchanges_open, 1);
    counter_add(&counters->exchanges_total, 1);
    counter_add(&counters->response_body_bytes_total, ex->response_bytes);
    if (how == EXCHANGE_END_CLIENT_GONE)
        counter_add(&counters->client_departures_total, 1);
    switch (ex->status / 100) {
    case 1:
        counter_add(&counters->responses_1xx_total, 1);
        break;
    case 2:
        counter_add(&counters->responses_2xx_total, 1);
        break;
    case 3:
        counter_add(&counters->responses_3xx_total, 1);
        break;
    case 4:
        counter_add(&counters->responses_4xx_total, 1);
        break;
    case 5:
        counter_add(&counters->responses_5xx_total, 1);
        break;
    default:
        break;
    }
}

void exchange_end(exchange_t **exp, exchange_end_t how)
{
    exchange_t *ex = *exp;
    *exp = NULL;
    leave(ex);
    tunnel_close(ex);
    use_end(ex);
    remote_uncount(ex);
    count(ex, how);
    if (ex->worker->log != NULL && ex->times.start_us != 0 && !ex->internal)
        access_log_exchange(ex->worker->log, ex, how);
    buffer_clear(&ex->held, &ex->account);
    request_head_free(ex);
    api_end(ex);
    account_sub(&ex->account, ex->arena_bytes);
    h2o_mem_pool_t arena = ex->arena; /* the exchange lives in it */
    h2o_mem_clear_pool(&arena);
}
