/*
 * Reload, drain and upgrade over the admin API. The supervisor does them. A request for a reload waits for
 * its result. This process ends with an upgrade, so a client of that looks at the status until it has
 * changed.
 */
#include <assert.h>
#include <stdio.h>

#include "admin_internal.h"
#include "arena.h"
#include "list.h"
#include "local.h"
#include "process_log.h"

/* Time limit of a reload before the answer is 504. */
#define RELOAD_WAIT_MS 20000

/* An exchange that waits for a reload; lives in the exchange's arena. */
typedef struct reload_waiter {
    list_t link; /* admin_t.reload_waiters */
    exchange_t *ex;
    loop_timer_t timer;
} reload_waiter_t;

/* Before the answer to the exchange, or after its client has gone. */
static void stop_waiting(void *arg)
{
    reload_waiter_t *waiter = arg;
    list_unlink(&waiter->link);
    loop_timer_stop(&waiter->timer);
}

static void wait_expired(loop_timer_t *timer)
{
    reload_waiter_t *waiter = CONTAINER_OF(reload_waiter_t, timer, timer);
    stop_waiting(waiter);
    local_wait_end(waiter->ex);
    admin_error(waiter->ex, 504, "reload_unknown", NULL,
                "The supervisor did not report the result of the reload in time: see the edge's own log.");
}

void admin_reload(exchange_t *ex, str_t body, void *arg)
{
    (void)body;
    (void)arg;
    admin_t *admin = admin_of(ex);
    process_log(LOG_RELOAD_REQUESTED, "controller", "reload requested by uid %ld", admin_peer_uid(ex));
    if (!admin->controls->reload(admin->owner)) {
        admin_error(ex, 503, "no_supervisor", NULL, "The supervisor cannot be asked to reload.");
        return;
    }
    reload_waiter_t *waiter = arena_alloc(&ex->arena, sizeof *waiter);
    *waiter = (reload_waiter_t){.ex = ex};
    list_insert(&admin->reload_waiters, &waiter->link);
    loop_timer_start(admin->loop, &waiter->timer, RELOAD_WAIT_MS, wait_expired);
    local_wait(ex, stop_waiting, waiter);
}

/* The lines of a text as an array of strings. */
static json_t *lines_json(str_t text)
{
    json_t *lines = json_array();
    while (text.n != 0) {
        const char *end = memchr(text.p, '\n', text.n);
        size_t len = end != NULL ? (size_t)(end - text.p) : text.n;
        json_t *line = json_stringn(text.p, len);
        json_array_append_new(lines, line != NULL ? line : json_string("?"));
        text = str_from_offset(text, end != NULL ? len + 1 : len);
    }
    return lines;
}

void admin_reload_done(admin_t *admin, bool ok, str_t lines)
{
    while (!list_is_empty(&admin->reload_waiters)) {
        reload_waiter_t *waiter = CONTAINER_OF(reload_waiter_t, link, admin->reload_waiters.next);
        exchange_t *ex = waiter->ex;
        stop_waiting(waiter);
        local_wait_end(ex);
        json_t *body = ok ? json_pack("{s:b,s:o}", "reloaded", 1, "warnings", lines_json(lines))
                          : json_pack("{s:s,s:s,s:o}", "error",
                                      "The configuration was refused; the old one stays in force.", "code",
                                      "conf_refused", "lines", lines_json(lines));
        assert(body != NULL);
        admin_reply(ex, ok ? 200 : 422, body);
    }
}

void admin_start_drain(exchange_t *ex, str_t body, void *arg)
{
    (void)body;
    (void)arg;
    admin_t *admin = admin_of(ex);
    process_log(LOG_DRAIN_REQUESTED, "controller", "drain requested by uid %ld", admin_peer_uid(ex));
    if (!admin->controls->drain(admin->owner)) {
        admin_error(ex, 503, "no_supervisor", NULL, "The supervisor cannot be asked to drain.");
        return;
    }
    json_t *answer = json_pack("{s:b}", "draining", 1);
    assert(answer != NULL);
    admin_reply(ex, 202, answer);
}

/* ---- upgrade ---- */

void admin_start_upgrade(exchange_t *ex, str_t body, void *arg)
{
    static admin_fields_t fields = {"now", NULL};
    (void)arg;
    admin_t *admin = admin_of(ex);
    bool now = false;
    json_t *object = body.n != 0 ? admin_object(ex, body, "an upgrade", fields) : json_object();
    if (object == NULL)
        return;
    bool taken = admin_take_flag(ex, object, "now", &now);
    json_decref(object);
    if (!taken)
        return;
    process_log(LOG_UPGRADE_REQUESTED, "controller", "upgrade requested by uid %ld", admin_peer_uid(ex));
    if (!admin->controls->upgrade(admin->owner, now)) {
        admin_error(ex, 503, "no_supervisor", NULL, "The supervisor cannot be asked to upgrade.");
        return;
    }
    json_t *answer = json_pack("{s:b}", "upgrading", 1);
    assert(answer != NULL);
    admin_reply(ex, 202, answer);
}

void admin_upgrade_failed(admin_t *admin, uint64_t number, str_t reason)
{
    admin->failed_upgrade = number;
    (void)snprintf(admin->failed_reason, sizeof(admin->failed_reason), "%.*s", (int)reason.n, reason.p);
}
