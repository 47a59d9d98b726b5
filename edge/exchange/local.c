#include "local.h"

#include <assert.h>

#include "arena.h"
#include "context.h"
#include "step.h"

/* Maximum bytes that any caller may collect: bodies live in the exchange's arena. */
#define MAX_BYTES 1048576
/* Initial allocation for a body of unknown length. */
#define FIRST_BYTES 1024

typedef enum collector_state {
    COLLECTING,
    COLLECTED, /* the body is complete */
    OVERFULL,  /* more bytes came than allowed */
} collector_state_t;

/* A request body being collected; both live in the exchange's arena. */
typedef struct collector {
    collector_state_t state;
    char *bytes;
    size_t used;
    size_t capacity;
    size_t max;
    local_handler_t handler;
    void *arg;
} collector_t;

/* One byte more than allowed, to notice an excess. */
static size_t collect_room(const exchange_t *ex)
{
    const collector_t *collector = ex->origin;
    return collector->state == COLLECTING ? collector->max + 1 - collector->used : 0;
}

static void grow(exchange_t *ex, collector_t *collector, size_t needed)
{
    if (needed <= collector->capacity)
        return;
    size_t capacity = collector->capacity != 0 ? collector->capacity : FIRST_BYTES;
    while (capacity < needed)
        capacity *= 2;
    char *bytes = arena_alloc(&ex->arena, capacity);
    if (collector->used != 0)
        memcpy(bytes, collector->bytes, collector->used);
    collector->bytes = bytes;
    collector->capacity = capacity;
}

static void collect_body(exchange_t *ex, str_t data)
{
    collector_t *collector = ex->origin;
    if (collector->state != COLLECTING || data.n == 0)
        return;
    if (data.n > collector->max - collector->used) {
        collector->state = OVERFULL;
        return;
    }
    grow(ex, collector, collector->used + data.n);
    memcpy(collector->bytes + collector->used, data.p, data.n);
    collector->used += data.n;
}

static void collect_end(exchange_t *ex)
{
    collector_t *collector = ex->origin;
    if (collector->state == COLLECTING)
        collector->state = COLLECTED;
}

static void refuse(exchange_t *ex)
{
    exchange_reply_error(ex, 413, "body_too_large", "The body of the request is too large for this address.",
                         0);
}

/* Releases the exchange before its answer, which the collector has no part in. */
static void collect_flush(exchange_t *ex)
{
    collector_t *collector = ex->origin;
    if (collector->state == COLLECTING)
        return;
    ex->origin_ops = NULL;
    ex->origin = NULL;
    if (collector->state == OVERFULL)
        refuse(ex);
    else
        collector->handler(ex, str_make(collector->bytes, collector->used), collector->arg);
}

static void collect_resume_response(exchange_t *ex)
{
    (void)ex; /* no response comes from here */
}

static void collect_cancel(exchange_t *ex)
{
    (void)ex; /* everything is in the arena */
}

static const origin_ops_t collect_ops = {
    .room = collect_room,
    .send_body = collect_body,
    .send_end = collect_end,
    .flush = collect_flush,
    .resume_response = collect_resume_response,
    .cancel = collect_cancel,
};

void local_collect(exchange_t *ex, size_t max, local_handler_t handler, void *arg)
{
    assert(ex->origin_ops == NULL && max <= MAX_BYTES);
    if (!ex->request.has_body) {
        handler(ex, str_make(NULL, 0), arg);
        return;
    }
    if (ex->request.content_length != LENGTH_UNKNOWN && ex->request.content_length > max) {
        refuse(ex);
        return;
    }
    collector_t *collector = arena_alloc(&ex->arena, sizeof *collector);
    *collector = (collector_t){.max = max, .handler = handler, .arg = arg};
    if (ex->request.content_length != LENGTH_UNKNOWN)
        grow(ex, collector, (size_t)ex->request.content_length);
    ex->origin_ops = &collect_ops;
    ex->origin = collector;
    exchange_to_origin(ex);
    collect_body(ex, buffer_str(&ex->held));
    buffer_clear(&ex->held, &ex->account);
    if (ex->request_complete)
        collect_end(ex);
    exchange_request_room_grew(ex); /* bytes that did not fit while a step waited are still with the codec */
    collect_flush(ex);
}

/* ---- waiting for an answer ---- */

typedef struct local_wait {
    void (*left)(void *arg);
    void *arg;
} local_wait_t;

static size_t wait_room(const exchange_t *ex)
{
    (void)ex;
    return 0;
}

static void wait_body(exchange_t *ex, str_t data)
{
    (void)ex;
    assert(data.n == 0); /* wait_room is 0 */
}

static void wait_nothing(exchange_t *ex)
{
    (void)ex; /* no more body is taken, and no response exists yet */
}

static void wait_cancel(exchange_t *ex)
{
    const local_wait_t *wait = ex->origin;
    ex->origin = NULL;
    wait->left(wait->arg);
}

static const origin_ops_t wait_ops = {
    .room = wait_room,
    .send_body = wait_body,
    .send_end = wait_nothing,
    .flush = wait_nothing,
    .resume_response = wait_nothing,
    .cancel = wait_cancel,
};

void local_wait(exchange_t *ex, void (*left)(void *arg), void *arg)
{
    assert(ex->origin_ops == NULL);
    local_wait_t *wait = arena_alloc(&ex->arena, sizeof *wait);
    *wait = (local_wait_t){.left = left, .arg = arg};
    ex->origin_ops = &wait_ops;
    ex->origin = wait;
    exchange_to_origin(ex);
}

void local_wait_end(exchange_t *ex)
{
    assert(ex->origin_ops == &wait_ops);
    ex->origin_ops = NULL;
    ex->origin = NULL;
}

/* ---- discarding a body ---- */

size_t local_discard_room(const exchange_t *ex)
{
    (void)ex;
    return EXCHANGE_BODY_BYTES;
}

void local_discard_body(exchange_t *ex, str_t data)
{
    (void)ex;
    (void)data;
}

void local_do_nothing(exchange_t *ex)
{
    (void)ex;
}
