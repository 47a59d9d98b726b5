#include "tunnel.h"

#include <assert.h>

#include "activity.h"
#include "arena.h"
#include "blocks.h"
#include "client.h"
#include "fnv.h"
#include "heartbeat.h"
#include "links.h"
#include "list.h"
#include "routes.h"
#include "step.h"
#include "wake_tabs.h"
#include "websocket.h"
#include "worker.h"

/* Service Restart (RFC 6455 section 7.4.2 and its registry): asks the client to connect again. */
#define CLOSE_SERVICE_RESTART 1012
/* Policy Violation: the client may no longer see the preview. */
#define CLOSE_POLICY 1008
/* Tunnels that live on beside a successor close within this time before their end. */
#define LAST_MS 60000

typedef struct tunnel {
    list_t link; /* in context_t.tunnels */
    exchange_t *ex;
    websocket_frames_t from_box;
    websocket_frames_t from_client; /* followed if the exchange has an entry (activity.h) */
    heartbeats_t beats;             /* of the client's messages */
    loop_timer_t drain;             /* until its Close frame, while the worker drains; the tunnel continues */
    bool wishes;                    /* the client's current frame is no heartbeat */
    bool wished;                    /* the last bytes had a frame that is no heartbeat */
    bool closing;                   /* closes at the end of the box's frame */
    bool judged;                    /* the box has left, and the wait for news of its process is over */
    bool failed;                    /* it left with `failure`, not by ending its direction */
    origin_failure_t failure;
} tunnel_t;

/*
 * Holds a tunnel whose box left without a Close frame, until the edge can know whether it stops the box's
 * process. activity_look.c then ends the tunnel, which leaves this source. No list: the tunnel is an entry of
 * its box already (activity.h).
 */
static const await_source_t process_end;

static bool is_held(const exchange_t *ex)
{
    return await_source(ex) == &process_end;
}

/* A client's data frame begins. A periodic message wakes no box: it stays in the box's socket, in order,
 * until the box is woken. */
static void client_frame_begins(websocket_frames_t *frames, uint64_t length)
{
    tunnel_t *tunnel = CONTAINER_OF(tunnel_t, from_client, frames);
    exchange_t *ex = tunnel->ex;
    heartbeat_t beat = heartbeat_note(&tunnel->beats, length, loop_now(ex->context->loop));
    tunnel->wishes = beat != HEARTBEAT_REGULAR || ex->preview->background_wakes;
    tunnel->wished |= tunnel->wishes;
    if (beat == HEARTBEAT_OTHER)
        wake_tabs_typed(ex);
}

bool tunnel_judge_head(exchange_t *ex)
{
    return !ex->response.tunnel || exchange_still_allowed(ex);
}

void tunnel_response_head(exchange_t *ex)
{
    if (!ex->response.tunnel)
        return;
    assert(ex->tunnel == NULL);
    tunnel_t *tunnel = arena_alloc(&ex->arena, sizeof(*tunnel));
    *tunnel = (tunnel_t){.ex = ex, .from_client = {.data_begins = client_frame_begins}};
    list_t *all = &ex->context->tunnels;
    if (all->next == NULL)
        list_init(all);
    list_insert(all, &tunnel->link);
    ex->tunnel = tunnel;
    counter_add(&ex->context->counters->tunnels_open, 1);
}

void tunnel_leave(exchange_t *ex)
{
    tunnel_t *tunnel = ex->tunnel;
    if (tunnel != NULL)
        loop_timer_stop(&tunnel->drain);
}

void tunnel_close(exchange_t *ex)
{
    tunnel_t *tunnel = ex->tunnel;
    if (tunnel == NULL)
        return;
    loop_timer_stop(&tunnel->drain);
    list_unlink(&tunnel->link);
    ex->tunnel = NULL;
    counter_sub(&ex->context->counters->tunnels_open, 1);
}

static void send_close(exchange_t *ex, uint16_t code, str_t reason)
{
    char *frame = arena_alloc(&ex->arena, WEBSOCKET_CLOSE_MAX);
    size_t n = websocket_close_frame(code, reason, frame);
    ex->client_ops->send_body(ex, str_make(frame, n));
    exchange_answered(ex);
    ex->client_ops->flush(ex);
}

static void close_for_restart(exchange_t *ex)
{
    ex->local_code = "drained";
    send_close(ex, CLOSE_SERVICE_RESTART, STR("the edge restarts"));
}

/* Feeds the tracker. Data frames count as activity of the box; pings and closes do not. A client's heartbeats
 * do not wake it. */
