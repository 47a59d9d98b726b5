/* Boxes that share an address: a control plane's box is looked up again once another box is reported at its
 * address. */
#include "wake_coordinator_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* One provider of each kind, which is asked nothing. */
typedef struct providers_world {
    world_t *world;
    provider_t docker, plane;
} providers_world_t;

static int setup(void **state)
{
    providers_world_t *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    assert_int_equal(wake_coordinator_world_setup((void **)&p->world), 0);
    p->docker = p->plane = p->world->provider;
    p->docker.kind = PROVIDER_DOCKER;
    p->plane.kind = PROVIDER_HTTP;
    boxes_set_provider(p->world->boxes, PROVIDER_DOCKER, &p->docker);
    boxes_set_provider(p->world->boxes, PROVIDER_HTTP, &p->plane);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    providers_world_t *p = *state;
    boxes_set_provider(p->world->boxes, PROVIDER_DOCKER, NULL);
    boxes_set_provider(p->world->boxes, PROVIDER_HTTP, NULL);
    assert_int_equal(wake_coordinator_world_teardown((void **)&p->world), 0);
    free(p);
    return 0;
}

static provider_t *provider_of(providers_world_t *p, box_provider_t kind)
{
    return kind == PROVIDER_HTTP ? &p->plane : kind == PROVIDER_DOCKER ? &p->docker : &p->world->provider;
}

static void place(providers_world_t *p, box_provider_t kind, const char *id, const char *address,
                  uint16_t port)
{
    provider_t *provider = provider_of(p, kind);
    provider_box_t box = box_at(id, BOX_RUNNING, address);
    box.fixed_port = port;
    provider->handlers->box(p->world->boxes, provider, &box);
    assert_int_equal(known(p->world, id)->state, BOX_RUNNING);
}

static void remove_box(providers_world_t *p, box_provider_t kind, const char *id)
{
    provider_t *provider = provider_of(p, kind);
    provider_box_t box = box_at(id, BOX_GONE, NULL);
    provider->handlers->box(p->world->boxes, provider, &box);
}

static bool is_doubted(providers_world_t *p, const char *id)
{
    return known(p->world, id)->doubted;
}

#define HERE  "::ffff:10.9.8.7"
#define THERE "::ffff:10.9.8.6"
#define SIX   "fd00::7"

/* In both orders. Only a control plane's report is ever doubted, and never the newcomer's. */
static void those_that_meet(void **state)
{
    providers_world_t *p = *state;
    static const struct {
        struct {
            const char *address;
            uint16_t port;
        } one, other;
        bool meet;
    } rows[] = {
        {{HERE, 0}, {HERE, 0}, true},   {{HERE, 0}, {HERE, 80}, true},     {{HERE, 0}, {HERE, 65535}, true},
        {{HERE, 80}, {HERE, 80}, true}, {{HERE, 80}, {HERE, 8080}, false}, {{HERE, 80}, {HERE, 8}, false},
        {{HERE, 0}, {THERE, 0}, false}, {{HERE, 0}, {THERE, 80}, false},   {{HERE, 80}, {THERE, 80}, false},
        {{SIX, 0}, {SIX, 80}, true},    {{SIX, 80}, {SIX, 80}, true},      {{SIX, 80}, {SIX, 81}, false},
        {{SIX, 0}, {HERE, 0}, false},
    };
    static const box_provider_t kinds[] = {PROVIDER_HTTP, PROVIDER_DOCKER};
    for (size_t i = 0; i < 8 * sizeof(rows) / sizeof(rows[0]); i++) {
        size_t row = i / 8;
        bool swap = i % 8 >= 4;
        box_provider_t first = kinds[i % 2], second = kinds[i / 2 % 2];
        const char *at = swap ? rows[row].other.address : rows[row].one.address;
        uint16_t port = swap ? rows[row].other.port : rows[row].one.port;
        place(p, first, "one", at, port);
        assert_false(is_doubted(p, "one"));
        at = swap ? rows[row].one.address : rows[row].other.address;
        port = swap ? rows[row].one.port : rows[row].other.port;
        place(p, second, "other", at, port);
        assert_int_equal(is_doubted(p, "one"), rows[row].meet && first == PROVIDER_HTTP);
        assert_false(is_doubted(p, "other"));
        remove_box(p, first, "one");
        remove_box(p, second, "other");
        settle(p->world);
    }
}

/* A box without a port conflicts with all boxes at its address, and each of them with it. */
static void without_a_port_among_many(void **state)
{
    providers_world_t *p = *state;
    static const char *const ids[] = {"a", "b", "c", "d"};
    for (uint16_t i = 0; i < 4; i++)
        place(p, PROVIDER_HTTP, ids[i], HERE, (uint16_t)(3000 + i));
    place(p, PROVIDER_HTTP, "elsewhere", THERE, 3000);
    for (size_t i = 0; i < 4; i++)
        assert_false(is_doubted(p, ids[i]));
    place(p, PROVIDER_HTTP, "all", HERE, 0);
    for (size_t i = 0; i < 4; i++)
        assert_true(is_doubted(p, ids[i]));
    assert_false(is_doubted(p, "elsewhere"));
    /* The control plane confirms both at one address: its report counts, and no other report is doubted. */
    for (uint16_t i = 0; i < 4; i++)
        place(p, PROVIDER_HTTP, ids[i], HERE, (uint16_t)(3000 + i));
    for (size_t i = 0; i < 4; i++)
        assert_false(is_doubted(p, ids[i]));
    assert_false(is_doubted(p, "all"));
    place(p, PROVIDER_HTTP, "another", HERE, 3001);
    assert_true(is_doubted(p, "all"));
    assert_true(is_doubted(p, "b"));
    assert_false(is_doubted(p, "a"));
    assert_false(is_doubted(p, "c"));
}

