/*
 * Calls that delete boxes at the API: DELETE of /v2/box/{name} and of /v2/box with {"ids": [...]}, in any
 * spelling. Previews must not outlive their box, since another box gets its address.
 *
 *   read     the names of the boxes
 *   ask      GET of each with the caller's key: the upstream's answer shows the box. A box that is not named
 * by its id is asked for by its id too begin    the controller notes the boxes, whose previews are not found
 * from here on; the call is forwarded end      the upstream's answer: the boxes are gone, or they stay.
 * Without one, the controller asks the provider, or a later GET by the same key settles it
 *
 * Always holds: a call is forwarded only with ids of noted boxes, each of which the upstream has shown to the
 * same key by that id, and with the parts of that GET. If it shows one of the boxes differently or not at
 * all, the caller gets that answer.
 *
 * A key that requested the deletion of a box may send a GET of it. The edge then first sends its own GET,
 * which settles the earlier call.
 */
#include "api.h"

#include <assert.h>
#include <unistd.h>

#include <jansson.h>

#include "api_deletion_internal.h"
#include "api_method.h"
#include "arena.h"
#include "client.h"
#include "deletion_word.h"
#include "list.h"
#include "preview_client.h"
#include "random_id.h"
#include "request_head.h"
#include "step.h"
#include "store.h"
#include "worker.h"

/* Maximum bytes of a name or id. */
#define NAME_MAX_BYTES 256

static uint64_t wall_ms(const exchange_t *ex)
{
    return loop_wall_us(ex->context->loop) / 1000;
}

/* ---- reports ---- */

static void report_end(api_deletion_t *deletion, deletion_outcome_t outcome)
{
    deletion->stage = OVER;
    deletion->call.op = DELETION_END;
    deletion->call.outcome = outcome;
    preview_client_notify_deletion(worker_of(deletion->ex->context)->preview_client, &deletion->call);
}

/*
 * Whether the answer proves that no box went. A box was shown a moment ago, so 404 may mean that it is gone
 * by now. After a second sending the first one may have deleted it. A call for many boxes may have deleted
 * some before a 4xx that depends on a box.
 */
static bool proves_refusal(const exchange_t *ex, size_t boxes, int status)
{
    if (ex->api->written_again || status < 300 || status >= 500 || status == 404)
        return false;
    return boxes == 1 || status < 400 || status == 401 || status == 403 || status == 413 || status == 415 ||
           status == 429;
}

void api_deletion_answered(exchange_t *ex)
{
    api_deletion_t *deletion = ex->api->deletion;
    int status = ex->response.status;
    if (deletion == NULL || deletion->stage != NOTED)
        return;
    /* A 410 for several boxes may hold for one of them only. */
    if ((status >= 200 && status < 300 && status != 207) || (status == 410 && deletion->box_count == 1))
        report_end(deletion, DELETION_DONE);
    else
        report_end(deletion,
                   proves_refusal(ex, deletion->box_count, status) ? DELETION_REFUSED : DELETION_UNKNOWN);
}

static void leave(exchange_t *ex, await_end_t how)
{
    api_deletion_t *deletion = ex->api->deletion;
    (void)how;
    api_query_stop(&deletion->questions);
    preview_client_leave(&deletion->controller_request);
}

static const await_source_t source = {.name = "deletion", .leave = leave};

void api_deletion_end(exchange_t *ex)
{
    api_deletion_t *deletion = ex->api != NULL ? ex->api->deletion : NULL;
    if (deletion == NULL || deletion->stage == OVER)
        return;
    bool went_up = ex->api->attempts != 0 && (!ex->api->unwritten || ex->api->written_again);
    if (deletion->stage == NOTING || deletion->stage == NOTED)
        report_end(deletion, went_up ? DELETION_UNKNOWN : DELETION_REFUSED);
    deletion->stage = OVER;
}

/* ---- the controller ---- */

