/*
 * Who makes the requests of the last seconds, over the admin API: GET /v1/traffic. Each worker answers with
 * its figures (edge/worker/traffic.h), and this file adds those of one name.
 */
#include <assert.h>

#include "admin_internal.h"
#include "local.h"
#include "traffic_service.h"

/* Rows of an answer without `limit`. */
#define LIMIT_DEFAULT 100

typedef enum sort_by {
    SORT_REQUESTS,
    SORT_IN,
    SORT_OUT,
    SORT_ERRORS,
    SORT_OWN,
    SORT_LATENCY,
    SORT_OPEN,
} sort_by_t;

static const char *const by_words[] = {
    [TRAFFIC_BY_BOX] = "box",
    [TRAFFIC_BY_PREVIEW] = "preview",
    [TRAFFIC_BY_KEY] = "key",
    [TRAFFIC_BY_UPSTREAM] = "upstream",
};
static const char *const sort_words[] = {
    [SORT_REQUESTS] = "requests", [SORT_IN] = "in",           [SORT_OUT] = "out",  [SORT_ERRORS] = "errors",
    [SORT_OWN] = "own",           [SORT_LATENCY] = "latency", [SORT_OPEN] = "open"};

/* The sum of a name's rows. */
typedef struct sum {
    char name[TRAFFIC_PLACE_MAX + 1];
    bool approximate;
    unsigned full; /* rows of workers whose table is full */
    uint64_t open;
    double requests, errors, own, in, out; /* in a second */
    traffic_figures_t figures;             /* for latencies */
    double sort;
} sum_t;

/* An exchange that waits for the workers. */
typedef struct traffic_job {
    exchange_t *ex;
    traffic_asked_t *asked;
    traffic_question_t question;
    sort_by_t sort;
    uint64_t limit;
    sum_t *sums;
    size_t count, room;
    sum_t all;
    unsigned full_workers;
    uint64_t window_us; /* the longest of a worker; 0: all have only begun */
} traffic_job_t;

static void job_free(traffic_job_t *job)
{
    free(job->sums);
    free(job);
}

static void client_left(void *arg)
{
    traffic_job_t *job = arg;
    traffic_asked_cancel(&job->asked);
    job_free(job);
}

/* ---- sums ---- */

static void add_figures(traffic_figures_t *to, const traffic_figures_t *from)
{
    to->latency_us += from->latency_us;
    for (unsigned i = 0; i < TRAFFIC_LATENCIES; i++)
        to->latencies[i] += from->latencies[i];
}

static void add_row(sum_t *to, const traffic_row_t *row)
{
    double seconds = (double)row->window_us / 1e6;
    const traffic_figures_t *figures = &row->figures;
    to->approximate |= row->approximate;
    to->full += row->full;
    to->open += row->open;
    add_figures(&to->figures, figures);
    if (row->window_us == 0)
        return;
    to->requests += (double)figures->requests / seconds;
    to->errors += (double)figures->errors / seconds;
    to->own += (double)figures->own_errors / seconds;
    to->in += (double)figures->request_bytes / seconds;
    to->out += (double)figures->response_bytes / seconds;
}

static void add_sum(sum_t *to, const sum_t *from)
{
    to->approximate |= from->approximate;
    to->full += from->full;
    to->open += from->open;
    to->requests += from->requests;
    to->errors += from->errors;
    to->own += from->own;
    to->in += from->in;
    to->out += from->out;
    add_figures(&to->figures, &from->figures);
}

static void take_row(traffic_job_t *job, const traffic_row_t *row)
{
    if (row->name.n == 0) { /* all requests of the worker */
        add_row(&job->all, row);
        job->full_workers += row->full;
        if (row->window_us > job->window_us)
            job->window_us = row->window_us;
        return;
    }
    if (job->count == (size_t)SHM_WORKERS_MAX * TRAFFIC_NAMES_MAX)
        return; /* honest workers have fewer */
    if (job->count == job->room) {
        job->room = job->room != 0 ? 2 * job->room : 256;
        job->sums = reallocarray(job->sums, job->room, sizeof(*job->sums));
        assert(job->sums != NULL);
    }
    sum_t *sum = &job->sums[job->count++];
    *sum = (sum_t){.sort = 0};
    memcpy(sum->name, row->name.p, row->name.n);
    add_row(sum, row);
}

static void on_part(void *owner, unsigned number, str_t bytes)
{
    traffic_row_t row;
    (void)number;
    if (bytes.p[0] != TRAFFIC_PART_ROWS)
        return;
    bytes = str_from_offset(bytes, 1);
    while (bytes.n != 0 && traffic_row_read(&bytes, &row))
        take_row(owner, &row);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const sum_t *)a)->name, ((const sum_t *)b)->name);
}

/* The highest first, then by name. */
static int by_sort(const void *a, const void *b)
{
    const sum_t *left = a, *right = b;
    return left->sort < right->sort ? 1 : left->sort > right->sort ? -1 : by_name(a, b);
}

static double sort_value(const sum_t *sum, sort_by_t sort)
{
    switch (sort) {
    case SORT_REQUESTS:
        return sum->requests;
    case SORT_IN:
        return sum->in;
    case SORT_OUT:
        return sum->out;
    case SORT_ERRORS:
        return sum->errors;
    case SORT_OWN:
        return sum->own;
    case SORT_LATENCY:
        return (double)traffic_percentile(&sum->figures, 95);
    case SORT_OPEN:
        return (double)sum->open;
    }
    return 0;
}

