/* The configuration's servers in the balance: names that are not resolved yet, and the bound. (Resolved
 * names: test_resolver.c; checks: test_health.c; both together from outside: test_upstreams.py.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <sys/mman.h>

#include "conf.h"
#include "siphash.h"
#include "upstreams.h"

typedef struct world {
    loop_t *loop;
    balance_t *balance;
    upstreams_t *upstreams;
} world_t;

static int setup(void **state)
{
    static world_t world;
    world = (world_t){.loop = loop_new()};
    void *memory = mmap(NULL, balance_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    world.balance = balance_init(memory);
    *state = &world;
    return 0;
}

static int teardown(void **state)
{
    world_t *world = *state;
    upstreams_free(&world->upstreams);
    assert_null(world->upstreams);
    loop_free(&world->loop);
    munmap(world->balance, balance_size());
    return 0;
}

/* Takes a configuration with these `upstreams`. */
static void take(world_t *world, const char *upstreams)
{
    char text[2048];
    snprintf(text, sizeof(text),
             "preview_domain: p.example\n"
             "listeners: [{address: \"127.0.0.1:8443\", kind: tls}]\n"
             "upstreams: %s\n",
             upstreams);
    conf_errors_t *errors = conf_errors_new();
    conf_t *conf = conf_parse("e.yaml", str_from(text), errors);
    if (conf == NULL)
        conf_errors_print(errors, stderr);
    assert_non_null(conf);
    conf_errors_free(&errors);
    if (world->upstreams == NULL)
        world->upstreams = upstreams_new(world->loop, conf, world->balance);
    else
        upstreams_set_conf(world->upstreams, conf);
    conf_release(&conf);
}

/* The number of servers of this name at upstream `index`; of all names if it is NULL. */
static size_t count(const world_t *world, unsigned index, const char *name)
{
    size_t n = 0;
    balance_view_t view;
    for (unsigned slot = 0; slot < BALANCE_SERVERS_MAX; slot++)
        n += balance_look(world->balance, index, slot, loop_now(world->loop), &view) &&
             (name == NULL || strcmp(view.server.name, name) == 0);
    return n;
}

/* A previous controller's result for the upstream "a": `n` addresses of a name. */
static void resolved_before(world_t *world, const char *name, size_t n)
{
    balance_server_t servers[BALANCE_SERVERS_MAX];
    memset(servers, 0, sizeof(servers));
    for (size_t i = 0; i < n; i++) {
        snprintf(servers[i].name, sizeof(servers[i].name), "%s", name);
        servers[i].address = (struct in6_addr){.s6_addr = {[10] = 0xff, 0xff, 10, 0, 1, (uint8_t)(i + 1)}};
        servers[i].port = 80;
        servers[i].weight = 1;
    }
    static const siphash_key_t key;
    balance_set(world->balance, 0, siphash(&key, "a", 1), servers, n, loop_now(world->loop));
}

static void test_addresses(void **state)
{
    world_t *world = *state;
    take(world, "[{name: a, servers: [\"10.0.0.1:80\", \"[2001:db8::1]:81\"]}, {name: b, servers: "
                "[\"10.0.0.2:80\"]}]");
    assert_int_equal(count(world, 0, NULL), 2);
    assert_int_equal(count(world, 0, "10.0.0.1:80"), 1);
    assert_int_equal(count(world, 0, "[2001:db8::1]:81"), 1);
    assert_int_equal(count(world, 1, "10.0.0.2:80"), 1);
    take(world, "[{name: a, servers: [\"10.0.0.1:80\"]}]");
    assert_int_equal(count(world, 0, NULL), 1);
    assert_int_equal(count(world, 1, NULL), 0);
}

static void test_a_new_controller_takes_nothing_away(void **state)
{
    world_t *world = *state;
    balance_view_t view;
    resolved_before(world, "api.invalid:80", 3);
    assert_true(balance_look(world->balance, 0, 0, 0, &view));
    balance_set_up(world->balance, 0, 0, view.generation, false, 0);
    assert_int_equal(balance_drain(world->balance, 0, STR("api.invalid:80"), true, 0), 3);
    take(world, "[{name: a, health_path: /, servers: [\"api.invalid:80\", \"new.invalid:80\"]}]");
    assert_int_equal(count(world, 0, "api.invalid:80"), 3);
    assert_int_equal(count(world, 0, NULL), 3);
    balance_view_t now;
    assert_true(balance_look(world->balance, 0, 0, 0, &now));
    assert_int_equal(now.generation, view.generation);
    assert_false(now.up);
    assert_true(now.drained);
    take(world, "[{name: a, servers: [\"new.invalid:80\"]}]");
    assert_int_equal(count(world, 0, NULL), 0);
}

/* With too many addresses, each server has one at least. */
static void test_bound_of_servers(void **state)
{
    world_t *world = *state;
    resolved_before(world, "api.invalid:80", BALANCE_SERVERS_MAX);
    take(world, "[{name: a, servers: [\"api.invalid:80\", \"10.0.0.1:80\", \"10.0.0.2:80\"]}]");
    assert_int_equal(count(world, 0, NULL), BALANCE_SERVERS_MAX);
    assert_int_equal(count(world, 0, "api.invalid:80"), BALANCE_SERVERS_MAX - 2);
    assert_int_equal(count(world, 0, "10.0.0.1:80"), 1);
    assert_int_equal(count(world, 0, "10.0.0.2:80"), 1);
}

/* For any addresses of a name. */
static void test_addresses_that_are_never_used(void **state)
{
    world_t *world = *state;
    static const uint8_t never[][4] = {{127, 0, 0, 1}, {169, 254, 169, 254}, {0, 0, 0, 0}, {224, 0, 0, 1}};
    for (size_t i = 0; i < 5; i++) {
        balance_server_t server = {.name = "api.invalid:8443", .port = 8443, .weight = 1};
        server.address = (struct in6_addr){.s6_addr = {0xfe, 0x80, [15] = 1}};
        if (i < 4) {
            server.address = (struct in6_addr){.s6_addr = {[10] = 0xff, 0xff}};
            memcpy(&server.address.s6_addr[12], never[i], 4);
        }
        balance_set(world->balance, 0, 0, &server, 1, loop_now(world->loop));
        assert_int_equal(count(world, 0, NULL), 1);
        take(world, "[{name: a, servers: [\"api.invalid:8443\"]}]");
        assert_int_equal(count(world, 0, NULL), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_addresses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_new_controller_takes_nothing_away, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bound_of_servers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_addresses_that_are_never_used, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
