/*
 * Calls that delete boxes at the API: DELETE of /v2/box/{name} and of /v2/box with {"ids": [...]}, in any
 * spelling. Previews must not outlive their box: its address is given to another one.
 *
 *   read     which boxes it names
 *   ask      GET of each with the caller's key: which box that is, the upstream's answer says
 *   begin    the controller notes them; their previews are not found from here on; then the call goes up
 *   end      the upstream's answer: they are gone, or they stay. Without one nobody knows: the provider is
 *            asked, or a later GET by the same key says it
 *
 * A GET of a box by a key that has asked for its deletion is preceded by one of the edge's own, which settles
 * what became of it.
 */
#include "api.h"

#include <assert.h>
#include <unistd.h>

#include <jansson.h>

#include "api_ask.h"
#include "client.h"
#include "preview_calls.h"
#include "random_id.h"
#include "request_head.h"
#include "steps.h"
#include "store.h"
#include "worker.h"

/* Asked of the upstream at a time; the first one alone, which says whether the key counts. */
#define ASKED_AT_ONCE 8
/* Of a name in the body. */
#define NAME_MAX_BYTES 256

typedef enum stage {
    READING,  /* waits for the body */
    ASKING,   /* the upstream */
    NOTING,   /* the controller is told */
    NOTED,    /* it has it: the call goes up */
    SETTLING, /* the controller is told what a GET said */
    OVER,     /* nothing is to be told any more */
} stage_t;

typedef struct question {
    api_deletion_t *deletion; /* NULL: free */
    subrequest_t *request;
    str_t path;
} question_t;

/* ex->api->deletion. */
struct api_deletion {
    exchange_t *ex;
    stage_t stage;
    bool settles; /* what became of an earlier call, rather than deletes */
    str_t *paths;
    size_t path_count, asked, answered;
    question_t questions[ASKED_AT_ONCE];
    int status; /* of the refusal; 0: an answer of no use */
    str_t content_type, body;
    preview_asker_t asker;
    deletion_call_t call;
};

static uint64_t wall_ms(const exchange_t *ex)
{
    return loop_wall_us(ex->worker->loop) / 1000;
}

/* ---- what is told ---- */

static void tell_end(api_deletion_t *deletion, deletion_outcome_t outcome)
{
    deletion->stage = OVER;
    deletion->call.op = DELETION_END;
    deletion->call.outcome = outcome;
    preview_calls_tell_deletion(deletion->ex->worker->preview_calls, &deletion->call);
}

void api_deletion_answered(exchange_t *ex)
{
    api_deletion_t *deletion = ex->api->deletion;
    int status = ex->response.status;
    if (deletion == NULL || deletion->stage != NOTED)
        return;
    if ((status >= 200 && status < 300 && status != 207) || status == 410)
        tell_end(deletion, DELETION_DONE);
    else if (status >= 300 && status < 500)
        tell_end(deletion, DELETION_REFUSED);
    else
        tell_end(deletion, DELETION_UNKNOWN); /* 5xx, or 207: some are gone */
}

static void stop_asking(api_deletion_t *deletion)
{
    for (size_t i = 0; i < ASKED_AT_ONCE; i++)
        subrequest_cancel(&deletion->questions[i].request);
}

static void leave(exchange_t *ex, await_end_t how)
{
    api_deletion_t *deletion = ex->api->deletion;
    (void)how;
    stop_asking(deletion);
    preview_calls_leave(&deletion->asker);
}

static const await_source_t source = {.name = "deletion", .leave = leave};

void api_deletion_end(exchange_t *ex)
{
    api_deletion_t *deletion = ex->api != NULL ? ex->api->deletion : NULL;
    if (deletion == NULL || deletion->stage == OVER)
        return;
    bool went_up = ex->api->attempts != 0 && (!ex->api->unwritten || ex->api->written_again);
    if (deletion->stage == NOTING || deletion->stage == NOTED)
        tell_end(deletion, went_up ? DELETION_UNKNOWN : DELETION_REFUSED);
    deletion->stage = OVER;
}

/* ---- the controller ---- */

static void on_noted(preview_asker_t *asker, const preview_answer_t *answer)
{
    api_deletion_t *deletion = H2O_STRUCT_FROM_MEMBER(api_deletion_t, asker, asker);
    exchange_t *ex = deletion->ex;
    if (answer == NULL) { /* it may have been noted all the same: leaving takes it back */
        exchange_reply_error(ex, 503, "controller_unavailable",
                             "The edge cannot delete boxes right now: nothing was deleted.", 5);
    } else if (answer->status != 200) {
        const char *code = str_dup(&ex->arena, str_make(answer->code, strlen(answer->code) + 1)).p;
        deletion->stage = OVER;
        exchange_reply_error(ex, answer->status, code, answer->sentence, answer->status == 503 ? 1 : 0);
    } else {
        deletion->stage = NOTED;
        await_complete(ex);
    }
}

