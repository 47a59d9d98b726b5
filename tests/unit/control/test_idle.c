/* The controller's idle clock: when it pauses boxes, and its reports of activity. */
#include "wake_coordinator_world.h"

#include "idle.h"

#define IDLE_MS 60000

static void go_on(world_t *w, uint64_t ms)
{
    loop_skip(w->loop, ms);
    loop_turn(w->loop, 0);
}

/* A box that runs, and may be idle for IDLE_MS. */
static void run_box(world_t *w)
{
    provider_box_t box = box_at("a", BOX_RUNNING, "::ffff:127.0.0.1");
    box.idle_ms = IDLE_MS;
    w->provider.handlers->box(w->boxes, &w->provider, &box);
    settle(w);
}

static void paused_when_nothing_was_active(void **state)
{
    world_t *w = *state;
    idle_t *idle = idle_new(w->loop, w->boxes);
    run_box(w);
    go_on(w, IDLE_MS / 2);
    assert_int_equal(w->pauses, 0);
    idle_active(idle, STR("b\na\n"));
    go_on(w, IDLE_MS * 2 / 3);
    assert_int_equal(w->pauses, 0);
    idle_wanted(idle, STR("a-3000"));
    go_on(w, IDLE_MS * 2 / 3);
    assert_int_equal(w->pauses, 0);
    go_on(w, IDLE_MS);
    assert_int_equal(w->pauses, 1);
    idle_free(&idle);
    assert_null(idle);
    idle_free(&idle);
}

static unsigned reports;
static char reported[64];

static void note_activity(provider_t *provider, str_t ids)
{
    (void)provider;
    reports++;
    snprintf(reported, sizeof(reported), "%.*s", STR_ARG(ids));
}

/* A provider that pauses boxes itself gets one report per box and second. */
static void activity_is_handed_on(void **state)
{
    world_t *w = *state;
    provider_t http = w->provider;
    http.kind = PROVIDER_HTTP;
    http.activity = note_activity;
    conf_network_t all = {.bits = 96};
    all.address.s6_addr[10] = all.address.s6_addr[11] = 0xff;
    conf_network_t *origins = w->conf->origins;
    size_t count = w->conf->origin_count;
    w->conf->origins = &all;
    w->conf->origin_count = 1;
    boxes_set_provider(w->boxes, PROVIDER_HTTP, &http);
    provider_box_t box = box_at("a", BOX_RUNNING, "::ffff:10.1.2.3");
    w->provider.handlers->box(w->boxes, &http, &box);
    settle(w);
    idle_t *idle = idle_new(w->loop, w->boxes);
    reports = 0;
    for (unsigned i = 1; i <= 3; i++) {
        idle_active(idle, STR("a\nb\n"));
        idle_active(idle, STR("a\n"));
        assert_int_equal(reports, i - 1);
        go_on(w, 1000);
        assert_int_equal(reports, i);
        assert_string_equal(reported, "a\n");
    }
    go_on(w, 1000);
    assert_int_equal(reports, 3);
    idle_free(&idle);
    boxes_set_provider(w->boxes, PROVIDER_HTTP, NULL);
    w->conf->origins = origins;
    w->conf->origin_count = count;
}

int main(void)
{
#define TEST(name)                                                                                           \
    cmocka_unit_test_setup_teardown(name, wake_coordinator_world_setup, wake_coordinator_world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(paused_when_nothing_was_active),
        TEST(activity_is_handed_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
