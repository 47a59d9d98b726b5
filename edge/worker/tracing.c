#include "tracing.h"

#include <assert.h>

#include "access_line.h"
#include "api.h"
#include "client.h"
#include "exchange_measure.h"
#include "forward.h"
#include "process.h"
#include "target_text.h"
#include "trace.h"
#include "trace_sampler.h"
#include "wake_times.h"
#include "worker.h"

struct tracing {
    channel_t *channel; /* NULL: the controller is down */
    trace_sampler_t sampler;
    uint64_t lost; /* messages since the last one that was sent */
};

tracing_t *tracing_new(void)
{
    tracing_t *tracing = calloc(1, sizeof(*tracing));
    assert(tracing != NULL);
    return tracing;
}

void tracing_free(tracing_t **tracing)
{
    free(*tracing);
    *tracing = NULL;
}

void tracing_set_channel(tracing_t *tracing, channel_t *channel)
{
    tracing->channel = channel;
}

static COLD void sample(exchange_t *ex, tracing_t *tracing)
{
    const conf_t *conf = ex->context->conf;
    if (ex->client->local || ex->client->kind == CONF_LISTENER_HEALTH)
        return;
    str_t inbound = forward_inbound_trace(ex);
    uint32_t random = 0;
    if (inbound.n == 0)
        random_bytes(ex->context->random, (unsigned char *)&random, sizeof(random));
    if (trace_sampler_takes(&tracing->sampler, inbound, conf->tracing.rate, conf->tracing.per_second, random,
                            loop_now(ex->context->loop)))
        ex->trace = trace_new(&ex->arena, ex->context->random, inbound);
}

void tracing_begin(exchange_t *ex)
{
    tracing_t *tracing = worker_of(ex->context)->tracing;
    if (tracing != NULL && ex->context->conf->tracing.otlp[0] != '\0')
        sample(ex, tracing);
}

/* ---- the phases ---- */

/* The times of an exchange, as those of a message: they begin with the head. */
typedef struct ruler {
    uint64_t head_us, took_us;
} ruler_t;

/* Both in microseconds since the head was complete. */
static void set(trace_message_t *out, trace_phase_t phase, const ruler_t *ruler, uint64_t from_us,
                uint64_t to_us, bool failed)
{
    uint64_t from = ruler->head_us + from_us, to = ruler->head_us + to_us;
    if (to > ruler->took_us)
        to = ruler->took_us;
    if (from > to)
        from = to;
    out->phases[phase] = (trace_span_t){.from_us = from, .to_us = to, .there = true, .failed = failed};
}

/* The phase of a step, if it has one. */
static bool phase_of(const exchange_t *ex, const trace_step_t *step, trace_phase_t *phase)
{
    str_t name = str_from(step->name);
    if (str_eq(name, STR("access")) || str_eq(name, STR("key")))
        *phase = TRACE_ACCESS;
    else if (str_eq(name, STR("wake")) && wake_outcome(ex) != WAKE_OUTCOME_NONE)
        *phase = TRACE_WAKE;
    else if (str_eq(name, STR("slots")) && slots_waited(ex))
        *phase = TRACE_QUEUE;
    else if (str_eq(name, STR("pick")) && ex->api->queued_ms != 0)
        *phase = TRACE_QUEUE;
    else
        return false;
    return true;
}

/* A step may come twice, and a phase of two steps: the span is from the first to the last. */
static void set_steps(trace_message_t *out, const exchange_t *ex, const ruler_t *ruler)
{
    const trace_t *trace = ex->trace;
    uint64_t end_us = ruler->took_us - ruler->head_us;
    for (unsigned i = 0; i < trace->step_count; i++) {
        const trace_step_t *step = &trace->steps[i];
        uint64_t to_us = step->to_us != 0 ? step->to_us : end_us;
        trace_phase_t phase;
        if (!phase_of(ex, step, &phase))
            continue;
        bool last = i + 1 == trace->step_count && trace->origin_us == 0; /* it answered, or its client left */
        bool again = out->phases[phase].there;
        uint64_t from_us = out->phases[phase].from_us;
        set(out, phase, ruler, step->from_us, to_us, last && ex->status >= 400);
        if (again)
            out->phases[phase].from_us = from_us;
    }
}