static void feed(exchange_t *ex, websocket_frames_t *frames, str_t data, bool from_client)
{
    tunnel_t *tunnel = ex->tunnel;
    if (ex->activity == NULL) {
        websocket_frames_feed(frames, data);
        return;
    }
    websocket_frames_t before = *frames;
    tunnel->wished = frames->left != 0 && !frames->control && tunnel->wishes;
    websocket_frames_feed(frames, data);
    /* A header counts once it is complete: only then is its frame's kind known. */
    uint64_t resolved = before.header_len + data.n - frames->header_len;
    if (resolved > frames->control_bytes - before.control_bytes)
        activity_carried(ex, (size_t)(frames->payload_bytes - before.payload_bytes),
                         from_client && (tunnel->wished || frames->unknown));
}

void tunnel_request_body(exchange_t *ex, str_t data)
{
    if (ex->state == EXCHANGE_TUNNEL && ex->activity != NULL)
        feed(ex, &((tunnel_t *)ex->tunnel)->from_client, data, true);
}

bool tunnel_response_body(exchange_t *ex, str_t *data)
{
    tunnel_t *tunnel = ex->tunnel;
    if (ex->state != EXCHANGE_TUNNEL)
        return true;
    if (!tunnel->closing) {
        feed(ex, &tunnel->from_box, *data, false);
        return true;
    }
    for (size_t used = 0; used < data->n;) {
        uint64_t left = tunnel->from_box.left;
        size_t n = left == 0 ? 1 : left < data->n - used ? (size_t)left : data->n - used;
        websocket_frames_feed(&tunnel->from_box, str_make(data->p + used, n));
        used += n;
        if (websocket_frames_between(&tunnel->from_box)) {
            ex->client_ops->send_body(ex, str_make(data->p, used));
            close_for_restart(ex);
            return false;
        }
    }
    return true;
}

static void drain_expired(loop_timer_t *timer)
{
    tunnel_t *tunnel = CONTAINER_OF(tunnel_t, drain, timer);
    exchange_t *ex = tunnel->ex;
    if (ex->state != EXCHANGE_TUNNEL || ex->response_complete)
        return; /* it has ended, and nothing more can be sent to the client */
    if (websocket_frames_between(&tunnel->from_box))
        close_for_restart(ex);
    else
        tunnel->closing = true;
}

/* In thousandths of a period, the same for a tunnel each time. */
static uint32_t place_in_period(const exchange_t *ex)
{
    str_t id = str_make(ex->request_id, strnlen(ex->request_id, sizeof(ex->request_id)));
    return (uint32_t)(fnv_end(fnv_text(FNV_START, id)) % 1000);
}

/* Clients must not all return together: from a quarter to about four fifths of the drain period, or within
 * the last minute. */
static uint32_t drain_delay(const exchange_t *ex)
{
    const context_t *context = ex->context;
    uint64_t place = place_in_period(ex), now = loop_now(context->loop);
    uint32_t period = context->conf->timeouts.drain;
    if (context->tunnels_until_ms == 0)
        return (uint32_t)(period / 4 + period * place * 7 / 13000);
    uint64_t left = context->tunnels_until_ms > now ? context->tunnels_until_ms - now : 0;
    uint64_t spread = left < 2 * (uint64_t)LAST_MS ? left / 2 : LAST_MS;
    return (uint32_t)(left - spread + spread * place * 9 / 10000);
}

void tunnel_drain(exchange_t *ex)
{
    tunnel_t *tunnel = ex->tunnel;
    if (ex->state != EXCHANGE_TUNNEL || ex->response_complete || tunnel->closing || is_held(ex))
        return;
    loop_timer_start(ex->context->loop, &tunnel->drain, drain_delay(ex), drain_expired);
}

static void leave_process_end(exchange_t *ex, await_end_t how)
{
    (void)ex;
    (void)how;
}

/* No news came: the tunnel ends as its box left it. */
static void end_as_left(exchange_t *ex)
{
    tunnel_t *tunnel = ex->tunnel;
    assert(ex->state == EXCHANGE_TUNNEL && !ex->response_complete);
    tunnel->judged = true;
    if (tunnel->failed) {
        exchange_origin_failed(ex, tunnel->failure);
        return;
    }
    exchange_response_end(ex);
    exchange_response_flush(ex);
}

static const await_source_t process_end = {
    .name = "process_end", .leave = leave_process_end, .go_on = end_as_left};

bool tunnel_origin_left(exchange_t *ex, const origin_failure_t *failure)
{
    tunnel_t *tunnel = ex->tunnel;
    bool is_process = ex->activity != NULL && ex->box.pid != 0;
    if (ex->state != EXCHANGE_TUNNEL || !is_process || ex->response_complete || tunnel->judged)
        return true;
    if (failure != NULL) {
        tunnel->failed = true;
        tunnel->failure = *failure;
    }
    if (is_held(ex))
        return false;
    if (ex->request_complete || !websocket_frames_between(&tunnel->from_box))
        return true;
    loop_timer_stop(&tunnel->drain); /* the hold ends this direction, so no Close frame can follow */
    await_hold(ex, &process_end, TUNNEL_HOLD_MS);
    return false;
}

