#include "withheld.h"

#include <assert.h>

#include "arena.h"
#include "context.h"
#include "step.h"

typedef enum stage {
    STAGE_COLLECTS, /* no verdict yet */
    STAGE_DRAINS,   /* the head has gone; the client takes the bytes */
} stage_t;

struct withheld {
    exchange_t *ex;
    stage_t stage;
    bool ended; /* the body is complete; its end follows the bytes */
    size_t most;
    withheld_judge_t judge;
    buffer_t bytes;
    loop_timer_t timer; /* until a verdict */
};

/* The codec's slices end with its call. */
static void keep_fields(exchange_t *ex)
{
    fields_t *fields = &ex->response.fields, copy = {0};
    fields_reserve(&ex->arena, &copy, fields->count + 4);
    for (uint32_t i = 0; i < fields->count; i++)
        fields_add(&ex->arena, &copy, fields->at[i].id, str_dup(&ex->arena, fields->at[i].name),
                   str_dup(&ex->arena, fields->at[i].value));
    *fields = copy;
    ex->response.reason = str_dup(&ex->arena, ex->response.reason);
}

static void release(exchange_t *ex);

static void on_time(loop_timer_t *timer)
{
    struct withheld *withheld = CONTAINER_OF(struct withheld, timer, timer);
    exchange_t *ex = withheld->ex;
    release(ex);
    exchange_response_flush(ex);
}

void withheld_begin(exchange_t *ex, size_t most, withheld_judge_t judge)
{
    assert(ex->state == EXCHANGE_ORIGIN && ex->withheld == NULL && most != 0 && !ex->response.bodyless);
    struct withheld *withheld = arena_alloc(&ex->arena, sizeof(*withheld));
    *withheld = (struct withheld){.ex = ex, .stage = STAGE_COLLECTS, .most = most, .judge = judge};
    keep_fields(ex);
    ex->withheld = withheld;
    loop_timer_start(ex->context->loop, &withheld->timer, WITHHELD_MS, on_time);
}

void withheld_drop(exchange_t *ex)
{
    struct withheld *withheld = ex->withheld;
    if (withheld == NULL)
        return;
    ex->withheld = NULL;
    loop_timer_stop(&withheld->timer);
    buffer_clear(&withheld->bytes, &ex->account);
}

void withheld_give_up(exchange_t *ex)
{
    assert(ex->state == EXCHANGE_ORIGIN && ex->withheld != NULL);
    withheld_drop(ex);
    exchange_leave_origin(ex);
    ex->response = (response_t){.content_length = LENGTH_UNKNOWN};
}

/* Sends the bytes as far as the client has room. */
static void drain(exchange_t *ex)
{
    struct withheld *withheld = ex->withheld;
    size_t sent = 0, room, n;
    str_t bytes = buffer_str(&withheld->bytes);
    while (sent < bytes.n && (room = ex->client_ops->room(ex)) != 0) {
        n = bytes.n - sent < room ? bytes.n - sent : room;
        exchange_pass_body(ex, str_make(bytes.p + sent, n));
        if (ex->withheld == NULL) /* a hook has ended the exchange */
            return;
        sent += n;
    }
    ex->client_ops->flush(ex); /* the slices end here */
    if (sent != 0)
        buffer_consume(&withheld->bytes, sent, &ex->account);
    if (buffer_size(&withheld->bytes) == 0 && !withheld->ended)
        withheld_drop(ex);
}

static void release(exchange_t *ex)
{
    struct withheld *withheld = ex->withheld;
    assert(withheld->stage == STAGE_COLLECTS);
    withheld->stage = STAGE_DRAINS;
    loop_timer_stop(&withheld->timer);
    exchange_pass_head(ex);
    if (ex->withheld != NULL)
        drain(ex);
}

size_t withheld_room(const exchange_t *ex)
{
    const struct withheld *withheld = ex->withheld;
    return withheld->stage == STAGE_COLLECTS ? withheld->most - buffer_size(&withheld->bytes) : 0;
}

void withheld_body(exchange_t *ex, str_t data)
{
    struct withheld *withheld = ex->withheld;
    assert(withheld->stage == STAGE_COLLECTS && data.n <= withheld_room(ex));
    buffer_append(&withheld->bytes, data, &ex->account);
    bool full = withheld_room(ex) == 0;
    withheld_verdict_t verdict = withheld->judge(ex, buffer_str(&withheld->bytes), false);
    if (verdict == WITHHELD_PASSES || (verdict == WITHHELD_MORE && full))
        release(ex);
}

bool withheld_end(exchange_t *ex)
{
    struct withheld *withheld = ex->withheld;
    if (withheld->stage == STAGE_COLLECTS) {
        if (withheld->judge(ex, buffer_str(&withheld->bytes), true) == WITHHELD_TAKEN)
            return false;
        release(ex);
    }
    if (ex->withheld != NULL)
        withheld->ended = true;
    return ex->withheld == NULL && ex->state != EXCHANGE_DONE;
}

void withheld_room_grew(exchange_t *ex)
{
    struct withheld *withheld = ex->withheld;
    if (withheld->stage == STAGE_COLLECTS)
        return;
    drain(ex);
    if (ex->withheld == NULL) {
        if (ex->origin_ops != NULL)
            ex->origin_ops->resume_response(ex);
        return;
    }
    if (buffer_size(&withheld->bytes) != 0)
        return;
    withheld_drop(ex);
    exchange_response_end(ex);
    exchange_response_flush(ex);
}

void withheld_cut(exchange_t *ex)
{
    if (ex->withheld->stage == STAGE_COLLECTS)
        release(ex);
}