static void on_settled(preview_asker_t *asker, const preview_answer_t *answer)
{
    api_deletion_t *deletion = H2O_STRUCT_FROM_MEMBER(api_deletion_t, asker, asker);
    (void)answer; /* where it was not taken, the next GET says it again */
    deletion->stage = OVER;
    await_complete(deletion->ex);
}

/* The upstream has said all. */
static void all_answered(api_deletion_t *deletion)
{
    exchange_t *ex = deletion->ex;
    deletion_call_t *call = &deletion->call;
    preview_calls_t *calls = ex->worker->preview_calls;
    if (call->count == 0) {
        deletion->stage = OVER;
        await_complete(ex);
        return;
    }
    memcpy(call->key_sha256, ex->api->key.sha256, sizeof(call->key_sha256));
    call->pid = (uint32_t)getpid();
    call->birth = ex->worker->birth;
    if (deletion->settles) {
        deletion->stage = SETTLING;
        call->op = DELETION_SETTLE;
        preview_calls_ask_deletion(calls, &deletion->asker, call, on_settled);
        return;
    }
    deletion->stage = NOTING;
    call->op = DELETION_BEGIN;
    call->asked_at_ms = wall_ms(ex);
    random_bytes(ex->worker->random, (unsigned char *)&call->call, sizeof(call->call));
    preview_calls_ask_deletion(calls, &deletion->asker, call, on_noted);
}

/* ---- the upstream ---- */

static void add_id(deletion_call_t *call, str_t id)
{
    for (uint32_t i = 0; i < call->count; i++)
        if (str_eq(str_from(call->ids[i]), id))
            return;
    assert(call->count < STORE_DELETIONS_AT_ONCE);
    memcpy(call->ids[call->count], id.p, id.n);
    call->ids[call->count++][id.n] = '\0';
}

/* Statuses that say that the path names no box of the caller's. */
static bool says_no_box(int status)
{
    return status == 400 || status == 404 || status == 405 || status == 410 || status == 422;
}

/* The box of a 200. False where the answer cannot be read. */
static bool take_box(api_deletion_t *deletion, str_t body)
{
    json_t *box = json_loadb(body.p != NULL ? body.p : "", body.n, JSON_DECODE_ANY, NULL);
    const json_t *id = json_object_get(box, "id");
    bool read = deletion->settles ? json_is_string(id) : box != NULL;
    if (json_is_string(id)) {
        str_t text = str_make(json_string_value(id), json_string_length(id));
        const char *state = json_string_value(json_object_get(box, "status"));
        bool deleted = state != NULL && strcmp(state, "deleted") == 0;
        if (!box_id_valid(text) || (deletion->settles && !str_eq(text, str_from(deletion->call.ids[0]))))
            read = false;
        else
            add_id(&deletion->call, text);
        if (deletion->settles)
            deletion->call.outcome = deleted ? DELETION_DONE : DELETION_REFUSED;
    }
    json_decref(box);
    return read;
}

/* False where the call cannot go on. */
static bool take_answer(api_deletion_t *deletion, const question_t *question, int status, str_t body)
{
    if (status == 200)
        return take_box(deletion, body);
    if (deletion->settles) {
        if (status == 404 || status == 410)
            deletion->call.outcome = DELETION_DONE;
        else
            deletion->call.count = 0;
        return true;
    }
    /* In another spelling it may be redirected; the right one is asked for, too. */
    bool elsewhere =
        status >= 300 && status < 400 && question->path.p == deletion->paths[0].p && deletion->path_count > 1;
    return elsewhere || says_no_box(status);
}

static void refuse(api_deletion_t *deletion, int status, const fields_t *fields, str_t body)
{
    exchange_t *ex = deletion->ex;
    deletion->stage = OVER;
    api_pass_on(ex, status >= 300 ? status : 0, fields_value(fields, FIELD_CONTENT_TYPE), body);
}

static void ask_more(api_deletion_t *deletion);

