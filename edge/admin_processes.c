/*
 * Process boxes over the admin API: their logs, and starting and stopping them by hand. The runner does it;
 * whoever asked waits for what comes of it.
 */
#include <assert.h>

#include "admin_private.h"
#include "local.h"
#include "process_log.h"
#include "utf8.h"

/* Lines of a log in one answer where none are named. */
#define LINES_DEFAULT 200

/* Someone who waits for the runner; lives in the exchange's arena. */
typedef struct waiter {
    exchange_t *ex;
    runner_link_t *runner;
    runner_message_t what;
    char id[BOX_ID_MAX + 1];
    uint64_t lines; /* of RUNNER_LOG: the last ones, where it was not asked for what came after a position */
} waiter_t;

static void asker_left(void *arg)
{
    const waiter_t *waiter = arg;
    runner_link_forget(waiter->runner, waiter);
}

/* The last `lines` lines of `text`; one without an end counts. */
static str_t last_lines(str_t text, uint64_t lines)
{
    size_t from = text.n;
    for (; from > 0; from--)
        if (from != text.n && text.p[from - 1] == '\n' && --lines == 0)
            break;
    return str_from_offset(text, from);
}

/* What is not UTF-8, and NUL, is U+FFFD. */
static json_t *text_json(str_t text)
{
    static const char unknown[] = "\xef\xbf\xbd";
    char *out = malloc(text.n * (sizeof(unknown) - 1) + 1);
    size_t used = 0;
    assert(out != NULL);
    while (text.n > 0) {
        size_t n = text.p[0] != '\0' ? utf8_sequence(text) : 0;
        memcpy(out + used, n > 0 ? text.p : unknown, n > 0 ? n : sizeof(unknown) - 1);
        used += n > 0 ? n : sizeof(unknown) - 1;
        text = str_from_offset(text, n > 0 ? n : 1);
    }
    json_t *json = json_stringn(out, used);
    free(out);
    assert(json != NULL);
    return json;
}

static void refuse(exchange_t *ex, const waiter_t *waiter, const runner_answer_t *answer)
{
    const char *rest = strchr(answer->sentence, '\n'); /* for the operator only, who asks here */
    switch (answer->result) {
    case RUNNER_UNKNOWN:
        admin_error(ex, 404, "no_such_process", NULL, "%s is no box of `processes` in the configuration.",
                    waiter->id);
        break;
    case RUNNER_FAILED:
        admin_error(ex, 409, "process_failed", NULL, "%.*s%s%s", (int)strcspn(answer->sentence, "\n"),
                    answer->sentence, rest != NULL ? " " : "", rest != NULL ? rest + 1 : "");
        break;
    default:
        admin_error(ex, 503, "runner_unavailable", NULL, "%s", answer->sentence);
    }
}

static void reply_log(exchange_t *ex, const waiter_t *waiter, const runner_answer_t *answer)
{
    str_t text = waiter->lines > 0 ? last_lines(answer->log, waiter->lines) : answer->log;
    json_t *body = json_pack("{s:s,s:o,s:I}", "box", waiter->id, "text", text_json(text), "end",
                             (json_int_t)answer->log_end);
    assert(body != NULL);
    admin_reply(ex, 200, body);
}

static void on_answer(void *arg, const runner_answer_t *answer)
{
    waiter_t *waiter = arg;
    exchange_t *ex = waiter->ex;
    local_wait_end(ex);
    if (answer->result != RUNNER_OK) {
        refuse(ex, waiter, answer);
    } else if (waiter->what == RUNNER_LOG) {
        reply_log(ex, waiter, answer);
    } else {
        json_t *body = json_pack("{s:s,s:s}", "box", waiter->id, "state",
                                 waiter->what == RUNNER_START ? "running" : "paused");
        assert(body != NULL);
        admin_reply(ex, 200, body);
    }
}

