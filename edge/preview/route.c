#include "route.h"

#include "arena.h"
#include "exchange_measure.h"
#include "flights.h"
#include "links.h"
#include "process_log.h"
#include "remote.h"
#include "step.h"
#include "worker.h"

static void answer_store_unavailable(exchange_t *ex)
{
    exchange_reply_error(ex, 503, "store_unavailable", "The edge cannot read its store right now.", 5);
}

/* The log has one line for each record. */
static void answer_damaged(exchange_t *ex)
{
    const char *sentence = routes_error(worker_of(ex->context)->routes);
    if (store_health_report_record(shm_store_health(ex->context->shm), str_from(sentence)))
        process_log(LOG_STORE_DAMAGED, "worker",
                    "%s: its requests get 503 preview_damaged; make it anew (`boxedge preview "
                    "create`), or "
                    "start from a copy of the store",
                    sentence);
    exchange_reply_error(
        ex, 503, "preview_damaged",
        "The edge cannot read its record of this preview or box, which is damaged. The operator "
        "of this edge must make it anew.",
        0);
}

bool route_refuses(exchange_t *ex, blocks_answer_t answer)
{
    switch (answer) {
    case BLOCKS_CLEAR:
        return false;
    case BLOCKS_BLOCKED:
        exchange_reply_error(ex, 403, "blocked", "The operator of this edge has blocked this request.", 0);
        return true;
    case BLOCKS_UNKNOWN:
        break;
    }
    answer_store_unavailable(ex);
    return true;
}

routes_result_t route_find(exchange_t *ex, const route_t **route)
{
    uint64_t now = loop_wall_us(ex->context->loop) / 1000000;
    routes_result_t result = routes_find(worker_of(ex->context)->routes, ex->request.authority, now, route);
    const char *control_plane = ex->context->conf->control_plane.url;
    bool asks = control_plane != NULL && control_plane[0] != '\0';
    if (result == ROUTES_FOUND && !routes_box_exists(&(*route)->box, asks, now))
        return ROUTES_NO_PREVIEW;
    return result;
}

/* The preview that the request names, or NULL after an answer. */
static const route_t *find_route(exchange_t *ex)
{
    const route_t *route;
    routes_result_t result = route_find(ex, &route);
    if (result == ROUTES_DAMAGED) {
        answer_damaged(ex);
        return NULL;
    }
    if (result == ROUTES_FAILED) {
        answer_store_unavailable(ex);
        return NULL;
    }
    if (result != ROUTES_FOUND) {
        exchange_reply_error(ex, 404, "preview_not_found", "There is no preview at this address.", 0);
        return NULL;
    }
    return route;
}

static void take_route(exchange_t *ex, const route_t *route)
{
    preview_drop(&ex->preview);
    ex->preview = preview_hold(route->preview);
    ex->box = route->box;
    ex->box_epoch = route->epoch;
}

bool route_still_allowed(exchange_t *ex)
{
    if (route_refuses(ex, blocks_has(worker_of(ex->context)->blocks, str_from(ex->preview->id),
                                     ex->preview->port, remote_address(ex))))
        return false;
    const route_t *route = find_route(ex);
    if (route == NULL)
        return false;
    const store_preview_t *now = route->preview;
    if (!links_still_open(ex)) {
        exchange_measure_access(ex, MEASURE_ACCESS_withdrawn);
        exchange_reply_error(ex, 401, "unauthorized", "The link of this request ended meanwhile.", 0);
        return false;
    }
    if (now->version == ex->preview->version || (!now->bearer && !now->basic)) {
        if (ex->state == EXCHANGE_STEPS) { /* the request has no origin yet */
            take_route(ex, route);
        }
        return true;
    }
    fields_t fields = {0};
    fields_add(
        &ex->arena, &fields, FIELD_OTHER, STR("www-authenticate"),
        str_format(&ex->arena, "%s realm=\"%s-%u\"", now->bearer ? "Bearer" : "Basic", now->id, now->port));
    exchange_measure_access(ex, MEASURE_ACCESS_withdrawn);
    exchange_reply_error_with(ex, 401, "unauthorized",
                              "The credentials of this preview were replaced during this request.", &fields);
    return false;
}

/* For the access line that this request gets if its worker dies. */
static void note_box(const exchange_t *ex)
{
    flight_t *flight = flight_of(worker_of(ex->context)->flights, ex->flight);
    if (flight == NULL)
        return;
    memcpy(flight->box, ex->preview->id, sizeof(flight->box));
    flight->port = ex->preview->port;
}

step_result_t step_route(exchange_t *ex)
{
    const route_t *route = find_route(ex);
    if (route == NULL)
        return STEP_DONE;
    take_route(ex, route);
    ex->routed = true;
    note_box(ex);
    /* The host step has checked the alias only. */
    if (ex->preview->alias[0] != '\0' &&
        route_refuses(ex, blocks_has(worker_of(ex->context)->blocks, str_from(ex->preview->id),
                                     ex->preview->port, remote_address(ex))))
        return STEP_DONE;
    exchange_set_share(ex, str_from(ex->box.id));
    return STEP_NEXT;
}