void tunnel_end(exchange_t *ex, const char *code, uint16_t close_code, str_t reason)
{
    tunnel_t *tunnel = ex->tunnel;
    if (ex->state != EXCHANGE_TUNNEL || ex->response_complete)
        return;
    ex->local_code = code;
    if (websocket_frames_between(&tunnel->from_box))
        send_close(ex, close_code, reason);
    else
        exchange_cut(ex);
}

/* Ends the tunnels that `doomed` selects; `code` is the stable word in their access lines. */
static void close_doomed(context_t *context, bool (*doomed)(const exchange_t *ex, const void *arg),
                         const void *arg, const char *code)
{
    list_t *all = &context->tunnels;
    if (all->next == NULL)
        return;
    for (list_t *at = all->next, *next; at != all; at = next) {
        next = at->next; /* exchanges end at the end of a turn only, so the next one stays */
        exchange_t *ex = CONTAINER_OF(tunnel_t, link, at)->ex;
        if (doomed(ex, arg))
            tunnel_end(ex, code, CLOSE_POLICY, STR("access was withdrawn"));
    }
}

/* ---- which tunnels ---- */

typedef struct doomed_preview {
    str_t id;
    uint16_t port;
    uint64_t below;
} doomed_preview_t;

static bool of_preview(const exchange_t *ex, const void *arg)
{
    const doomed_preview_t *preview = arg;
    return ex->preview->port == preview->port && ex->preview->version < preview->below &&
           str_eq(str_from(ex->preview->id), preview->id);
}

void tunnels_close_preview(context_t *context, str_t id, uint16_t port, uint64_t below)
{
    doomed_preview_t preview = {id, port, below};
    close_doomed(context, of_preview, &preview, "withdrawn");
}

static bool is_blocked(const exchange_t *ex, const void *arg)
{
    (void)arg;
    blocks_t *blocks = worker_of(ex->context)->blocks;
    if (!ex->routed) /* of the API; the demo app has no blocks */
        return ex->api != NULL && blocks_has_client(blocks, remote_address(ex)) == BLOCKS_BLOCKED;
    return blocks_has(blocks, str_from(ex->preview->id), ex->preview->port, remote_address(ex)) ==
           BLOCKS_BLOCKED;
}

void tunnels_close_blocked(context_t *context)
{
    close_doomed(context, is_blocked, NULL, "blocked");
}

static bool is_unlinked(const exchange_t *ex, const void *arg)
{
    (void)arg;
    return !links_still_open(ex);
}

void tunnels_close_unlinked(context_t *context)
{
    close_doomed(context, is_unlinked, NULL, "withdrawn");
}

static bool is_outdated(const exchange_t *ex, const void *arg)
{
    (void)arg;
    const route_t *route;
    if (!ex->routed)
        return false;
    routes_result_t result = routes_find(worker_of(ex->context)->routes, ex->request.authority, 0, &route);
    return result == ROUTES_NO_PREVIEW ||
           (result == ROUTES_FOUND && route->preview->version != ex->preview->version) ||
           is_unlinked(ex, NULL);
}

void tunnels_close_outdated(context_t *context)
{
    close_doomed(context, is_outdated, NULL, "withdrawn");
}

static bool is_expired(const exchange_t *ex, const void *arg)
{
    const uint64_t *now = arg;
    return (ex->preview->expires_at != 0 && ex->preview->expires_at <= *now) ||
           (ex->link != NULL && ex->link->expires_at <= *now);
}

void tunnels_close_expired(context_t *context)
{
    uint64_t now = loop_wall_us(context->loop) / 1000000;
    close_doomed(context, is_expired, &now, "expired");
}

/* ---- a worker that drains ---- */

void tunnels_drain(context_t *context)
{
    list_t *all = &context->tunnels;
    for (list_t *at = all->next; at != NULL && at != all; at = at->next)
        tunnel_drain(CONTAINER_OF(tunnel_t, link, at)->ex);
}

void tunnels_cut(context_t *context)
{
    list_t *all = &context->tunnels;
    for (list_t *at = all->next, *next; at != NULL && at != all; at = next) {
        next = at->next; /* exchanges end at the end of a turn only, so the next one stays */
        exchange_t *ex = CONTAINER_OF(tunnel_t, link, at)->ex;
        if (ex->state != EXCHANGE_TUNNEL)
            continue;
        ex->local_code = "drained";
        exchange_cut(ex);
    }
}
