/*
 * Process boxes over the admin API: start and stop by the operator. The request waits for the runner's
 * result, whose reports of the box come before it, and then until every worker sees the state.
 */
#include <assert.h>

#include "admin_internal.h"
#include "arena.h"
#include "local.h"
#include "process_log.h"

/* An exchange that waits for the runner; lives in the exchange's arena. */
typedef struct waiter {
    exchange_t *ex;
    runner_client_t *runner;
    runner_message_t what;
    char id[BOX_ID_MAX + 1];
} waiter_t;

static void client_left(void *arg)
{
    const waiter_t *waiter = arg;
    runner_client_forget(waiter->runner, waiter);
}

void admin_no_such_process(exchange_t *ex, const char *id)
{
    admin_error(ex, 404, "no_such_process", NULL, "%s is not a box of `processes` in the configuration.", id);
}

static void refuse(exchange_t *ex, const waiter_t *waiter, const runner_answer_t *answer)
{
    const char *rest = strchr(answer->sentence, '\n'); /* output, only for the operator: this client */
    switch (answer->result) {
    case RUNNER_UNKNOWN:
        admin_no_such_process(ex, waiter->id);
        break;
    case RUNNER_FAILED:
        admin_error(ex, 409, "process_failed", NULL, "%.*s%s%s", (int)strcspn(answer->sentence, "\n"),
                    answer->sentence, rest != NULL ? " " : "", rest != NULL ? rest + 1 : "");
        break;
    default:
        admin_error(ex, 503, "runner_unavailable", NULL, "%s", answer->sentence);
    }
}

static void answer_recorded(exchange_t *ex, const waiter_t *waiter)
{
    admin_t *admin = admin_of(ex);
    const char *state = waiter->what == RUNNER_START ? "running" : "paused";
    admin_recorded_t *recorded =
        admin_recorded_new(admin, json_pack("{s:s,s:s}", "box", waiter->id, "state", state));
    if (recorded == NULL) {
        admin_error(ex, 503, "store_busy", NULL,
                    "It was done, but too many states wait for the store to be recorded.");
        return;
    }
    admin_recorded_wait(recorded, ex);
    if (!admin->controls->when_recorded(admin->owner, str_from(waiter->id), admin_recorded_done, recorded))
        admin_recorded_done(recorded); /* no worker knows another state */
}

static void on_answer(void *arg, const runner_answer_t *answer)
{
    waiter_t *waiter = arg;
    exchange_t *ex = waiter->ex;
    local_wait_end(ex);
    if (answer->result != RUNNER_OK) {
        refuse(ex, waiter, answer);
    } else {
        answer_recorded(ex, waiter);
    }
}

static void request(exchange_t *ex, str_t id, runner_message_t what)
{
    admin_t *admin = admin_of(ex);
    waiter_t *waiter = arena_alloc(&ex->arena, sizeof(*waiter));
    *waiter = (waiter_t){.ex = ex, .runner = admin->runner, .what = what};
    if (!admin_take_id(waiter->id, id)) {
        admin_error(ex, 400, "bad_id", NULL, "This is not the id of a box.");
        return;
    }
    process_log(LOG_BOX_REQUESTED, "controller", "box %s: %s requested by uid %ld", waiter->id,
                what == RUNNER_START ? "start" : "stop", admin_peer_uid(ex));
    if (ex->context->conf->process_count == 0) {
        const runner_answer_t none = {.result = RUNNER_UNKNOWN};
        refuse(ex, waiter, &none);
        return;
    }
    admin->controls->box_ordered(admin->owner, id, what == RUNNER_START);
    if (admin->runner == NULL || !runner_client_request(admin->runner, what, id, 0, on_answer, waiter)) {
        admin_error(ex, 503, "runner_unavailable", NULL,
                    "The process that runs boxes is not running: try again in a moment.");
    } else {
        local_wait(ex, client_left, waiter);
    }
}

bool admin_take_verb(str_t rest, str_t *id, str_t *verb, str_t *query)
{
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

void admin_no_such_address(exchange_t *ex)
{
    admin_error(ex, 404, "not_found", NULL, "The admin API has no such address.");
}

void admin_process_act(exchange_t *ex, str_t body, void *arg)
{
    str_t id, verb, query;
    (void)body;
    (void)arg;
    str_t rest = str_from_offset(ex->request.target, strlen("/v1/processes/"));
    bool known = admin_take_verb(rest, &id, &verb, &query) && query.n == 0;
    bool start = known && str_eq(verb, STR("start"));
    if (!start && !(known && str_eq(verb, STR("stop")))) {
        admin_no_such_address(ex);
        return;
    }
    request(ex, id, start ? RUNNER_START : RUNNER_STOP);
}