static void on_noted(preview_request_t *controller_request, const preview_answer_t *answer)
{
    api_deletion_t *deletion = CONTAINER_OF(api_deletion_t, controller_request, controller_request);
    exchange_t *ex = deletion->ex;
    if (answer == NULL) { /* it may be noted anyway: api_deletion_end takes it back */
        exchange_reply_error(ex, 503, "controller_unavailable",
                             "The edge cannot delete boxes right now: nothing was deleted.", 5);
    } else if (answer->status != 200) {
        const char *code = str_dup(&ex->arena, str_make(answer->code, strlen(answer->code) + 1)).p;
        deletion->stage = OVER; /* nothing was noted */
        exchange_reply_error(ex, answer->status, code, answer->sentence, answer->status == 503 ? 1 : 0);
    } else {
        deletion->stage = NOTED;
        await_complete(ex);
    }
}

static void on_settled(preview_request_t *controller_request, const preview_answer_t *answer)
{
    api_deletion_t *deletion = CONTAINER_OF(api_deletion_t, controller_request, controller_request);
    (void)answer; /* the next GET repeats an untaken report */
    deletion->stage = OVER;
    await_complete(deletion->ex);
}

static void request_record(api_deletion_t *deletion, deletion_op_t op,
                           void (*answered)(preview_request_t *controller_request,
                                            const preview_answer_t *answer))
{
    exchange_t *ex = deletion->ex;
    deletion_call_t *call = &deletion->call;
    call->op = op;
    memcpy(call->key_sha256, ex->api->key.sha256, sizeof(call->key_sha256));
    call->pid = (uint32_t)getpid();
    call->birth = worker_of(ex->context)->birth;
    preview_client_request_deletion(worker_of(ex->context)->preview_client, &deletion->controller_request,
                                    call, answered);
}

/* The upstream has shown all boxes by their ids. No record is needed if none of them can have previews. */
static void note(exchange_t *ex)
{
    api_deletion_t *deletion = ex->api->deletion;
    api_deletion_write_request(deletion);
    if (deletion->call.count == 0) {
        deletion->stage = OVER;
        await_complete(ex);
        return;
    }
    deletion->stage = NOTING;
    random_bytes(ex->context->random, (unsigned char *)&deletion->call.call, sizeof(deletion->call.call));
    deletion->call.requested_at_ms = wall_ms(ex);
    request_record(deletion, DELETION_BEGIN, on_noted);
}

/* ---- the upstream ---- */

static void record(deletion_call_t *call, str_t id)
{
    assert(call->count < STORE_DELETIONS_AT_ONCE);
    memcpy(call->ids[call->count], id.p, id.n);
    call->ids[call->count++][id.n] = '\0';
}

/* A box whose id cannot be in the name of a host has no previews. */
static void add_box(api_deletion_t *deletion, str_t id)
{
    for (size_t i = 0; i < deletion->box_count; i++)
        if (str_eq(deletion->ids[i], id))
            return;
    deletion->ids[deletion->box_count++] = id;
    if (box_id_valid(id))
        record(&deletion->call, id);
}

/* A path cannot have the dots as a segment. */
static bool is_name(str_t name)
{
    return name.n != 0 && name.n <= NAME_MAX_BYTES && !str_eq(name, STR(".")) && !str_eq(name, STR(".."));
}

/* The id of the box that the answer shows, in the arena; empty: it shows none. */
static str_t shown_id(exchange_t *ex, int status, str_t body)
{
    json_t *box = status == 200 ? json_loadb(body.p != NULL ? body.p : "", body.n, 0, NULL) : NULL;
    const json_t *id = json_object_get(box, "id");
    str_t text = str_make(json_string_value(id), json_string_length(id));
    str_t copy = is_name(text) ? str_dup(&ex->arena, text) : STR("");
    json_decref(box);
    return copy;
}

static bool on_answer(exchange_t *ex, size_t index, int status, const fields_t *fields, str_t body)
{
    api_deletion_t *deletion = ex->api->deletion;
    str_t id = shown_id(ex, status, body);
    if (id.n == 0)
        api_deletion_refuse(deletion, deletion->paths[index], status, fields, body);
    else
        deletion->ids[index] = id;
    return id.n != 0;
}

/* An id may be the name of another box, by which the upstream would find that one. */
static bool on_answer_by_id(exchange_t *ex, size_t index, int status, const fields_t *fields, str_t body)
{
    api_deletion_t *deletion = ex->api->deletion;
    bool same = str_eq(api_box_path(ex, shown_id(ex, status, body)), deletion->by_id[index]);
    if (!same)
        api_deletion_refuse(deletion, deletion->by_id[index], status, fields, body);
    return same;
}