static void on_answer(exchange_t *ex, void *arg, int status, const fields_t *fields, str_t body)
{
    question_t *question = arg;
    api_deletion_t *deletion = question->deletion;
    (void)ex;
    question->deletion = NULL;
    question->request = NULL;
    deletion->answered++;
    bool good = take_answer(deletion, question, status, body);
    if (!good && deletion->settles)
        deletion->call.count = 0; /* nothing is learnt */
    else if (!good) {
        refuse(deletion, status, fields, body);
        return;
    }
    if (deletion->answered == deletion->path_count)
        all_answered(deletion);
    else
        ask_more(deletion);
}

static void ask_more(api_deletion_t *deletion)
{
    size_t most = deletion->answered == 0 ? 1 : ASKED_AT_ONCE;
    for (size_t i = 0; i < most && deletion->asked < deletion->path_count; i++) {
        question_t *question = &deletion->questions[i];
        if (question->deletion != NULL)
            continue;
        *question = (question_t){.deletion = deletion, .path = deletion->paths[deletion->asked++]};
        question->request = api_ask(deletion->ex, STR("GET"), question->path, on_answer, question);
    }
}

/* ---- which boxes ---- */

static step_result_t bad_request(exchange_t *ex, int status, const char *code, const char *sentence)
{
    exchange_reply_error(ex, status, code, sentence, 0);
    return STEP_DONE;
}

static step_result_t ask_all(api_deletion_t *deletion)
{
    deletion->stage = ASKING;
    if (deletion->path_count == 0) {
        deletion->stage = OVER;
        return STEP_NEXT;
    }
    await_begin(deletion->ex, &source);
    ask_more(deletion);
    return STEP_WAIT;
}

/* False: not a list of names. What cannot be anybody's name is not asked for. */
static bool take_names(api_deletion_t *deletion, const json_t *ids)
{
    exchange_t *ex = deletion->ex;
    size_t index;
    json_t *one;
    deletion->paths = h2o_mem_alloc_pool(&ex->arena, json_array_size(ids) * sizeof(*deletion->paths));
    json_array_foreach(ids, index, one)
    {
        str_t name = str_make(json_string_value(one), json_string_length(one));
        if (!json_is_string(one) || name.n > NAME_MAX_BYTES)
            return false;
        if (name.n != 0 && !str_eq(name, STR(".")) && !str_eq(name, STR("..")))
            deletion->paths[deletion->path_count++] = api_box_path(ex, name);
    }
    return true;
}

static step_result_t read_names(api_deletion_t *deletion)
{
    exchange_t *ex = deletion->ex;
    str_t body = buffer_str(&ex->held);
    if (!ex->request_complete && !ex->request.websocket)
        return bad_request(ex, 413, "body_too_large",
                           "A call that deletes boxes may have a body of less than 64 KiB.");
    if (body.n == 0) {
        deletion->stage = OVER; /* it names none */
        return STEP_NEXT;
    }
    json_t *object = json_loadb(body.p != NULL ? body.p : "", body.n, JSON_REJECT_DUPLICATES, NULL);
    const json_t *ids = json_object_get(object, "ids");
    step_result_t result = STEP_DONE;
    if (json_array_size(ids) > STORE_DELETIONS_AT_ONCE)
        (void)bad_request(ex, 413, "too_many_boxes", "A call may delete 100 boxes at most.");
    else if (!json_is_array(ids) || json_object_size(object) != 1 || !take_names(deletion, ids))
        (void)bad_request(ex, 400, "bad_body",
                          "The body must be a JSON object such as {\"ids\": [\"box-1\", \"box-2\"]}.");
    else
        result = ask_all(deletion);
    json_decref(object);
    return result;
}

static step_result_t read_body(api_deletion_t *deletion)
{
    exchange_t *ex = deletion->ex;
    bool too_large =
        ex->request.content_length != LENGTH_UNKNOWN && ex->request.content_length >= EXCHANGE_BODY_BYTES;
    if (!too_large && !exchange_await_body(ex))
        return STEP_WAIT;
    return read_names(deletion);
}

static api_deletion_t *make(exchange_t *ex)
{
    api_deletion_t *deletion = h2o_mem_alloc_pool(&ex->arena, sizeof(*deletion));
    *deletion = (api_deletion_t){.ex = ex};
    ex->api->deletion = deletion;
    return deletion;
}

/* By the path as it came, which the upstream reads as it will read it then; and as a generous server would.
 */
