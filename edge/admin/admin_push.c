/*
 * States of boxes that the control plane pushes: PUT /v1/boxes/<id> with the JSON of docs/control-plane.yaml.
 * The answer comes once every worker sees the state, so that the next request uses it.
 */
#include <assert.h>

#include "admin_internal.h"
#include "list.h"
#include "local.h"

/* Time limit of the store before the answer is 503. */
#define PUSH_WAIT_MS 10000

/* A push on its way into the store. It outlives its exchange if the client goes. */
typedef struct push {
    admin_t *admin;
    list_t link;    /* admin_t.pushes */
    exchange_t *ex; /* NULL: the client has gone, or got its answer */
    loop_timer_t timer;
    control_box_t box;
} push_t;

static const char *state_name(control_state_t state)
{
    static const char *const names[] = {[CONTROL_RUNNING] = "running",
                                        [CONTROL_SLEEPING] = "paused",
                                        [CONTROL_CREATING] = "creating",
                                        [CONTROL_ERROR] = "error",
                                        [CONTROL_GONE] = "gone"};
    return names[state];
}

static void stop_waiting(void *arg)
{
    push_t *push = arg;
    loop_timer_stop(&push->timer);
    push->ex = NULL;
}

static void push_free(push_t *push)
{
    loop_timer_stop(&push->timer);
    list_unlink(&push->link);
    push->admin->push_count--;
    free(push);
}

static void on_recorded(void *arg)
{
    push_t *push = arg;
    exchange_t *ex = push->ex;
    if (ex != NULL) {
        json_t *answer = json_pack("{s:s,s:s}", "id", push->box.box.id, "state", state_name(push->box.state));
        assert(answer != NULL);
        local_wait_end(ex);
        admin_reply(ex, 200, answer);
    }
    push_free(push);
}

static void wait_expired(loop_timer_t *timer)
{
    push_t *push = CONTAINER_OF(push_t, timer, timer);
    exchange_t *ex = push->ex;
    push->ex = NULL;
    local_wait_end(ex);
    admin_error(ex, 503, "not_recorded", NULL, "The state could not be recorded in time.");
}

void admin_boxes_push(exchange_t *ex, str_t body, void *arg)
{
    (void)arg;
    admin_t *admin = admin_of(ex);
    str_t id = str_from_offset(ex->request.target, STR("/v1/boxes/").n);
    control_box_t box;
    const char *why = control_box_read(body, id, &box);
    if (why != NULL) {
        admin_error(ex, 400, "bad_box", NULL, "This is not a valid state of the box: %s.", why);
        return;
    }
    if (admin->push_count == ADMIN_PUSHES_MAX) {
        admin_error(ex, 503, "too_many_pushes", NULL, "Too many pushed states wait for the store.");
        return;
    }
    push_t *push = calloc(1, sizeof *push);
    assert(push != NULL);
    *push = (push_t){.admin = admin, .box = box};
    why = admin->controls->push_box(admin->owner, &box, on_recorded, push);
    if (why != NULL) {
        free(push);
        admin_error(ex, 409, "not_taken", NULL, "%s", why);
        return;
    }
    push->ex = ex;
    admin->push_count++;
    list_insert(&admin->pushes, &push->link);
    loop_timer_start(admin->loop, &push->timer, PUSH_WAIT_MS, wait_expired);
    local_wait(ex, stop_waiting, push);
}

void admin_pushes_free(admin_t *admin)
{
    while (!list_is_empty(&admin->pushes))
        push_free(CONTAINER_OF(push_t, link, admin->pushes.next));
}
