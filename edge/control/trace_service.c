#include "trace_service.h"

#include <assert.h>
#include <stdlib.h>

#include "alloc.h"
#include "deadline.h"
#include "fetch.h"
#include "otlp.h"
#include "process_log.h"
#include "random_id.h"
#include "trace_message.h"

/* Maximum bytes of an answer. */
#define ANSWER_BYTES 65536

struct trace_service {
    loop_t *loop;
    const conf_t *conf;
    fetcher_t *fetcher;
    random_source_t *random;
    fetch_t *call;       /* NULL: none is under way */
    size_t calling;      /* traces of it */
    deadline_t timer;    /* until the next call */
    uint64_t resumes_ms; /* no call before (loop_now) */
    bool failing;        /* the log has the failure, and not yet its end */
    bool hurries;        /* trace_service_hurry */
    trace_figures_t figures;
    trace_message_t *queue[TRACE_QUEUE_MAX]; /* a ring */
    size_t first, count;
};

trace_service_t *trace_service_new(loop_t *loop, const conf_t *conf)
{
    trace_service_t *service = calloc(1, sizeof(*service));
    assert(service != NULL);
    service->loop = loop;
    service->conf = conf;
    service->fetcher = fetcher_new(loop);
    service->random = random_source_new();
    return service;
}

static trace_message_t *pop(trace_service_t *service)
{
    trace_message_t *trace = service->queue[service->first];
    service->first = (service->first + 1) % TRACE_QUEUE_MAX;
    service->count--;
    return trace;
}

static void drop_all(trace_service_t *service)
{
    while (service->count != 0)
        free(pop(service));
}

void trace_service_free(trace_service_t **service)
{
    trace_service_t *s = *service;
    *service = NULL;
    if (s == NULL)
        return;
    deadline_clear(&s->timer);
    fetch_cancel(&s->call);
    fetcher_free(&s->fetcher);
    random_source_free(&s->random);
    drop_all(s);
    free(s);
}

void trace_service_set_conf(trace_service_t *service, const conf_t *conf)
{
    service->conf = conf;
    service->resumes_ms = 0; /* perhaps another receiver */
    if (conf->tracing.otlp[0] == '\0') {
        drop_all(service);
        service->failing = false;
    }
}

bool trace_service_is_empty(const trace_service_t *service)
{
    return service->call == NULL && service->count == 0;
}

trace_figures_t trace_service_figures(const trace_service_t *service)
{
    return service->figures;
}

/* ---- calls ---- */

static void call_if_due(trace_service_t *service);

static void on_timer(deadline_t *timer)
{
    trace_service_t *service = CONTAINER_OF(trace_service_t, timer, timer);
    if (service->call == NULL && service->count != 0)
        call_if_due(service);
}

static void call_at(trace_service_t *service, uint64_t at_ms)
{
    deadline_set(service->loop, &service->timer, at_ms, on_timer);
}

static void fail(trace_service_t *service, const fetch_result_t *result)
{
    char status[32];
    const char *why = result->error;
    uint32_t pause_ms = TRACE_PAUSE_MS;
    if (result->retry_after != 0)
        pause_ms =
            result->retry_after < TRACE_RETRY_MAX_MS / 1000 ? result->retry_after * 1000 : TRACE_RETRY_MAX_MS;
    service->figures.failed += service->calling;
    service->resumes_ms = loop_now(service->loop) + pause_ms;
    if (why == NULL) {
        (void)snprintf(status, sizeof(status), "its status is %d", result->status);
        why = status;
    }
    if (!service->failing)
        process_log(LOG_TRACES_FAILED, "controller", "the receiver of traces at %s does not take them: %s",
                    service->conf->tracing.otlp, why);
    service->failing = true;
}

static void succeed(trace_service_t *service, const fetch_result_t *result)
{
    service->figures.sent += service->calling;
    service->figures.rejected += otlp_rejected(result->body);
    if (service->failing)
        process_log(LOG_TRACES_BACK, "controller", "the receiver of traces takes them again");
    service->failing = false;
}

/* No call is under way. */
static void go_on(trace_service_t *service)
{
    if (service->count >= TRACE_BATCH || (service->hurries && service->count != 0))
        call_if_due(service);
    else if (service->count != 0 && !deadline_is_set(&service->timer))
        call_at(service, loop_now(service->loop) + TRACE_GATHER_MS);
}

static void on_done(void *owner, const fetch_result_t *result)
{
    trace_service_t *service = owner;
    service->call = NULL;
    if (result->status >= 200 && result->status < 300)
        succeed(service, result);
    else
        fail(service, result);
    service->calling = 0;
    go_on(service);
}

static void call(trace_service_t *service)
{
    static const fetch_handlers_t handlers = {.done = on_done};
    const conf_t *conf = service->conf;
    const trace_message_t *traces[TRACE_BATCH];
    size_t count = service->count < TRACE_BATCH ? service->count : TRACE_BATCH;
    char *body = mem_alloc(OTLP_FRAME_BYTES + count * OTLP_TRACE_BYTES);
    for (size_t i = 0; i < count; i++)
        traces[i] = pop(service);
    const fetch_request_t request = {
        .method = "POST",
        .url = conf->tracing.otlp,
        .ca_file = conf->tracing.ca_file[0] != '\0' ? conf->tracing.ca_file : NULL,
        .body = str_make(body, otlp_write(body, conf->node, traces, count, service->random)),
        .timeout_ms = conf->tracing.timeout,
        .most = ANSWER_BYTES,
    };
    service->calling = count;
    service->call = fetch_start(service->fetcher, &request, &handlers, service);
    free(body);
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)traces[i]);
}

static void call_if_due(trace_service_t *service)
{
    if (loop_now(service->loop) >= service->resumes_ms)
        call(service);
    else if (service->hurries)
        drop_all(service);
    else
        call_at(service, service->resumes_ms);
}

static void give_up(deadline_t *timer)
{
    trace_service_t *service = CONTAINER_OF(trace_service_t, timer, timer);
    service->resumes_ms = UINT64_MAX;
    fetch_cancel(&service->call);
    drop_all(service);
}

void trace_service_hurry(trace_service_t *service)
{
    service->hurries = true;
    deadline_set(service->loop, &service->timer, loop_now(service->loop) + TRACE_LAST_MS, give_up);
    if (service->call == NULL)
        go_on(service);
}

void trace_service_take(trace_service_t *service, str_t bytes)
{
    trace_message_t trace;
    if (service->conf->tracing.otlp[0] == '\0' || !trace_message_read(bytes, &trace))
        return;
    service->figures.over += trace.over;
    service->figures.lost += trace.lost;
    if (service->count == TRACE_QUEUE_MAX) {
        service->figures.crowded++;
        return;
    }
    trace_message_t *copy = mem_alloc(sizeof(*copy));
    *copy = trace;
    service->queue[(service->first + service->count++) % TRACE_QUEUE_MAX] = copy;
    if (service->call == NULL)
        go_on(service);
}