static void on_shown(exchange_t *ex)
{
    api_deletion_t *deletion = ex->api->deletion;
    for (size_t i = 0; i < deletion->count; i++) {
        str_t path = api_box_path(ex, deletion->ids[i]);
        add_box(deletion, deletion->ids[i]);
        if (!str_eq(path, deletion->paths[i]))
            deletion->by_id[deletion->others++] = path;
    }
    if (deletion->others == 0)
        note(ex);
    else
        api_query_each(&deletion->questions, ex, deletion->by_id, deletion->others, on_answer_by_id, note);
}

/* ---- which boxes ---- */

static step_result_t bad_request(exchange_t *ex, int status, const char *code, const char *sentence)
{
    exchange_reply_error(ex, status, code, sentence, 0);
    return STEP_DONE;
}

static step_result_t query_all(api_deletion_t *deletion)
{
    deletion->stage = QUERYING;
    await_begin(deletion->ex, &source);
    api_query_each(&deletion->questions, deletion->ex, deletion->paths, deletion->count, on_answer, on_shown);
    return STEP_WAIT;
}

static void make_room(api_deletion_t *deletion, size_t count)
{
    arena_t *arena = &deletion->ex->arena;
    deletion->paths = arena_alloc(arena, count * sizeof(*deletion->paths));
    deletion->ids = arena_alloc(arena, count * sizeof(*deletion->ids));
    deletion->by_id = arena_alloc(arena, count * sizeof(*deletion->by_id));
}

/* Each box is asked for once. */
static void add_path(api_deletion_t *deletion, str_t path)
{
    for (size_t i = 0; i < deletion->count; i++)
        if (str_eq(deletion->paths[i], path))
            return;
    deletion->paths[deletion->count++] = path;
}

/* False: not a list of names. */
static bool take_names(api_deletion_t *deletion, const json_t *ids)
{
    size_t index;
    json_t *one;
    if (json_array_size(ids) == 0)
        return false; /* no list */
    make_room(deletion, json_array_size(ids));
    json_array_foreach(ids, index, one)
    {
        str_t name = str_make(json_string_value(one), json_string_length(one));
        if (!is_name(name))
            return false;
        add_path(deletion, api_box_path(deletion->ex, name));
    }
    return true;
}

/* An SDK sends the empty list of its caller. The upstream could take it for all boxes, so it does not go up.
 */
static step_result_t delete_nothing(exchange_t *ex)
{
    fields_t fields = {0};
    exchange_add_own_fields(ex, &fields);
    exchange_reply(ex, 200, STR("application/json"), &fields, STR("{}\n"));
    return STEP_DONE;
}

static step_result_t read_names(api_deletion_t *deletion)
{
    exchange_t *ex = deletion->ex;
    str_t body = buffer_str(&ex->held);
    json_t *object = json_loadb(body.p != NULL ? body.p : "", body.n, JSON_REJECT_DUPLICATES, NULL);
    const json_t *ids = json_object_get(object, "ids");
    step_result_t result = STEP_DONE;
    if (json_array_size(ids) > STORE_DELETIONS_AT_ONCE)
        (void)bad_request(ex, 413, "too_many_boxes", "One call can delete at most 100 boxes.");
    else if (json_object_size(object) == 1 && json_is_array(ids) && json_array_size(ids) == 0)
        (void)delete_nothing(ex);
    else if (json_object_size(object) != 1 || !take_names(deletion, ids))
        (void)bad_request(ex, 400, "bad_body",
                          "The body must be a JSON object such as {\"ids\": [\"box-1\", \"box-2\"]}.");
    else
        result = query_all(deletion);
    json_decref(object);
    return result;
}

static step_result_t read_empty(api_deletion_t *deletion)
{
    str_t body = buffer_str(&deletion->ex->held);
    json_t *object = body.n != 0 ? json_loadb(body.p, body.n, 0, NULL) : json_object();
    bool empty = json_is_object(object) && json_object_size(object) == 0;
    json_decref(object);
    if (empty)
        return query_all(deletion);
    return bad_request(deletion->ex, 400, "bad_body", "A call that deletes one box takes no body.");
}

