/*
 * Answers that wait until the store has the state of a box, so that the next request of every worker uses it.
 */
#include <assert.h>

#include "admin_internal.h"
#include "local.h"

/* Time limit of the store before the answer is 503. */
#define WAIT_MS 10000

/* A state on its way into the store. It outlives its exchange if the client goes. */
struct admin_recorded {
    admin_t *admin;
    list_t link;    /* admin_t.recorded */
    exchange_t *ex; /* NULL: not begun, the client has gone, or it has its answer */
    loop_timer_t timer;
    json_t *answer;
};

static void stop_waiting(void *arg)
{
    admin_recorded_t *recorded = arg;
    loop_timer_stop(&recorded->timer);
    recorded->ex = NULL;
}

static void wait_expired(loop_timer_t *timer)
{
    admin_recorded_t *recorded = CONTAINER_OF(admin_recorded_t, timer, timer);
    exchange_t *ex = recorded->ex;
    recorded->ex = NULL;
    local_wait_end(ex);
    char why[400];
    store_thread_trouble(recorded->admin->store, why, sizeof why);
    admin_error(ex, 503, "not_recorded", NULL, "The state could not be recorded in time%s%s.",
                why[0] != '\0' ? ": " : "", why);
}

admin_recorded_t *admin_recorded_new(admin_t *admin, json_t *answer)
{
    assert(answer != NULL);
    if (admin->recorded_count == ADMIN_RECORDED_MAX) {
        json_decref(answer);
        return NULL;
    }
    admin_recorded_t *recorded = calloc(1, sizeof(*recorded));
    assert(recorded != NULL);
    *recorded = (admin_recorded_t){.admin = admin, .answer = answer};
    admin->recorded_count++;
    list_insert(&admin->recorded, &recorded->link);
    return recorded;
}

void admin_recorded_free(admin_recorded_t *recorded)
{
    loop_timer_stop(&recorded->timer);
    list_unlink(&recorded->link);
    recorded->admin->recorded_count--;
    json_decref(recorded->answer);
    free(recorded);
}

void admin_recorded_wait(admin_recorded_t *recorded, exchange_t *ex)
{
    recorded->ex = ex;
    loop_timer_start(recorded->admin->loop, &recorded->timer, WAIT_MS, wait_expired);
    local_wait(ex, stop_waiting, recorded);
}

void admin_recorded_done(void *arg)
{
    admin_recorded_t *recorded = arg;
    exchange_t *ex = recorded->ex;
    if (ex != NULL) {
        local_wait_end(ex);
        admin_reply(ex, 200, json_incref(recorded->answer));
    }
    admin_recorded_free(recorded);
}

void admin_recorded_free_all(admin_t *admin)
{
    while (!list_is_empty(&admin->recorded))
        admin_recorded_free(CONTAINER_OF(admin_recorded_t, link, admin->recorded.next));
}
