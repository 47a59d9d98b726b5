/*
 * The composition of the edge: the steps of an exchange, and the features that see it go by, in order.
 */
#include "pipeline.h"

#include "access.h"
#include "access_log.h"
#include "activity.h"
#include "api.h"
#include "cors.h"
#include "flight.h"
#include "host_check.h"
#include "refused.h"
#include "route.h"
#include "slots.h"
#include "steps.h"
#include "tracing.h"
#include "traffic.h"
#include "tunnel.h"
#include "wake.h"
#include "wake_events.h"

/*
 * The steps of an exchange on a preview's host, in order. Each kind of listener has a table. A step returns
 * STEP_NEXT, STEP_WAIT or STEP_DONE, and the order never goes back.
 */
static const exchange_step_t preview_steps[] = {
    {"client", step_client},      /* 429: its client has too many open requests */
    {"host", step_host},          /* 421: not a name of this edge */
    {"route", step_route},        /* finds the preview and its box; 404: none */
    {"access", step_access},      /* 401, 403, 429 or the sign-in page: no access */
    {"events", step_wake_events}, /* answers a request for wake events */
    {"limit", step_limit},        /* 503: no memory; 508: it has been here before */
    {"wake", step_wake},          /* waits while the box does not run, bounded: 503 */
    {"slots", step_slots},        /* waits while its client or box has all its connections: 503 */
    {"origin", step_origin},      /* connects to the port in the box; the response streams back */
    {NULL, NULL},
};

/* The host step switches to these for a name of the API. */
static const exchange_step_t api_steps[] = {
    {"host", step_host},
    {"key", step_api_key},           /* finds its key */
    {"limit", step_api_limit},       /* 429: over a limit; 401: its key does not count */
    {"room", step_limit},            /* 503: no memory; 508: it has been here before */
    {"deletion", step_api_deletion}, /* a call that deletes boxes: notes them before it continues */
    {"preview", step_api_preview},   /* answers calls about previews, if the upstream allows them */
    {"slots", step_api_slots},       /* waits while its client has all its connections: 503 */
    {"pick", step_api_pick},         /* picks a server, 503: none; waits while all are full, bounded: 503 */
    {"origin", step_api_origin},     /* connects to the server; the response streams back */
    {NULL, NULL},
};

static const exchange_step_t api_upstream_steps[] = {
    {"pick", step_api_pick},
    {"origin", step_api_origin},
    {NULL, NULL},
};

static const exchange_step_t redirect_steps[] = {
    {"redirect", step_redirect},
    {NULL, NULL},
};

static const exchange_step_t health_steps[] = {
    {"health", step_health},
    {NULL, NULL},
};

/* The box is still as its record describes it. */
static bool (*const origin_connected[])(exchange_t *) = {activity_still_there, NULL};
static const exchange_hook_t origin_unreachable[] = {activity_unreachable, NULL};
static bool (*const may_pool[])(const exchange_t *) = {activity_is_current, NULL};

/* A tunnel lasts: this looks up the preview, its blocks and its credentials once more before it opens. */
static bool (*const judge_head[])(exchange_t *) = {tunnel_judge_head, access_judge_head,
                                                   host_check_judge_head, NULL};

static const exchange_hook_t response_head[] = {
    wake_turn_end, /* the box has answered: the next waiter may go to it */
    api_response_head,    wake_response_head, access_response_head,
    tunnel_response_head, activity_responds,  NULL};

static const exchange_hook_t local_head[] = {api_local_head, NULL};

static void (*const request_body[])(exchange_t *, str_t) = {tunnel_request_body, activity_request_body, NULL};

/* The tunnel first: bytes after its closing frame do not count. */
static bool (*const response_body[])(exchange_t *, str_t *) = {tunnel_response_body, activity_response_body,
                                                               NULL};

static bool (*const origin_left[])(exchange_t *, const origin_failure_t *) = {
    tunnel_origin_left, host_check_origin_left, refused_origin_left, NULL};

static void (*const failed[])(exchange_t *, origin_failure_t) = {api_failed, NULL};

static const exchange_hook_t drain[] = {tunnel_drain, NULL};

/* The tunnel's timer first: the other hooks give claims back, which resumes other exchanges. */
static const exchange_hook_t leave[] = {tunnel_leave, wake_turn_end, slots_release, api_deletion_end, NULL};

static const exchange_hook_t begin[] = {flight_begin, tracing_begin, NULL};

/* The access line and the figures need ex->api, so api_end comes last. */
static const exchange_hook_t end[] = {tunnel_close, activity_end, access_log_end, tracing_end,
                                      flight_end,   traffic_end,  api_end,        NULL};

const pipeline_t edge_pipeline = {
    .preview = preview_steps,
    .redirect = redirect_steps,
    .health = health_steps,
    .api = api_steps,
    .api_upstream = api_upstream_steps,
    .hooks = {.begin = begin,
              .still_allowed = steps_still_allowed,
              .origin_connected = origin_connected,
              .origin_unreachable = origin_unreachable,
              .may_pool = may_pool,
              .judge_head = judge_head,
              .response_head = response_head,
              .lists_origin = cors_lists_origin,
              .local_head = local_head,
              .request_body = request_body,
              .response_body = response_body,
              .origin_left = origin_left,
              .failed = failed,
              .drain = drain,
              .leave = leave,
              .end = end},
};