/* Adds the rows of each name, leaves out idle names, and sorts. A name that a worker with a full table does
 * not have may have requests there. */
static void merge(traffic_job_t *job)
{
    size_t kept = 0;
    if (job->count == 0)
        return;
    qsort(job->sums, job->count, sizeof(*job->sums), by_name);
    for (size_t i = 0; i < job->count; i++)
        if (kept != 0 && strcmp(job->sums[kept - 1].name, job->sums[i].name) == 0)
            add_sum(&job->sums[kept - 1], &job->sums[i]);
        else
            job->sums[kept++] = job->sums[i];
    job->count = 0;
    for (size_t i = 0; i < kept; i++) {
        sum_t *sum = &job->sums[i];
        sum->approximate |= sum->full < job->full_workers;
        sum->sort = sort_value(sum, job->sort);
        if (sum->requests > 0 || sum->in > 0 || sum->out > 0 || sum->open != 0)
            job->sums[job->count++] = *sum;
    }
    qsort(job->sums, job->count, sizeof(*job->sums), by_sort);
}

/* ---- the answer ---- */

/* Rounded, as far as a worker's figures are sane. */
static void set_rate(json_t *object, const char *name, double value)
{
    double rounded = value < 1e15 ? (double)(int64_t)(value * 1000 + 0.5) / 1000 : value;
    json_object_set_new(object, name, json_real(rounded));
}

static json_t *sum_json(const sum_t *sum)
{
    json_t *json = json_object();
    uint64_t timed = traffic_timed(&sum->figures);
    set_rate(json, "requests_per_s", sum->requests);
    set_rate(json, "request_bytes_per_s", sum->in);
    set_rate(json, "response_bytes_per_s", sum->out);
    set_rate(json, "errors_per_s", sum->errors);
    set_rate(json, "own_errors_per_s", sum->own);
    if (timed != 0) {
        set_rate(json, "mean_ms", (double)sum->figures.latency_us / (double)timed / 1000);
        set_rate(json, "p50_ms", (double)traffic_percentile(&sum->figures, 50) / 1000);
        set_rate(json, "p95_ms", (double)traffic_percentile(&sum->figures, 95) / 1000);
    }
    json_object_set_new(json, "open", json_integer((json_int_t)sum->open));
    json_object_set_new(json, "approximate", json_boolean(sum->approximate));
    return json;
}

static void traffic_done(void *owner, const traffic_missing_t *missing, size_t count)
{
    traffic_job_t *job = owner;
    exchange_t *ex = job->ex;
    json_t *rows = json_array();
    merge(job);
    for (size_t i = 0; i < job->count && i < job->limit; i++) {
        json_t *row = sum_json(&job->sums[i]);
        json_object_set_new(row, "name", json_string(job->sums[i].name));
        json_array_append_new(rows, row);
    }
    size_t left_out = job->count > job->limit ? job->count - job->limit : 0;
    json_t *answer = json_pack("{s:s,s:s,s:I,s:o,s:o,s:I}", "by", by_words[job->question.by], "sort",
                               sort_words[job->sort], "window_ms", (json_int_t)(job->window_us / 1000),
                               "rows", rows, "all", sum_json(&job->all), "left_out", (json_int_t)left_out);
    assert(answer != NULL);
    admin_add_missing(answer, missing, count);
    local_wait_end(ex);
    job_free(job);
    admin_reply(ex, 200, answer);
}

/* The place of `word` among `count` words; false: it is none of them. */
static bool find_word(str_t word, const char *const *words, unsigned count, unsigned *out)
{
    for (*out = 0; *out < count; ++*out)
        if (str_eq(word, str_from(words[*out])))
            return true;
    return false;
}

static bool take_parameter(void *arg, str_t name, str_t value)
{
    traffic_job_t *job = arg;
    unsigned word;
    if (str_eq(name, STR("limit")))
        return str_to_uint(value, TRAFFIC_ROWS_MAX, &job->limit) && job->limit != 0;
    if (str_eq(name, STR("by")) && find_word(value, by_words, TRAFFIC_BYS, &word)) {
        job->question.by = (traffic_by_t)word;
        return true;
    }
    if (str_eq(name, STR("sort")) &&
        find_word(value, sort_words, sizeof(sort_words) / sizeof(sort_words[0]), &word)) {
        job->sort = (sort_by_t)word;
        return true;
    }
    return false;
}

void admin_traffic(exchange_t *ex, str_t body, void *arg)
{
    static const traffic_handlers_t handlers = {on_part, traffic_done};
    (void)body;
    (void)arg;
    traffic_job_t *job = calloc(1, sizeof(*job));
    assert(job != NULL);
    *job = (traffic_job_t){.ex = ex, .limit = LIMIT_DEFAULT, .question = {.op = TRAFFIC_TOP}};
    if (!admin_each_parameter(ex->request.target, take_parameter, job)) {
        free(job);
        admin_error(ex, 400, "bad_query", NULL,
                    "The query may have by (box, preview, key, upstream), sort (requests, in, out, errors, "
                    "own, latency, open) and limit (1 to %d).",
                    TRAFFIC_ROWS_MAX);
        return;
    }
    job->asked = traffic_service_ask(admin_of(ex)->traffic, &job->question, &handlers, job);
    if (job->asked == NULL) {
        job_free(job);
        admin_error(ex, 503, "busy", NULL, "Too many questions about requests are under way: try again.");
        return;
    }
    local_wait(ex, client_left, job);
}
