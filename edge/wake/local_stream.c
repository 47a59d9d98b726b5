#include "local_stream.h"

#include <assert.h>

#include "arena.h"
#include "context.h"
#include "local.h"
#include "step.h"

typedef struct local_stream {
    void (*left)(void *arg);
    void *arg;
} local_stream_t;

static void cancel(exchange_t *ex)
{
    const local_stream_t *stream = ex->origin;
    ex->origin = NULL;
    stream->left(stream->arg);
}

static const origin_ops_t ops = {
    .room = local_discard_room,
    .send_body = local_discard_body,
    .send_end = local_do_nothing,
    .flush = local_do_nothing,
    .resume_response = local_do_nothing,
    .cancel = cancel,
};

void local_stream_begin(exchange_t *ex, str_t content_type, const fields_t *fields, void (*left)(void *arg),
                        void *arg)
{
    assert(ex->origin_ops == NULL);
    local_stream_t *stream = arena_alloc(&ex->arena, sizeof(*stream));
    *stream = (local_stream_t){.left = left, .arg = arg};
    ex->origin_ops = &ops;
    ex->origin = stream;
    exchange_to_origin(ex);
    ex->response = (response_t){.status = 200, .content_length = LENGTH_UNKNOWN};
    fields_add(&ex->arena, &ex->response.fields, FIELD_CONTENT_TYPE, STR("content-type"), content_type);
    for (uint32_t i = 0; i < fields->count; i++)
        fields_add(&ex->arena, &ex->response.fields, fields->at[i].id, fields->at[i].name,
                   fields->at[i].value);
    buffer_clear(&ex->held, &ex->account);
    exchange_response_head(ex);
    exchange_request_room_grew(ex); /* the body is discarded */
    exchange_response_flush(ex);
}

bool local_stream_send(exchange_t *ex, str_t data)
{
    assert(ex->origin_ops == &ops);
    if (exchange_response_body_room(ex) < data.n)
        return false;
    exchange_response_body(ex, data);
    exchange_response_flush(ex);
    return true;
}

void local_stream_end(exchange_t *ex)
{
    assert(ex->origin_ops == &ops);
    ex->origin_ops = NULL;
    ex->origin = NULL;
    exchange_response_end(ex);
    exchange_response_flush(ex);
}
