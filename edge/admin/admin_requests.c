/*
 * The requests in flight over the admin API: their list, and the end of one by its id; and those that ended
 * last. Workers have them, so an answer waits for the workers, at most TRAFFIC_WAIT_MS.
 */
#include <assert.h>

#include "admin_internal.h"
#include "local.h"
#include "process_log.h"
#include "recent_lines.h"
#include "traffic_service.h"

/* Rows of an answer without `limit`. */
#define LIMIT_DEFAULT 100
/* Workers without an answer that a sentence names. */
#define NAMES_MAX   6
#define NAMES_BYTES (NAMES_MAX * 48 + 48)

typedef struct row {
    uint64_t age_us;
    json_t *json;
} row_t;

/* An exchange that waits for the workers. */
typedef struct requests_job {
    exchange_t *ex;
    traffic_asked_t *asked;
    traffic_question_t question;
    row_t *rows; /* room for 2 * question.limit; of TRAFFIC_LIST */
    size_t count;
    traffic_end_t end; /* sums */
} requests_job_t;

static void job_free(requests_job_t *job)
{
    for (size_t i = 0; i < job->count; i++)
        json_decref(job->rows[i].json);
    free(job->rows);
    free(job);
}

static void client_left(void *arg)
{
    requests_job_t *job = arg;
    traffic_asked_cancel(&job->asked);
    job_free(job);
}

/* ---- parts of the answer ---- */

static void set_text(json_t *object, const char *name, str_t text)
{
    if (text.n != 0)
        json_object_set_new(object, name, json_stringn(text.p, text.n));
}

static json_t *row_json(const traffic_request_t *row)
{
    json_t *json = json_object();
    set_text(json, "request_id", row->id);
    json_object_set_new(json, "age_ms", json_integer((json_int_t)(row->age_us / 1000)));
    set_text(json, "state", row->state);
    set_text(json, "kind", row->kind);
    set_text(json, "http", row->http);
    set_text(json, "client", row->client);
    set_text(json, "method", row->method);
    set_text(json, "host", row->host);
    set_text(json, "path", row->path);
    set_text(json, "box", row->box);
    if (row->port != 0)
        json_object_set_new(json, "port", json_integer(row->port));
    set_text(json, "key", row->key);
    set_text(json, "upstream", row->upstream);
    set_text(json, "origin", row->origin);
    json_object_set_new(json, "request_bytes", json_integer((json_int_t)row->request_bytes));
    json_object_set_new(json, "response_bytes", json_integer((json_int_t)row->response_bytes));
    return json;
}

static int oldest_first(const void *a, const void *b)
{
    uint64_t left = ((const row_t *)a)->age_us, right = ((const row_t *)b)->age_us;
    return left < right ? 1 : left > right ? -1 : 0;
}

/* Keeps the oldest `limit` rows, in order. */
static void sort_rows(requests_job_t *job)
{
    if (job->count != 0)
        qsort(job->rows, job->count, sizeof(*job->rows), oldest_first);
    while (job->count > job->question.limit)
        json_decref(job->rows[--job->count].json);
}

static void take_rows(requests_job_t *job, str_t bytes)
{
    traffic_request_t row;
    while (bytes.n != 0 && traffic_request_read(&bytes, &row)) {
        if (job->count == 2 * (size_t)job->question.limit)
            sort_rows(job);
        job->rows[job->count++] = (row_t){row.age_us, row_json(&row)};
    }
}

static void on_part(void *owner, unsigned number, str_t bytes)
{
    requests_job_t *job = owner;
    traffic_end_t end;
    (void)number;
    str_t rest = str_from_offset(bytes, 1);
    if (bytes.p[0] == TRAFFIC_PART_REQUESTS && job->rows != NULL) {
        take_rows(job, rest);
    } else if (bytes.p[0] == TRAFFIC_PART_END && traffic_end_read(rest, &end)) {
        job->end.open += end.open;
        job->end.matched += end.matched;
        for (size_t i = 0; i < TRAFFIC_ENDINGS; i++)
            job->end.ended[i] += end.ended[i];
    }
}

/* Writes "process 12, process 13 (old generation)", and the number of those beyond NAMES_MAX. */
static void name_missing(const traffic_missing_t *missing, size_t count, char out[NAMES_BYTES])
{
    size_t used = 0;
    for (size_t i = 0; i < count && i < NAMES_MAX; i++)
        used += (size_t)snprintf(out + used, NAMES_BYTES - used, "%sprocess %d%s", i != 0 ? ", " : "",
                                 missing[i].pid, missing[i].old ? " (old generation)" : "");
    if (count > NAMES_MAX)
        used += (size_t)snprintf(out + used, NAMES_BYTES - used, " and %zu others", count - NAMES_MAX);
    assert(used < NAMES_BYTES);
}

void admin_add_missing(json_t *answer, const traffic_missing_t *missing, size_t count)
{
    json_t *list = json_array();
    char names[NAMES_BYTES];
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:i,s:b}", "pid", missing[i].pid, "old", missing[i].old));
    json_object_set_new(answer, "missing", list);
    if (count == 0)
        return;
    name_missing(missing, count, names);
    json_object_set_new(
        answer, "note",
        json_sprintf("no answer within %d s from %s: the requests of these workers are not in "
                     "this answer (boxedge status shows the workers)",
                     TRAFFIC_WAIT_MS / 1000, names));
}

