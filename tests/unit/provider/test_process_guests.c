/* Guests: their leases, resumes that wait for a port, and their bounds. The test moves the loop's clock. */
#include "process_guests.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct world {
    loop_t *loop;
    provider_t provider;
    process_guests_t *guests;
    char log[64][160];
    size_t count, read;
} world_t;

static void on_box(void *owner, provider_t *provider, const provider_box_t *box)
{
    world_t *w = owner;
    static const char *const states[] = {"unknown", "running", "paused", "gone"};
    (void)provider;
    assert_true(w->count < 64);
    snprintf(w->log[w->count++], sizeof(w->log[0]), "%s %s port %u at %u%s pid %u", box->id,
             states[box->state], box->ports[0], box->fixed_port,
             IN6_IS_ADDR_LOOPBACK(&box->address) ? " on ::1" : "", box->pid);
    assert_true(box->keep_alive && box->port_count == 1);
}

static void on_resumed(void *owner, provider_t *provider, str_t id, provider_result_t result,
                       const char *sentence)
{
    world_t *w = owner;
    static const char *const results[] = {"ok", "gone", "failed", "unavailable"};
    (void)provider;
    assert_true(w->count < 64);
    snprintf(w->log[w->count++], sizeof(w->log[0]), "resumed %.*s %s %s", STR_ARG(id), results[result],
             sentence != NULL ? sentence : "-");
}

static const provider_handlers_t handlers = {.box = on_box, .resumed = on_resumed};

static void expect(world_t *w, const char *line)
{
    if (line == NULL) {
        assert_int_equal(w->read, w->count);
        return;
    }
    assert_true(w->read < w->count);
    assert_string_equal(w->log[w->read++], line);
}

static void pass(world_t *w, uint64_t ms)
{
    loop_skip(w->loop, ms);
    for (int i = 0; i < 3; i++)
        loop_turn(w->loop, 0);
}

static process_guest_t guest(const char *id, const char *lease, uint16_t listens)
{
    process_guest_t it = {.port = 3000, .listens = listens, .pid = 7};
    snprintf(it.id, sizeof(it.id), "%s", id);
    snprintf(it.lease, sizeof(it.lease), "%s", lease);
    return it;
}

static const char *put(world_t *w, const char *id, const char *lease, uint16_t listens, bool *fresh)
{
    const process_guest_t it = guest(id, lease, listens);
    return process_guests_put(w->guests, &it, fresh);
}

static int set_up(void **state)
{
    world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->loop = loop_new();
    w->provider = (provider_t){.kind = PROVIDER_PROCESS, .handlers = &handlers, .owner = w};
    w->guests = process_guests_new(w->loop, &w->provider);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    world_t *w = *state;
    process_guests_free(&w->guests);
    loop_free(&w->loop);
    free(w);
    return 0;
}

static void a_lease_ends_unless_renewed(void **state)
{
    world_t *w = *state;
    bool fresh;
    assert_null(put(w, "web", "a", 3000, &fresh));
    assert_true(fresh);
    expect(w, "web running port 3000 at 0 pid 7");
    pass(w, PROCESS_LEASE_MS - 1);
    assert_null(put(w, "web", "a", 3001, &fresh)); /* another port: the preview's stays */
    assert_false(fresh);
    expect(w, "web running port 3000 at 3001 pid 7");
    pass(w, PROCESS_LEASE_MS - 1);
    expect(w, NULL);
    pass(w, 2);
    expect(w, "web gone port 3000 at 3001 pid 7");
    assert_false(process_guests_has(w->guests, STR("web")));
    assert_null(put(w, "web", "b", 3000, &fresh));
    assert_true(fresh);
}

static void another_lease_gets_nothing(void **state)
{
    world_t *w = *state;
    bool fresh;
    assert_null(put(w, "web", "a", 3000, &fresh));
    assert_string_equal(put(w, "web", "b", 3000, &fresh), "box_taken");
    assert_false(process_guests_drop(w->guests, STR("web"), STR("b")));
    assert_false(process_guests_drop(w->guests, STR("web"), STR("")));
    assert_false(process_guests_drop(w->guests, STR("none"), STR("a")));
    assert_false(process_guests_drop(w->guests, STR(""), STR("")));
    assert_true(process_guests_drop(w->guests, STR("web"), STR("a")));
    expect(w, "web running port 3000 at 0 pid 7");
    expect(w, "web gone port 3000 at 0 pid 7");
    pass(w, 2 * PROCESS_LEASE_MS);
    expect(w, NULL);
}

/* A resume waits for the port, and no longer than its patience; each has one answer. */
static void a_resume_waits_for_the_port(void **state)
{
    world_t *w = *state;
    bool fresh;
    assert_false(process_guests_resume(w->guests, STR("web")));
    assert_null(put(w, "web", "a", 0, &fresh));
    expect(w, "web paused port 3000 at 0 pid 7");
    assert_true(process_guests_resume(w->guests, STR("web")));
    pass(w, 1000);
    expect(w, NULL);
    assert_null(put(w, "web", "a", 3000, &fresh));
    expect(w, "web running port 3000 at 0 pid 7");
    expect(w, "resumed web ok -");
    assert_true(process_guests_resume(w->guests, STR("web"))); /* it runs: at the next turn */
    expect(w, NULL);
    pass(w, 2);
    expect(w, "resumed web ok -");
    assert_null(put(w, "web", "a", 0, &fresh));
    expect(w, "web paused port 3000 at 0 pid 7");
    assert_true(process_guests_resume(w->guests, STR("web")));
    pass(w, PROCESS_GUEST_PATIENCE_MS / 2);
    assert_null(put(w, "web", "a", 0, &fresh));
    expect(w, "web paused port 3000 at 0 pid 7");
    pass(w, PROCESS_GUEST_PATIENCE_MS / 2 + 1);
    expect(w, "resumed web failed The command of this box listens on no port at the moment.");
    assert_true(process_guests_resume(w->guests, STR("web")));
    assert_true(process_guests_drop(w->guests, STR("web"), STR("a")));
    expect(w, "web gone port 3000 at 0 pid 7");
    expect(w, "resumed web gone -");
    pass(w, 2 * PROCESS_GUEST_PATIENCE_MS);
    expect(w, NULL);
}

static void there_is_a_bound(void **state)
{
    world_t *w = *state;
    bool fresh;
    char id[16];
    for (int i = 0; i < PROCESS_GUESTS_MAX; i++) {
        snprintf(id, sizeof(id), "b%d", i);
        w->count = w->read = 0;
        assert_null(put(w, id, "a", 1, &fresh));
    }
    assert_string_equal(put(w, "more", "a", 1, &fresh), "too_many_boxes");
    assert_null(put(w, "b3", "a", 2, &fresh));
    assert_true(process_guests_drop(w->guests, STR("b3"), STR("a")));
    assert_null(put(w, "more", "a", 1, &fresh));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_lease_ends_unless_renewed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_lease_gets_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_resume_waits_for_the_port, set_up, tear_down),
        cmocka_unit_test_setup_teardown(there_is_a_bound, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