/* NEXT: the body is whole. */
static step_result_t hold_body(exchange_t *ex, const char *too_large)
{
    uint64_t length = ex->request.content_length;
    if ((length == LENGTH_UNKNOWN || length < EXCHANGE_BODY_BYTES) && !exchange_await_body(ex))
        return STEP_WAIT;
    if (ex->request_complete || ex->request.websocket)
        return STEP_NEXT;
    return bad_request(ex, 413, "body_too_large", too_large);
}

/* A call for one box is whole, too, before the edge asks for the box. Otherwise a client could delay the rest
 * of its body, and so the deletion, long after that answer. */
static step_result_t read_body(api_deletion_t *deletion)
{
    exchange_t *ex = deletion->ex;
    step_result_t held = hold_body(ex, "The body of a call that deletes boxes must be smaller than 64 KiB.");
    if (held != STEP_NEXT)
        return held;
    if (ex->request.websocket)
        return bad_request(ex, 400, "bad_body", "A WebSocket handshake deletes no box.");
    return deletion->path.n != 0 ? read_empty(deletion) : read_names(deletion);
}

static api_deletion_t *make(exchange_t *ex)
{
    api_deletion_t *deletion = arena_alloc(&ex->arena, sizeof(*deletion));
    *deletion = (api_deletion_t){.ex = ex};
    ex->api->deletion = deletion;
    return deletion;
}

/* Asks by the raw path, which the upstream reads as it would read it in the call. A query could name other
 * boxes, or ask for less than a deletion. */
static step_result_t begin_with(exchange_t *ex, const api_boxes_t *boxes)
{
    if (ex->request.target.n > boxes->path.n + 1)
        return bad_request(ex, 400, "bad_query", "A call that deletes boxes takes no query.");
    api_deletion_t *deletion = make(ex);
    if (boxes->kind == API_BOXES_ONE) {
        deletion->path = boxes->path;
        make_room(deletion, 1);
        deletion->paths[deletion->count++] = boxes->path;
    }
    return read_body(deletion);
}

static step_result_t begin(exchange_t *ex)
{
    str_t target = ex->request.target;
    api_boxes_t boxes = api_path_boxes(request_head_pool(ex, target.n), target);
    switch (boxes.kind) {
    case API_BOXES_NONE:
        return STEP_NEXT;
    case API_BOXES_ONE:
        if (str_eq(boxes.path, STR("/v2/box/snapshots")))
            return STEP_NEXT; /* all snapshots: a separate route */
        return begin_with(ex, &boxes);
    case API_BOXES_MANY:
        return begin_with(ex, &boxes);
    case API_BOXES_UNCLEAR:
        break;
    }
    return bad_request(ex, 400, "misspelled_path",
                       "Write this path as /v2/box or /v2/box/{id}, encoded once at most.");
}

/* ---- the end of an earlier call ---- */

typedef struct earlier {
    const uint8_t *key_sha256;
    uint64_t requested_at_ms; /* of the first one; 0: none */
    uint64_t closed_at_ms;    /* of the last one */
} earlier_t;

static bool find_earlier(const store_deletion_t *deletion, void *arg)
{
    earlier_t *earlier = arg;
    bool fits = deletion->closed_at_ms != 0 && /* the controller closes calls of dead workers */
                memcmp(deletion->key_sha256, earlier->key_sha256, sizeof(deletion->key_sha256)) == 0;
    if (!fits)
        return true;
    if (earlier->requested_at_ms == 0 || deletion->requested_at_ms < earlier->requested_at_ms)
        earlier->requested_at_ms = deletion->requested_at_ms;
    if (deletion->closed_at_ms > earlier->closed_at_ms)
        earlier->closed_at_ms = deletion->closed_at_ms;
    return true;
}

/* The outcome that the answer proves; 0: none. */
static deletion_outcome_t read_state(const api_deletion_t *deletion, int status, str_t body)
{
    switch (deletion_word(str_from(deletion->call.ids[0]), status, body)) {
    case DELETION_WORD_GONE:
        return DELETION_DONE;
    case DELETION_WORD_THERE:
        return deletion->living ? DELETION_REFUSED : 0;
    case DELETION_WORD_NONE:
    case DELETION_WORD_REFUSED:
        break;
    }
    return 0;
}

