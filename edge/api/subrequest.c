/*
 * The client codec of an exchange without a client: its response goes into memory. It ends at the end of the
 * turn, since a codec may not end an exchange from within its own operations.
 */
#include "subrequest.h"

#include <assert.h>

#include "api.h"
#include "arena.h"
#include "client.h"
#include "context.h"
#include "list.h"
#include "request_head.h"

struct subrequest {
    exchange_t *parent;
    exchange_t *ex; /* NULL: ended */
    subrequest_done_t done;
    void *arg;
    loop_task_t task;
    fields_t fields; /* of the response; like the body, in the parent's arena */
    int status;
    char *body;
    size_t used, capacity;
    bool failed;   /* cut or too long */
    bool too_long; /* its head is whole */
};

static subrequest_t *of(const exchange_t *ex)
{
    return ex->codec;
}

static void finish(loop_task_t *task)
{
    subrequest_t *request = CONTAINER_OF(subrequest_t, task, task);
    exchange_t *parent = request->parent;
    exchange_end(&request->ex, request->failed ? EXCHANGE_END_CUT : EXCHANGE_END_COMPLETE);
    exchange_count(parent); /* the answer is in its arena */
    if (request->too_long && request->status >= 300)
        request->done(parent, request->arg, request->status, &request->fields, str_make(NULL, 0));
    else
        request->done(parent, request->arg, request->failed ? 0 : request->status, &request->fields,
                      str_make(request->body, request->used));
}

static void finish_soon(subrequest_t *request)
{
    loop_defer(request->parent->context->loop, &request->task, finish);
}

static void on_informational(exchange_t *ex, int status, const fields_t *fields)
{
    (void)ex;
    (void)status;
    (void)fields;
}

static void on_head(exchange_t *ex)
{
    subrequest_t *request = of(ex);
    arena_t *arena = &request->parent->arena;
    request->status = ex->response.status;
    for (uint32_t i = 0; i < ex->response.fields.count; i++) {
        const field_t *field = &ex->response.fields.at[i];
        fields_add(arena, &request->fields, field->id, str_dup(arena, field->name),
                   str_dup(arena, field->value));
    }
}

static size_t room(const exchange_t *ex)
{
    return of(ex)->failed ? 0 : EXCHANGE_BODY_BYTES;
}

static void grow(subrequest_t *request, size_t needed)
{
    size_t capacity = request->capacity != 0 ? request->capacity : 1024;
    if (needed <= request->capacity)
        return;
    while (capacity < needed)
        capacity *= 2;
    char *body = arena_alloc(&request->parent->arena, capacity);
    if (request->used != 0)
        memcpy(body, request->body, request->used);
    request->body = body;
    request->capacity = capacity;
}

static void on_body(exchange_t *ex, str_t data)
{
    subrequest_t *request = of(ex);
    if (request->failed || data.n == 0)
        return;
    if (data.n > SUBREQUEST_BODY_MAX - request->used) {
        request->failed = request->too_long = true;
        finish_soon(request);
        return;
    }
    grow(request, request->used + data.n);
    memcpy(request->body + request->used, data.p, data.n);
    request->used += data.n;
}

static void on_end(exchange_t *ex)
{
    finish_soon(of(ex));
}

static void on_cut(exchange_t *ex)
{
    of(ex)->failed = true;
    finish_soon(of(ex));
}

static void nothing(exchange_t *ex)
{
    (void)ex;
}

static const client_ops_t ops = {
    .send_informational = on_informational,
    .send_head = on_head,
    .room = room,
    .send_body = on_body,
    .send_end = on_end,
    .flush = nothing,
    .cut = on_cut,
    .resume_request = nothing,
};

static void copy_fields(exchange_t *ex, const fields_t *fields)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < fields->count; i++)
        bytes += fields->at[i].name.n + fields->at[i].value.n;
    arena_t *pool = request_head_pool(ex, bytes);
    for (uint32_t i = 0; i < fields->count; i++)
        fields_add(pool, &ex->request.fields, fields->at[i].id, str_dup(pool, fields->at[i].name),
                   str_dup(pool, fields->at[i].value));
}

subrequest_t *subrequest_start(exchange_t *parent, const exchange_step_t *first, str_t method, str_t target,
                               const fields_t *fields, subrequest_done_t done, void *arg)
{
    subrequest_t *request = arena_alloc(&parent->arena, sizeof(*request));
    *request = (subrequest_t){.parent = parent, .done = done, .arg = arg};
    exchange_t *ex = exchange_new(parent->client, &ops, request);
    request->ex = ex;
    ex->internal = true;
    remote_inherit(ex, parent);
    ex->request.version = HTTP_1_1;
    ex->request.method = str_dup(&ex->arena, method);
    ex->request.authority = str_dup(&ex->arena, parent->request.authority);
    ex->request.target = str_dup(&ex->arena, target);
    copy_fields(ex, fields);
    if (parent->api != NULL)
        api_inherit(ex, parent->api);
    exchange_start_at(ex, first, parent->request_id);
    return request;
}

void subrequest_cancel(subrequest_t **request)
{
    subrequest_t *cancelled = *request;
    *request = NULL;
    if (cancelled == NULL || cancelled->ex == NULL)
        return;
    loop_undefer(&cancelled->task);
    exchange_end(&cancelled->ex, EXCHANGE_END_CLIENT_GONE);
}