/* ---- the list ---- */

static void list_done(void *owner, const traffic_missing_t *missing, size_t count)
{
    requests_job_t *job = owner;
    exchange_t *ex = job->ex;
    json_t *list = json_array();
    sort_rows(job);
    for (size_t i = 0; i < job->count; i++)
        json_array_append(list, job->rows[i].json);
    uint64_t matched = job->end.matched > job->count ? job->end.matched : job->count;
    json_t *answer =
        json_pack("{s:o,s:I,s:I,s:I}", "requests", list, "open", (json_int_t)job->end.open, "matched",
                  (json_int_t)matched, "left_out", (json_int_t)(matched - job->count));
    assert(answer != NULL);
    admin_add_missing(answer, missing, count);
    local_wait_end(ex);
    job_free(job);
    admin_reply(ex, 200, answer);
}

static bool take_parameter(void *arg, str_t name, str_t value)
{
    traffic_question_t *question = arg;
    uint64_t number;
    if (str_eq(name, STR("box")))
        return admin_take_id(question->box, value);
    if (str_eq(name, STR("state")) && value.n != 0 && value.n <= TRAFFIC_WORD_MAX) {
        memcpy(question->state, value.p, value.n);
        return true;
    }
    if (str_eq(name, STR("older_than_ms")) && str_to_uint(value, UINT32_MAX, &number)) {
        question->older_than_us = number * 1000;
        return true;
    }
    if (str_eq(name, STR("limit")) && str_to_uint(value, TRAFFIC_ROWS_MAX, &number) && number != 0) {
        question->limit = (uint32_t)number;
        return true;
    }
    return false;
}

/* Takes over `job`. */
static void ask(exchange_t *ex, requests_job_t *job, const traffic_handlers_t *handlers)
{
    job->ex = ex;
    job->asked = traffic_service_ask(admin_of(ex)->traffic, &job->question, handlers, job);
    if (job->asked == NULL) {
        job_free(job);
        admin_error(ex, 503, "busy", NULL, "Too many questions about requests are under way: try again.");
        return;
    }
    local_wait(ex, client_left, job);
}

static requests_job_t *job_new(const traffic_question_t *question)
{
    requests_job_t *job = calloc(1, sizeof(*job));
    assert(job != NULL);
    job->question = *question;
    return job;
}

void admin_requests_list(exchange_t *ex, str_t body, void *arg)
{
    static const traffic_handlers_t handlers = {on_part, list_done};
    traffic_question_t question = {.op = TRAFFIC_LIST, .limit = LIMIT_DEFAULT};
    (void)body;
    (void)arg;
    if (!admin_each_parameter(ex->request.target, take_parameter, &question)) {
        admin_error(ex, 400, "bad_query", NULL,
                    "The query may have box (a box id), state (a word of at most %d letters), older_than_ms, "
                    "and limit (1 to %d).",
                    TRAFFIC_WORD_MAX, TRAFFIC_ROWS_MAX);
        return;
    }
    requests_job_t *job = job_new(&question);
    job->rows = calloc(2 * (size_t)question.limit, sizeof(*job->rows));
    assert(job->rows != NULL);
    ask(ex, job, &handlers);
}

/* ---- recent requests: their access lines, by the text of `time`, which sorts as the time does ---- */

typedef struct recent_job {
    exchange_t *ex;
    traffic_asked_t *asked;
    traffic_question_t question;
    json_t *lines[SHM_WORKERS_MAX * RECENT_LINES_MAX];
    size_t count;
    uint64_t kept;
} recent_job_t;

static void recent_free(recent_job_t *job)
{
    for (size_t i = 0; i < job->count; i++)
        json_decref(job->lines[i]);
    free(job);
}

static void recent_left(void *arg)
{
    recent_job_t *job = arg;
    traffic_asked_cancel(&job->asked);
    recent_free(job);
}

static void recent_part(void *owner, unsigned number, str_t bytes)
{
    recent_job_t *job = owner;
    str_t rest = str_from_offset(bytes, 1), line;
    traffic_end_t end;
    (void)number;
    if (bytes.p[0] == TRAFFIC_PART_END && traffic_end_read(rest, &end))
        job->kept += end.open;
    while (bytes.p[0] == TRAFFIC_PART_LINES && traffic_line_read(&rest, &line)) {
        json_t *json = json_loadb(line.p, line.n, 0, NULL);
        if (json_is_object(json) && job->count < sizeof(job->lines) / sizeof(job->lines[0]))
            job->lines[job->count++] = json;
        else
            json_decref(json);
    }
}

static int newest_first(const void *a, const void *b)
{
    const char *left = json_string_value(json_object_get(*(json_t *const *)a, "time"));
    const char *right = json_string_value(json_object_get(*(json_t *const *)b, "time"));
    return strcmp(right != NULL ? right : "", left != NULL ? left : "");
}