static bool on_state(exchange_t *ex, size_t index, int status, const fields_t *fields, str_t body)
{
    (void)index;
    (void)fields;
    ex->api->deletion->call.outcome = read_state(ex->api->deletion, status, body);
    return true;
}

static void on_state_known(exchange_t *ex)
{
    api_deletion_t *deletion = ex->api->deletion;
    if (deletion->call.outcome == 0) {
        deletion->stage = OVER;
        await_complete(ex);
        return;
    }
    deletion->stage = SETTLING;
    request_record(deletion, DELETION_SETTLE, on_settled);
}

static step_result_t settle(exchange_t *ex)
{
    const api_path_t path = ex->api->path;
    earlier_t earlier = {.key_sha256 = ex->api->key.sha256};
    if (path.route == API_ROUTE_OTHER || path.route == API_ROUTE_MISSPELLED || !box_id_valid(path.id) ||
        store_is_being_deleted(worker_of(ex->context)->store, path.id) != STORE_OK)
        return STEP_NEXT;
    if (store_each_deletion(worker_of(ex->context)->store, path.id, find_earlier, &earlier) != STORE_OK ||
        earlier.requested_at_ms == 0)
        return STEP_NEXT;
    api_deletion_t *deletion = make(ex);
    deletion->stage = QUERYING;
    deletion->call.requested_at_ms = earlier.requested_at_ms;
    deletion->living = wall_ms(ex) > earlier.closed_at_ms + DELETION_LIVING_MS;
    record(&deletion->call, path.id);
    make_room(deletion, 1);
    deletion->paths[deletion->count++] = api_box_path(ex, path.id);
    await_begin(ex, &source);
    api_query_each(&deletion->questions, ex, deletion->paths, 1, on_state, on_state_known);
    return STEP_WAIT;
}

/* ---- the step ---- */

static bool names_boxes(exchange_t *ex)
{
    str_t target = ex->request.target;
    return api_path_boxes(request_head_pool(ex, target.n), target).kind != API_BOXES_NONE;
}

static step_result_t refuse_form(exchange_t *ex)
{
    return bad_request(ex, 415, "unsupported_media_type",
                       "Send the body as application/json: an API could take a method from this form.");
}

static step_result_t read_form(exchange_t *ex)
{
    step_result_t held = hold_body(ex, "A form for boxes must be smaller than 64 KiB.");
    if (held != STEP_NEXT)
        return held;
    return api_method_is_in_form(buffer_str(&ex->held), &ex->arena) ? refuse_form(ex) : STEP_NEXT;
}

/* Other frameworks take the method of a POST from the parameter `_method`. The calls of the API send JSON, at
 * times as the form that is the default of curl. */
static step_result_t check_post(exchange_t *ex)
{
    arena_t *pool = request_head_pool(ex, ex->request.target.n);
    if (!str_ieq(ex->request.method, STR("POST")) || !names_boxes(ex))
        return STEP_NEXT;
    if (api_method_is_in_query(&ex->request, pool))
        return bad_request(ex, 400, "bad_query",
                           "Send no query that names a method: an API could take it for a deletion.");
    switch (api_method_form(&ex->request)) {
    case API_FORM_PLAIN:
        return read_form(ex);
    case API_FORM_OPAQUE:
        return refuse_form(ex);
    case API_FORM_NONE:
        break;
    }
    if (ex->request.has_body)
        api_method_set_type(&ex->request, pool);
    return STEP_NEXT;
}

static step_result_t start(exchange_t *ex)
{
    ex->api->path = api_path_parse(request_head_pool(ex, ex->request.target.n), ex->request.target);
    step_result_t checked = check_post(ex);
    if (checked != STEP_NEXT)
        return checked;
    return api_method_deletes(&ex->request) ? begin(ex) : settle(ex);
}

step_result_t step_api_deletion(exchange_t *ex)
{
    api_t *api = ex->api;
    if (!api->conf->api.previews || api->preflight)
        return STEP_NEXT;
    if (api->deletion == NULL)
        return start(ex);
    if (api->deletion->stage == READING)
        return read_body(api->deletion);
    assert(api->deletion->stage == NOTED || api->deletion->stage == OVER);
    return STEP_NEXT;
}