static step_result_t begin_one(exchange_t *ex, const api_boxes_t *boxes)
{
    if (str_eq(boxes->path, STR("/v2/box/snapshots")))
        return STEP_NEXT; /* all snapshots: a route of its own */
    api_deletion_t *deletion = make(ex);
    str_t canonical = boxes->name.n != 0 ? api_box_path(ex, boxes->name) : boxes->path;
    deletion->paths = h2o_mem_alloc_pool(&ex->arena, 2 * sizeof(*deletion->paths));
    deletion->paths[deletion->path_count++] = boxes->path;
    if (!str_eq(canonical, boxes->path))
        deletion->paths[deletion->path_count++] = canonical;
    return ask_all(deletion);
}

static bool has_query(const exchange_t *ex, const api_boxes_t *boxes)
{
    return ex->request.target.n > boxes->path.n + 1;
}

static step_result_t begin(exchange_t *ex)
{
    str_t target = ex->request.target;
    api_boxes_t boxes = api_path_boxes(request_head_pool(ex, target.n), target);
    switch (boxes.kind) {
    case API_BOXES_NONE:
        return STEP_NEXT;
    case API_BOXES_ONE:
        return begin_one(ex, &boxes);
    case API_BOXES_MANY:
        if (!has_query(ex, &boxes))
            return read_body(make(ex));
        return bad_request(ex, 400, "bad_query",
                           "DELETE /v2/box takes no query: name the boxes in the body.");
    case API_BOXES_UNCLEAR:
        break;
    }
    return bad_request(ex, 400, "misspelled_path",
                       "Write this path as /v2/box or /v2/box/{id}, encoded once at most.");
}

/* ---- what became of an earlier call ---- */

typedef struct earlier {
    const uint8_t *key_sha256;
    uint64_t asked_at_ms; /* of the first one; 0: none */
} earlier_t;

static bool find_earlier(const store_deletion_t *deletion, void *arg)
{
    earlier_t *earlier = arg;
    bool fits = deletion->closed_at_ms != 0 && /* the controller closes those of dead workers */
                memcmp(deletion->key_sha256, earlier->key_sha256, sizeof(deletion->key_sha256)) == 0;
    if (fits && (earlier->asked_at_ms == 0 || deletion->asked_at_ms < earlier->asked_at_ms))
        earlier->asked_at_ms = deletion->asked_at_ms;
    return true;
}

static step_result_t settle(exchange_t *ex)
{
    const api_path_t path = ex->api->path;
    earlier_t earlier = {.key_sha256 = ex->api->key.sha256};
    if ((path.route != API_ROUTE_BOX && path.route != API_ROUTE_PREVIEWS &&
         path.route != API_ROUTE_PREVIEW) ||
        !box_id_valid(path.id) || store_is_being_deleted(ex->worker->store, path.id) != STORE_OK)
        return STEP_NEXT;
    if (store_each_deletion(ex->worker->store, path.id, find_earlier, &earlier) != STORE_OK ||
        earlier.asked_at_ms == 0)
        return STEP_NEXT;
    api_deletion_t *deletion = make(ex);
    deletion->settles = true;
    deletion->call.asked_at_ms = earlier.asked_at_ms;
    add_id(&deletion->call, path.id);
    deletion->paths = h2o_mem_alloc_pool(&ex->arena, sizeof(*deletion->paths));
    deletion->paths[deletion->path_count++] = api_box_path(ex, path.id);
    return ask_all(deletion);
}

/* ---- the step ---- */

/* Frameworks take the method from these where they are configured to. */
static bool is_override(str_t name)
{
    static const str_t names[] = {
        {"x-http-method-override", 22}, {"x-http-method", 13}, {"x-method-override", 17}};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (str_ieq(name, names[i]))
            return true;
    return false;
}

static bool deletes(const request_t *request)
{
    if (str_ieq(request->method, STR("DELETE")))
        return true;
    for (uint32_t i = 0; i < request->fields.count; i++) {
        const field_t *field = &request->fields.at[i];
        if (field->id == FIELD_OTHER && is_override(field->name) &&
            str_ieq(str_trim(field->value), STR("DELETE")))
            return true;
    }
    return false;
}

step_result_t step_api_deletion(exchange_t *ex)
{
    api_t *api = ex->api;
    if (!api->conf->api.previews || api->preflight)
        return STEP_NEXT;
    if (api->deletion == NULL)
        api->path = api_path_parse(request_head_pool(ex, ex->request.target.n), ex->request.target);
    if (api->deletion == NULL)
        return deletes(&ex->request) ? begin(ex) : settle(ex);
    if (api->deletion->stage == READING)
        return read_body(api->deletion);
    assert(api->deletion->stage == NOTED || api->deletion->stage == OVER);
    return STEP_NEXT;
}
