/*
 * /echo of the demo app: a WebSocket over the exchange's tunnel.
 */
#include <assert.h>

#include "arena.h"
#include "context.h"
#include "demo_internal.h"
#include "list.h"
#include "step.h"
#include "websocket.h"
#include "websocket_echo.h"

/* Time for the client to close after the Close frames, in ms. */
#define CLOSE_MS 5000

typedef struct echo {
    exchange_t *ex;
    websocket_echo_t *frames;
    loop_timer_t timer;
    bool ended; /* our direction */
} echo_t;

static void close_expired(loop_timer_t *timer)
{
    exchange_cut(CONTAINER_OF(echo_t, timer, timer)->ex);
}

/* Sends waiting bytes up to the available room; ends our direction after a Close frame. */
static void send_output(exchange_t *ex)
{
    echo_t *echo = ex->origin;
    if (echo->ended)
        return;
    str_t output = websocket_echo_output(echo->frames);
    while (output.n != 0 && ex->state == EXCHANGE_TUNNEL) {
        size_t room = exchange_response_body_room(ex);
        if (room == 0)
            break;
        size_t n = output.n < room ? output.n : room;
        exchange_response_body(ex, str_make(output.p, n));
        exchange_response_flush(ex); /* a sink keeps slices until a flush */
        websocket_echo_consume(echo->frames, n);
        output = websocket_echo_output(echo->frames);
    }
    if (ex->state == EXCHANGE_TUNNEL && output.n == 0 && websocket_echo_ended(echo->frames)) {
        echo->ended = true;
        loop_timer_start(ex->context->loop, &echo->timer, CLOSE_MS, close_expired);
        exchange_response_end(ex);
        exchange_response_flush(ex);
    }
}

static size_t echo_room(const exchange_t *ex)
{
    const echo_t *echo = ex->origin;
    return websocket_echo_room(echo->frames);
}

static void echo_body(exchange_t *ex, str_t data)
{
    echo_t *echo = ex->origin;
    websocket_echo_feed(echo->frames, data);
}

/* The client ended its direction, with or without a Close frame: ours ends too. */
static void echo_client_ended(exchange_t *ex)
{
    echo_t *echo = ex->origin;
    if (echo->ended)
        return;
    send_output(ex);
    if (echo->ended || ex->state != EXCHANGE_TUNNEL)
        return;
    echo->ended = true;
    exchange_response_end(ex);
    exchange_response_flush(ex);
}

/* Sending frees room, which the client may fill. */
static void echo_flush(exchange_t *ex)
{
    echo_t *echo = ex->origin;
    bool stopped = websocket_echo_room(echo->frames) == 0;
    send_output(ex);
    if (stopped && websocket_echo_room(echo->frames) != 0)
        exchange_request_room_grew(ex);
}

static void echo_cancel(exchange_t *ex)
{
    echo_t *echo = ex->origin;
    loop_timer_stop(&echo->timer);
    websocket_echo_free(&echo->frames);
}

/* The app consumes the client's bytes immediately. */
static bool echo_sent(const exchange_t *ex)
{
    (void)ex;
    return true;
}

static const origin_ops_t echo_ops = {
    .room = echo_room,
    .send_body = echo_body,
    .send_end = echo_client_ended,
    .flush = echo_flush,
    .sent = echo_sent,
    .resume_response = echo_flush,
    .cancel = echo_cancel,
};

void demo_echo(exchange_t *ex)
{
    assert(ex->origin_ops == NULL && ex->request.websocket);
    echo_t *echo = arena_alloc(&ex->arena, sizeof *echo);
    *echo = (echo_t){.ex = ex, .frames = websocket_echo_new()};
    char accept[WEBSOCKET_ACCEPT_LEN + 1];
    websocket_accept_key(ex->request.websocket_key, accept);
    ex->origin_ops = &echo_ops;
    ex->origin = echo;
    exchange_to_origin(ex);
    ex->response = (response_t){.status = 101, .content_length = LENGTH_UNKNOWN, .tunnel = true};
    fields_add(&ex->arena, &ex->response.fields, FIELD_SEC_WEBSOCKET_ACCEPT, STR("sec-websocket-accept"),
               str_dup(&ex->arena, str_make(accept, WEBSOCKET_ACCEPT_LEN)));
    exchange_response_head(ex);
    exchange_response_flush(ex);
}