/* A box that moves to another port of its address, or drops its port, counts as a newcomer there. */
static void another_port_of_the_same_address(void **state)
{
    providers_world_t *p = *state;
    place(p, PROVIDER_HTTP, "a", HERE, 3000);
    place(p, PROVIDER_HTTP, "b", HERE, 3001);
    place(p, PROVIDER_HTTP, "b", HERE, 3000);
    assert_true(is_doubted(p, "a"));
    place(p, PROVIDER_HTTP, "a", HERE, 3002);
    assert_false(is_doubted(p, "a"));
    place(p, PROVIDER_HTTP, "b", HERE, 0);
    assert_true(is_doubted(p, "a"));
    place(p, PROVIDER_HTTP, "b", THERE, 0);
    place(p, PROVIDER_HTTP, "a", HERE, 3002);
    place(p, PROVIDER_HTTP, "c", HERE, 3003);
    assert_false(is_doubted(p, "a"));
    assert_false(is_doubted(p, "b"));
}

static void report_requested(providers_world_t *p, uint64_t requested_us)
{
    provider_box_t box = box_at("a", BOX_RUNNING, HERE);
    box.requested_us = requested_us;
    p->plane.handlers->box(p->world->boxes, &p->plane, &box);
}

/* An answer to an earlier question does not cover later events. */
static void a_word_from_before_the_doubt(void **state)
{
    providers_world_t *p = *state;
    world_t *w = p->world;
    place(p, PROVIDER_HTTP, "a", HERE, 0);
    uint64_t reported_ms = boxes_reported_ms(w->boxes, STR("a")), early_us = loop_wall_us(w->loop);
    wake_coordinator_world_pass(w, 10);
    assert_false(boxes_doubt(w->boxes, STR("a"), reported_ms - 1)); /* a report came since */
    assert_true(boxes_doubt(w->boxes, STR("a"), reported_ms));
    report_requested(p, early_us);
    assert_true(is_doubted(p, "a"));
    assert_int_equal(boxes_reported_ms(w->boxes, STR("a")), early_us / 1000);
    uint64_t between_us = loop_wall_us(w->loop);
    wake_coordinator_world_pass(w, 10);
    assert_true(boxes_doubt(w->boxes, STR("a"), reported_ms)); /* once more */
    report_requested(p, between_us);
    assert_true(is_doubted(p, "a"));
    report_requested(p, loop_wall_us(w->loop));
    assert_false(is_doubted(p, "a"));
    assert_true(boxes_doubt(w->boxes, STR("a"), UINT64_MAX));
    report_requested(p, 0); /* unsolicited */
    assert_false(is_doubted(p, "a"));
}

/* Several process boxes have ports of one loopback address. */
static void process_boxes_meet_nobody(void **state)
{
    providers_world_t *p = *state;
    place(p, PROVIDER_PROCESS, "a", "::ffff:127.0.0.1", 3000);
    place(p, PROVIDER_PROCESS, "b", "::ffff:127.0.0.1", 3001);
    place(p, PROVIDER_PROCESS, "c", "::ffff:127.0.0.1", 0);
    assert_false(is_doubted(p, "a") || is_doubted(p, "b") || is_doubted(p, "c"));
}

/* A controller that starts anew: the order of generations is the order of arrival. */
static void boxes_of_the_controller_before(void **state)
{
    providers_world_t *p = *state;
    world_t *w = p->world;
    store_box_t before[] = {
        {.id = "last", .state = BOX_RUNNING, .provider = PROVIDER_HTTP, .generation = 9},
        {.id = "port", .state = BOX_RUNNING, .provider = PROVIDER_HTTP, .generation = 7, .fixed_port = 80},
        {.id = "none", .state = BOX_RUNNING, .provider = PROVIDER_HTTP, .generation = 8},
        {.id = "away", .state = BOX_RUNNING, .provider = PROVIDER_HTTP, .generation = 6, .fixed_port = 81},
    };
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(inet_pton(AF_INET6, i < 3 ? HERE : THERE, &before[i].address), 1);
    before[0].fixed_port = 443;
    boxes_t *boxes = boxes_new(w->loop, w->conf, w->store, w->worker_links, before, 4, 1000);
    assert_true(boxes_find(boxes, STR("port"))->doubted); /* by "none" */
    assert_true(boxes_find(boxes, STR("none"))->doubted); /* by "last" */
    assert_false(boxes_find(boxes, STR("last"))->doubted);
    assert_false(boxes_find(boxes, STR("away"))->doubted);
    settle(w);
    boxes_stop(boxes);
    boxes_free(&boxes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(those_that_meet),
        TEST(without_a_port_among_many),
        TEST(another_port_of_the_same_address),
        TEST(a_word_from_before_the_doubt),
        TEST(process_boxes_meet_nobody),
        TEST(boxes_of_the_controller_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