static void ask(exchange_t *ex, str_t id, runner_message_t what, uint64_t from, uint64_t lines)
{
    admin_t *admin = admin_of(ex);
    waiter_t *waiter = h2o_mem_alloc_pool(&ex->arena, sizeof(*waiter));
    *waiter = (waiter_t){.ex = ex, .runner = admin->runner, .what = what, .lines = lines};
    if (!admin_take_id(waiter->id, id)) {
        admin_error(ex, 400, "bad_id", NULL, "That is no id of a box.");
        return;
    }
    if (what != RUNNER_LOG)
        process_log("controller", "box %s: %s asked for by uid %ld", waiter->id,
                    what == RUNNER_START ? "start" : "stop", admin_peer_uid(ex));
    if (ex->worker->conf->process_count == 0) {
        const runner_answer_t none = {.result = RUNNER_UNKNOWN};
        refuse(ex, waiter, &none);
        return;
    }
    if (what != RUNNER_LOG)
        admin->controls->box_ordered(admin->owner, id, what == RUNNER_START);
    if (admin->runner == NULL || !runner_link_ask(admin->runner, what, id, from, on_answer, waiter)) {
        admin_error(ex, 503, "runner_unavailable", NULL,
                    "The process that runs boxes is not there: try again in a moment.");
    } else {
        local_wait(ex, asker_left, waiter);
    }
}

/* Cuts "/v1/processes/<id>/<verb>[?query]" into its parts. False where it is not of this form. */
static bool take_target(str_t target, str_t *id, str_t *verb, str_t *query)
{
    str_t rest = str_from_offset(target, strlen("/v1/processes/"));
    const char *mark = memchr(rest.p, '?', rest.n);
    *query = STR("");
    if (mark != NULL) {
        size_t n = (size_t)(mark - rest.p);
        *query = str_from_offset(rest, n + 1);
        rest.n = n;
    }
    const char *slash = rest.n > 0 ? memchr(rest.p, '/', rest.n) : NULL;
    if (slash == NULL)
        return false;
    size_t n = (size_t)(slash - rest.p);
    *id = str_make(rest.p, n);
    *verb = str_from_offset(rest, n + 1);
    return true;
}

static void refuse_address(exchange_t *ex)
{
    admin_error(ex, 404, "not_found", NULL, "The admin API has no such address.");
}

/* "lines=N" or "from=N": the last N lines, or what came after a position. */
static bool take_query(str_t query, uint64_t *from, uint64_t *lines)
{
    *from = 0;
    *lines = LINES_DEFAULT;
    if (query.n == 0)
        return true;
    if (str_starts(query, STR("lines=")))
        return str_to_uint(str_from_offset(query, 6), INT32_MAX, lines) && *lines > 0;
    *lines = 0;
    return str_starts(query, STR("from=")) && str_to_uint(str_from_offset(query, 5), INT64_MAX, from);
}

void admin_process_log(exchange_t *ex, str_t body, void *arg)
{
    str_t id, verb, query;
    uint64_t from, lines;
    (void)body;
    (void)arg;
    if (!take_target(ex->request.target, &id, &verb, &query) || !str_eq(verb, STR("log")))
        refuse_address(ex);
    else if (!take_query(query, &from, &lines))
        admin_error(ex, 400, "bad_query", NULL, "A log takes lines=N, or from=POSITION.");
    else
        ask(ex, id, RUNNER_LOG, from, lines);
}

void admin_process_act(exchange_t *ex, str_t body, void *arg)
{
    str_t id, verb, query;
    (void)body;
    (void)arg;
    bool known = take_target(ex->request.target, &id, &verb, &query) && query.n == 0;
    bool start = known && str_eq(verb, STR("start"));
    if (!start && !(known && str_eq(verb, STR("stop")))) {
        refuse_address(ex);
        return;
    }
    ask(ex, id, start ? RUNNER_START : RUNNER_STOP, 0, 0);
}
