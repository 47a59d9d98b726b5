/*
 * Process boxes over the admin API: start and stop by the operator. The request waits for the runner's
 * result, whose reports of the box come before it, and then until every worker sees the state.
 *
 * And guests (process_guests.h): boxes whose process the caller runs itself. A guest makes a port of this
 * machine's loopback address reachable, so that only the user of the edge itself may add one: the mode of the
 * socket, which may admit a group, is not enough.
 */
#include <assert.h>
#include <unistd.h>

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

/* ---- guests ---- */

/* A lease: letters and digits. */
static bool take_lease(char out[PROCESS_LEASE_MAX + 1], str_t text)
{
    if (text.n == 0 || text.n > PROCESS_LEASE_MAX)
        return false;
    for (size_t i = 0; i < text.n; i++)
        if (!((text.p[i] >= 'a' && text.p[i] <= 'z') || (text.p[i] >= '0' && text.p[i] <= '9')))
            return false;
    memcpy(out, text.p, text.n);
    out[text.n] = '\0';
    return true;
}

/* False after an answer. */
static bool is_own_user(exchange_t *ex)
{
    if (admin_peer_uid(ex) == (long)geteuid())
        return true;
    admin_error(ex, 403, "not_your_edge", NULL,
                "This edge belongs to another user: only its own user may add boxes of this machine.");
    return false;
}

static bool take_port(const json_t *object, const char *name, json_int_t least, uint16_t *out)
{
    const json_t *value = json_object_get(object, name);
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < least || number > 65535)
        return false;
    *out = (uint16_t)number;
    return true;
}

static bool take_guest(exchange_t *ex, str_t body, process_guest_t *guest)
{
    static admin_fields_t fields = {"lease", "port", "listens", "address", "pid", NULL};
    json_t *object = admin_object(ex, body, "A guest", fields);
    if (object == NULL)
        return false;
    const json_t *lease = json_object_get(object, "lease");
    const char *address = json_string_value(json_object_get(object, "address"));
    json_int_t pid = json_integer_value(json_object_get(object, "pid"));
    bool ok = json_is_string(lease) &&
              take_lease(guest->lease, str_make(json_string_value(lease), json_string_length(lease))) &&
              take_port(object, "port", 1, &guest->port) &&
              take_port(object, "listens", 0, &guest->listens) && pid >= 0 && pid <= INT32_MAX &&
              address != NULL && (strcmp(address, "127.0.0.1") == 0 || strcmp(address, "::1") == 0);
    guest->pid = (uint32_t)pid;
    guest->loopback6 = address != NULL && address[0] == ':';
    json_decref(object);
    if (!ok)
        admin_error(ex, 400, "bad_guest", NULL,
                    "A guest has \"lease\" (up to %d of a-z 0-9), \"port\" (1 to 65535), \"listens\" (0 to "
                    "65535) and "
                    "\"address\" (127.0.0.1 or ::1), and may have \"pid\".",
                    PROCESS_LEASE_MAX);
    return ok;
}

static void refuse_guest(exchange_t *ex, const char *code, const char *id)
{
    if (strcmp(code, "box_taken") == 0)
        admin_error(ex, 409, code, NULL, "Another box has the id \"%s\" already.", id);
    else
        admin_error(ex, 503, code, NULL, "This edge has %d boxes of this kind, its maximum.",
                    PROCESS_GUESTS_MAX);
}

void admin_dev_put(exchange_t *ex, str_t body, void *arg)
{
    (void)arg;
    admin_t *admin = admin_of(ex);
    process_guest_t guest = {.id = ""};
    bool fresh;
    if (!is_own_user(ex) || !take_guest(ex, body, &guest))
        return;
    if (!admin_take_id(guest.id, str_from_offset(ex->request.target, strlen("/v1/dev/")))) {
        admin_error(ex, 400, "bad_box", NULL, "This is not the id of a box.");
        return;
    }
    const char *code = admin->controls->put_guest(admin->owner, &guest, &fresh);
    if (code != NULL) {
        refuse_guest(ex, code, guest.id);
        return;
    }
    admin_recorded_t *recorded =
        admin_recorded_new(admin, json_pack("{s:s,s:s,s:b}", "box", guest.id, "domain",
                                            ex->context->conf->preview_domain, "fresh", (int)fresh));
    if (recorded == NULL) {
        admin_error(ex, 503, "store_busy", NULL, "Too many states wait for the store to be recorded.");
        return;
    }
    admin_recorded_wait(recorded, ex);
    if (!admin->controls->when_recorded(admin->owner, str_from(guest.id), admin_recorded_done, recorded))
        admin_recorded_done(recorded);
}

void admin_dev_drop(exchange_t *ex, str_t body, void *arg)
{
    (void)body;
    (void)arg;
    admin_t *admin = admin_of(ex);
    char id[BOX_ID_MAX + 1], lease[PROCESS_LEASE_MAX + 1];
    str_t rest = str_from_offset(ex->request.target, strlen("/v1/dev/"));
    const char *mark = memchr(rest.p, '?', rest.n);
    str_t query = mark != NULL ? str_from_offset(rest, (size_t)(mark - rest.p) + 1) : STR("");
    rest.n = mark != NULL ? (size_t)(mark - rest.p) : rest.n;
    if (!is_own_user(ex))
        return;
    if (!admin_take_id(id, rest) || !str_starts(query, STR("lease=")) ||
        !take_lease(lease, str_from_offset(query, strlen("lease=")))) {
        admin_error(ex, 400, "bad_guest", NULL, "The address is /v1/dev/{box}?lease={lease}.");
        return;
    }
    if (admin->controls->drop_guest(admin->owner, str_from(id), str_from(lease)))
        admin_reply(ex, 200, json_pack("{s:s}", "box", id));
    else
        admin_error(ex, 404, "no_guest", NULL, "No box with this id and lease is a guest of this edge.");
}