static void recent_done(void *owner, const traffic_missing_t *missing, size_t count)
{
    recent_job_t *job = owner;
    exchange_t *ex = job->ex;
    json_t *list = json_array();
    qsort(job->lines, job->count, sizeof(job->lines[0]), newest_first);
    for (size_t i = 0; i < job->count && i < job->question.limit; i++)
        json_array_append(list, job->lines[i]);
    bool off = strcmp(ex->context->conf->access_log, "off") == 0;
    json_t *answer = json_pack("{s:o,s:I}", "lines", list, "kept", (json_int_t)job->kept);
    assert(answer != NULL);
    admin_add_missing(answer, missing, count);
    if (off && count == 0)
        json_object_set_new(answer, "note",
                            json_string("the edge writes no access lines (log.access is off), so that it has "
                                        "no recent ones"));
    local_wait_end(ex);
    recent_free(job);
    admin_reply(ex, 200, answer);
}

static bool take_recent(void *arg, str_t name, str_t value)
{
    traffic_question_t *question = arg;
    uint64_t limit;
    if (str_eq(name, STR("find")) && (value.n == 0 || recent_find_valid(value))) {
        memcpy(question->find, value.p, value.n);
        question->find[value.n] = '\0';
        return true;
    }
    if (str_eq(name, STR("limit")) && str_to_uint(value, RECENT_LINES_MAX, &limit) && limit != 0) {
        question->limit = (uint32_t)limit;
        return true;
    }
    return false;
}

void admin_recent(exchange_t *ex, str_t body, void *arg)
{
    static const traffic_handlers_t handlers = {recent_part, recent_done};
    traffic_question_t question = {.op = TRAFFIC_RECENT, .limit = LIMIT_DEFAULT};
    (void)body;
    (void)arg;
    if (!admin_each_parameter(ex->request.target, take_recent, &question)) {
        admin_error(ex, 400, "bad_query", NULL,
                    "The query may have find (at most 255 letters, digits and .:_-) and limit (1 to %d).",
                    RECENT_LINES_MAX);
        return;
    }
    recent_job_t *job = calloc(1, sizeof(*job));
    assert(job != NULL);
    job->ex = ex;
    job->question = question;
    job->asked = traffic_service_ask(admin_of(ex)->traffic, &question, &handlers, job);
    if (job->asked == NULL) {
        recent_free(job);
        admin_error(ex, 503, "busy", NULL, "Too many questions about requests are under way: try again.");
        return;
    }
    local_wait(ex, recent_left, job);
}

/* ---- the end of a request ---- */

/* What happened, for the operator and the log. */
static const char *ending_text(const traffic_end_t *end)
{
    if (end->ended[TRAFFIC_ANSWERED] != 0)
        return "answered with 503";
    return end->ended[TRAFFIC_CLOSED] != 0 ? "closed with a Close frame" : "reset";
}

static void answer_kill(exchange_t *ex, const requests_job_t *job, uint64_t ended,
                        const traffic_missing_t *missing, size_t count)
{
    json_t *answer = json_pack("{s:s,s:I,s:s}", "request_id", job->question.request_id, "ended",
                               (json_int_t)ended, "how", ending_text(&job->end));
    assert(answer != NULL);
    admin_add_missing(answer, missing, count);
    process_log(LOG_REQUEST_KILLED, "controller", "request %s ended by uid %ld: %s", job->question.request_id,
                admin_peer_uid(ex), ending_text(&job->end));
    admin_reply(ex, 200, answer);
}

static void refuse_silent(exchange_t *ex, const traffic_missing_t *missing, size_t count)
{
    char names[NAMES_BYTES];
    name_missing(missing, count, names);
    admin_error(ex, 503, "workers_silent", NULL,
                "No worker that answered has this request. No answer within %d s from %s: that may have it.",
                TRAFFIC_WAIT_MS / 1000, names);
}

static void kill_done(void *owner, const traffic_missing_t *missing, size_t count)
{
    requests_job_t *job = owner;
    exchange_t *ex = job->ex;
    uint64_t ended = 0;
    for (size_t i = 0; i < TRAFFIC_ENDINGS; i++)
        ended += job->end.ended[i];
    local_wait_end(ex);
    if (ended != 0)
        answer_kill(ex, job, ended, missing, count);
    else if (count != 0)
        refuse_silent(ex, missing, count);
    else
        admin_error(ex, 404, "no_request", NULL, "No request with this id is in flight.");
    job_free(job);
}

void admin_requests_kill(exchange_t *ex, str_t body, void *arg)
{
    static const traffic_handlers_t handlers = {on_part, kill_done};
    traffic_question_t question = {.op = TRAFFIC_KILL};
    str_t id = str_from_offset(ex->request.target, STR("/v1/requests/").n);
    (void)body;
    (void)arg;
    if (id.n > TRAFFIC_ID_MAX || memchr(id.p, '?', id.n) != NULL) {
        admin_error(ex, 400, "bad_request_id", NULL, "A request's id has at most %d characters.",
                    TRAFFIC_ID_MAX);
        return;
    }
    memcpy(question.request_id, id.p, id.n);
    ask(ex, job_new(&question), &handlers);
}
