/*
 * The composition of the edge: which steps an exchange takes, and which features see it go by, in which
 * order.
 */
#include "pipeline.h"

#include "access.h"
#include "access_log.h"
#include "activity.h"
#include "api.h"
#include "cors.h"
#include "refused.h"
#include "route.h"
#include "slots.h"
#include "steps.h"
#include "tunnel.h"
#include "wake.h"
#include "wake_events.h"

/*
 * The steps of an exchange that came to a preview's host, in order. Each listener's kind has a table; a step
 * answers STEP_NEXT, STEP_WAIT or STEP_DONE, and never goes back.
 */
static const exchange_step_t preview_steps[] = {
    {"client", step_client},      /* has its client too many requests open: 429 */
    {"host", step_host},          /* is this name ours: 421 */
    {"route", step_route},        /* which preview and which box: 404 */
    {"access", step_access},      /* may this request see it: 401, 403, 429, or the sign-in page */
    {"events", step_wake_events}, /* does it ask how a wake goes on: answered here */
    {"limit", step_limit},        /* is there room for it: 503; has it been here before: 508 */
    {"wake", step_wake},          /* does its box run: else it waits, bounded: 503 */
    {"slots", step_slots},        /* may its client and its box have another connection: else it waits: 503 */
    {"origin", step_origin},      /* to the port in the box, and the response back */
    {NULL, NULL},
};

/* The host step goes over to these where the name is one of the API's. */
static const exchange_step_t api_steps[] = {
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

/* The box is where it was when its record was read. */
static bool (*const origin_connected[])(exchange_t *) = {activity_still_there, NULL};
static const exchange_hook_t origin_unreachable[] = {activity_unreachable, NULL};
static bool (*const may_pool[])(const exchange_t *) = {activity_is_current, NULL};

/* A tunnel lasts: the preview, its blocks and its credentials are looked up once more before it opens. */
static bool (*const judge_head[])(exchange_t *) = {tunnel_judge_head, access_judge_head, NULL};

static const exchange_hook_t response_head[] = {
    wake_turn_end, /* the box has answered: the next that waited may go to it */
    api_response_head,    wake_response_head, access_response_head,
    tunnel_response_head, activity_responds,  NULL};

static const exchange_hook_t local_head[] = {api_local_head, NULL};

static void (*const request_body[])(exchange_t *, str_t) = {tunnel_request_body, activity_request_body, NULL};

/* The tunnel first: bytes behind the frame at which it closes count for nothing. */
static bool (*const response_body[])(exchange_t *, str_t *) = {tunnel_response_body, activity_response_body,
                                                               NULL};

static bool (*const origin_left[])(exchange_t *, const origin_failure_t *) = {tunnel_origin_left,
                                                                              refused_origin_left, NULL};

static void (*const failed[])(exchange_t *, origin_failure_t) = {api_failed, NULL};

/* The tunnel's timer first: what follows gives claims back, and others are served by them. */
static const exchange_hook_t leave[] = {tunnel_leave, wake_turn_end, slots_release, api_deletion_end, NULL};

/* The line is written while the API's part of the exchange is still there. */
static const exchange_hook_t end[] = {tunnel_close, activity_end, access_log_end, api_end, NULL};

const pipeline_t edge_pipeline = {
    .preview = preview_steps,
    .redirect = redirect_steps,
    .health = health_steps,
    .api = api_steps,
    .api_upstream = api_upstream_steps,
    .hooks = {.still_allowed = steps_still_allowed,
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
              .leave = leave,
              .end = end},
};