static void set_origin(trace_message_t *out, const exchange_t *ex, const ruler_t *ruler)
{
    const trace_t *trace = ex->trace;
    uint64_t end_us = ruler->took_us - ruler->head_us, sent_us = trace->origin_us;
    uint64_t answered_us = trace->head_us != 0 ? trace->head_us : end_us;
    if (trace->origin_us != 0 && ex->origin_text[0] != '\0') {
        bool connected = ex->times.connect_us != 0;
        if (connected)
            sent_us = ex->times.connect_us;
        if (connected || trace->unreachable_us != 0)
            set(out, TRACE_CONNECT, ruler, trace->origin_us, connected ? sent_us : trace->unreachable_us,
                !connected);
        if (ex->times.first_byte_us != 0)
            set(out, TRACE_FIRST_BYTE, ruler, sent_us, ex->times.first_byte_us, false);
        else if (connected || trace->unreachable_us == 0)
            set(out, TRACE_FIRST_BYTE, ruler, sent_us, answered_us, true);
    }
    if (trace->head_us != 0)
        set(out, TRACE_RESPONSE, ruler, trace->head_us, end_us, ex->end == EXCHANGE_END_CUT);
}

/* ---- the message ---- */

#define PUT(field, text) trace_message_put((field), sizeof(field), (text))

static void put_texts(trace_message_t *out, const exchange_t *ex)
{
    const trace_t *trace = ex->trace;
    char path[TRACE_PATH_MAX];
    size_t path_len = target_text_copy(ex->request.target, path, sizeof(path));
    PUT(out->id, trace_id(trace));
    PUT(out->span, trace_span(trace->outgoing));
    if (trace->has_parent)
        PUT(out->parent, trace_span(trace->parent));
    PUT(out->version, access_line_version(ex->request.version));
    PUT(out->request_id, str_from(ex->request_id));
    if (ex->routed)
        PUT(out->box, str_from(ex->preview->id));
    PUT(out->method, ex->request.method);
    if (ex->local_code != NULL)
        PUT(out->code, str_from(ex->local_code));
    PUT(out->origin, str_from(ex->origin_text));
    PUT(out->host, ex->request.authority);
    PUT(out->path, str_make(path, path_len < sizeof(path) ? path_len : sizeof(path)));
}

void tracing_message(const exchange_t *ex, trace_message_t *out)
{
    const exchange_times_t *times = &ex->times;
    uint64_t head_us = (uint64_t)times->head_ms * 1000;
    uint64_t after_us = times->end_us > times->start_us ? times->end_us - times->start_us : 0;
    const ruler_t ruler = {head_us, head_us + after_us};
    memset(out, 0, sizeof(*out));
    out->wall_us = times->wall_us - head_us;
    out->took_us = ruler.took_us;
    out->client = *remote_address(ex);
    out->client_port = ex->remote.named ? 0 : ex->client->port;
    out->local_port = ex->client->local_port;
    out->port = ex->routed ? ex->preview->port : 0;
    out->status = (uint16_t)ex->status;
    out->kind = (uint8_t)exchange_kind(ex);
    out->https = remote_is_https(ex);
    out->cut = ex->end == EXCHANGE_END_CUT;
    out->gone = ex->end == EXCHANGE_END_CLIENT_GONE;
    put_texts(out, ex);
    out->phases[TRACE_ACCEPT] = (trace_span_t){.to_us = head_us, .there = true};
    set_steps(out, ex, &ruler);
    set_origin(out, ex, &ruler);
}

static COLD void send_trace(const exchange_t *ex)
{
    tracing_t *tracing = worker_of(ex->context)->tracing;
    trace_message_t message;
    tracing_message(ex, &message);
    message.over = tracing->sampler.over;
    message.lost = tracing->lost;
    str_t bytes = str_make((const char *)&message, sizeof(message));
    if (tracing->channel == NULL || !channel_try(tracing->channel, PROCESS_TRACE, 0, bytes)) {
        tracing->lost++;
        return;
    }
    tracing->sampler.over = 0;
    tracing->lost = 0;
}

void tracing_end(exchange_t *ex)
{
    if (ex->trace != NULL)
        send_trace(ex);
}
