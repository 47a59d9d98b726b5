/*
 * States of boxes that the control plane pushes: PUT /v1/boxes/<id> with the JSON of docs/control-plane.yaml.
 * The answer comes once every worker sees the state, so that the next request uses it.
 */
#include "admin_internal.h"

static const char *state_name(control_state_t state)
{
    static const char *const names[] = {[CONTROL_RUNNING] = "running",
                                        [CONTROL_SLEEPING] = "paused",
                                        [CONTROL_CREATING] = "creating",
                                        [CONTROL_ERROR] = "error",
                                        [CONTROL_GONE] = "gone"};
    return names[state];
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
    admin_recorded_t *recorded =
        admin_recorded_new(admin, json_pack("{s:s,s:s}", "id", box.box.id, "state", state_name(box.state)));
    if (recorded == NULL) {
        admin_error(ex, 503, "too_many_pushes", NULL, "Too many pushed states wait for the store.");
        return;
    }
    why = admin->controls->push_box(admin->owner, &box, admin_recorded_done, recorded);
    if (why != NULL) {
        admin_recorded_free(recorded);
        admin_error(ex, 409, "not_taken", NULL, "%s", why);
        return;
    }
    admin_recorded_wait(recorded, ex);
}
