/* Active checks: which answers count as healthy, and when a server is down and up again, against real
 * sockets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/mman.h>

#include "balance_internal.h"
#include "certificates.h"
#include "fetch_server.h"
#include "health.h"

#define UPSTREAM 3

typedef struct world {
    loop_t *loop;
    random_source_t *random;
    balance_t *balance;
    health_t *health;
    server_t *server;
    conf_server_t servers[2];
    conf_upstream_t conf;
    unsigned losses;
} world_t;

static void lost(void *owner, unsigned index);

/* ---- results of checks ---- */

static void test_counted(void **state)
{
    (void)state;
    static const struct {
        const char *checks; /* + healthy, - not */
        const char *up;     /* after each */
        uint32_t rise, fall;
    } rows[] = {
        {"---+++", "100001", 3, 2}, {"--+--", "11111", 1, 3}, {"---+-++", "1100001", 2, 3},
        {"-+-+", "0101", 1, 1},     {"++++", "1111", 2, 3},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        health_count_t count = {.up = true};
        for (size_t k = 0; rows[i].checks[k] != '\0'; k++) {
            bool was = count.up;
            bool changed = health_counted(&count, rows[i].checks[k] == '+', rows[i].rise, rows[i].fall);
            if (count.up != (rows[i].up[k] == '1'))
                fail_msg("row %zu, check %zu", i, k);
            assert_int_equal(changed, was != count.up);
        }
    }
}

static void test_jitter(void **state)
{
    (void)state;
    assert_int_equal(health_first_ms(5000, 0), 0);
    assert_int_equal(health_first_ms(5000, 0xffff), 999);
    assert_int_equal(health_first_ms(100, 0xffff), 99);
    assert_int_equal(health_next_ms(5000, 0), 4500);
    assert_int_equal(health_next_ms(5000, 0x8000), 5000);
    assert_int_equal(health_next_ms(5000, 0xffff), 5499);
    assert_int_equal(health_next_ms(3600000, 0xffff), 3240000 + 719989);
}

/* ---- against a server ---- */

static void world_open(world_t *world, SSL_CTX *tls)
{
    signal(SIGPIPE, SIG_IGN);
    *world = (world_t){
        .loop = loop_new(), .random = random_source_new(), .server = fetch_server_server_new(tls, NULL)};
    void *memory = mmap(NULL, balance_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    world->balance = balance_init(memory);
    world->health = health_new(world->loop, world->balance, UPSTREAM, world->random, lost, world);
    world->servers[0] = world->servers[1] = (conf_server_t){.host = "127.0.0.1", .port = world->server->port};
    world->conf = (conf_upstream_t){.name = "api",
                                    .servers = world->servers,
                                    .server_count = 2,
                                    .tls = tls != NULL,
                                    .tls_name = "",
                                    .tls_ca = "",
                                    .tls_certificate = "",
                                    .tls_key = "",
                                    .health_path = "/ok",
                                    .health_interval = 20,
                                    .health_timeout = 10000,
                                    .health_rise = 2,
                                    .health_fall = 3};
}

static int setup(void **state)
{
    world_t *world = malloc(sizeof(*world));
    world_open(world, NULL);
    *state = world;
    return 0;
}

static void world_close(world_t *world)
{
    health_free(&world->health);
    assert_null(world->health);
    server_free(&world->server);
    random_source_free(&world->random);
    loop_free(&world->loop);
    munmap(world->balance, balance_size());
}

static int teardown(void **state)
{
    world_close(*state);
    free(*state);
    return 0;
}

/* From now on the upstream has one server, at this port of loopback. */
static void place(world_t *world, const char *name, uint16_t port)
{
    balance_server_t server = {.port = port, .weight = 1};
    server.address = (struct in6_addr){.s6_addr = {[10] = 0xff, 0xff, 127, 0, 0, 1}};
    snprintf(server.name, sizeof(server.name), "%s", name);
    balance_set(world->balance, UPSTREAM, 0, &server, 1, loop_now(world->loop));
    health_set(world->health, &world->conf);
}

/* Like the owner of checks. */
static void lost(void *owner, unsigned index)
{
    world_t *world = owner;
    assert_int_equal(index, UPSTREAM);
    world->losses++;
    place(world, "a", world->server->port);
}

static balance_view_t view(const world_t *world)
{
    balance_view_t found;
    for (unsigned slot = 0; slot < BALANCE_SERVERS_MAX; slot++)
        if (balance_look(world->balance, UPSTREAM, slot, loop_now(world->loop), &found))
            return found;
    fail();
    return found;
}

/* Turns until `condition`; a generous bound ends a test that would hang. */
#define UNTIL(world, condition)                                                                              \
    do {                                                                                                     \
        uint64_t end_us = loop_precise_us() + 30000000;                                                      \
        while (!(condition) && loop_precise_us() < end_us)                                                   \
            loop_turn((world)->loop, 20);                                                                    \
        assert_true(condition);                                                                              \
    } while (0)

/* That many more requests. */
static void more_requests(world_t *world, unsigned n)
{
    unsigned want = world->server->requests + n;
    UNTIL(world, world->server->requests >= want);
}

static void test_down_and_up_again(void **state)
{
    world_t *world = *state;
    world->conf.health_path = "/boxes/health?x=1";
    place(world, "a", world->server->port);
    server_will_answer(world->server, 200, "");
    server_will_answer(world->server, 503, "");
    server_will_answer(world->server, 500, "");
    UNTIL(world, world->server->requests == 4); /* the fourth waits for its answer: three were counted */
    assert_true(view(world).up);
    server_will_answer(world->server, 404, "");
    UNTIL(world, !view(world).up);
    server_will_answer(world->server, 204, "");
    server_will_answer(world->server, 503, "");
    server_will_answer(world->server, 200, "");
    UNTIL(world, world->server->requests == 8);
    assert_false(view(world).up);
    server_will_answer(world->server, 200, "");
    UNTIL(world, view(world).up);
    pthread_mutex_lock(&world->server->lock);
    assert_int_equal(strncmp(world->server->last, "GET /boxes/health?x=1 HTTP/1.1\r\nHost: 127.0.0.1:", 48),
                     0);
    pthread_mutex_unlock(&world->server->lock);
    assert_int_equal(world->server->connections, world->server->requests); /* a new one each time */
}

static void test_redirects_are_well_and_not_followed(void **state)
{
    world_t *world = *state;
    world->conf.health_path = "/redirect";
    world->conf.health_fall = 1;
    place(world, "a", world->server->port);
    more_requests(world, 4);
    assert_true(view(world).up);
    pthread_mutex_lock(&world->server->lock);
    assert_int_equal(strncmp(world->server->last, "GET /redirect ", 14), 0);
    pthread_mutex_unlock(&world->server->lock);
}

static void test_what_is_not_well(void **state)
{
    world_t *world = *state;
    static const char *const paths[] = {"/large", "/short", "/junk", "/reset", "/fields", "/endless"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        char name[8];
        world->conf.health_path = (char *)(uintptr_t)paths[i];
        snprintf(name, sizeof(name), "s%zu", i);
        place(world, name, world->server->port); /* another server: up at first */
        assert_true(view(world).up);
        UNTIL(world, !view(world).up);
    }
}

static void test_silence_is_not_well(void **state)
{
    world_t *world = *state;
    world->conf.health_path = "/stall";
    world->conf.health_timeout = 50;
    place(world, "a", world->server->port);
    UNTIL(world, !view(world).up);
    UNTIL(world, world->server->requests >= 3); /* its thread may read a request after the check's timeout */
}

static void test_http1_where_http2_is_spoken(void **state)
{
    world_t *world = *state;
    world->conf.protocol = CONF_PROTOCOL_H2;
    place(world, "a", world->server->port);
    UNTIL(world, !view(world).up);
}

static void test_servers_come_and_go(void **state)
{
    world_t *world = *state;
    server_t *other = fetch_server_server_new(NULL, NULL);
    place(world, "a", world->server->port);
    more_requests(world, 2);
    place(world, "a", world->server->port); /* the same: continues */
    more_requests(world, 2);
    place(world, "b", other->port);
    unsigned asked = world->server->requests;
    UNTIL(world, other->requests >= 5);
    assert_true(world->server->requests <= asked + 1); /* requests already on their way */
    balance_set(world->balance, UPSTREAM, 0, NULL, 0, loop_now(world->loop));
    health_set(world->health, NULL);
    place(world, "c", world->server->port);
    more_requests(world, 2);
    server_free(&other);
}

static void test_without_checks_all_are_up(void **state)
{
    world_t *world = *state;
    world->conf.health_path = "/short";
    place(world, "a", world->server->port);
    UNTIL(world, !view(world).up);
    world->conf.health_path = "";
    health_set(world->health, &world->conf);
    assert_true(view(world).up);
}

/* A new controller continues with the state that the one before it had found. */
static void test_down_at_the_beginning(void **state)
{
    world_t *world = *state;
    world->conf.health_path = "";
    place(world, "a", world->server->port);
    balance_view_t now = view(world);
    balance_set_up(world->balance, UPSTREAM, now.slot, now.generation, false, 1);
    world->conf.health_path = "/boxes/health";
    health_set(world->health, &world->conf);
    server_will_answer(world->server, 200, "");
    UNTIL(world, world->server->requests == 2);
    assert_false(view(world).up);
    server_will_answer(world->server, 200, "");
    UNTIL(world, view(world).up);
}

/* A compromised worker writes into rows that only the controller may write. */
static void test_forged_servers_are_set_again(void **state)
{
    world_t *world = *state;
    upstream_t *up = &world->balance->upstreams[UPSTREAM];
    place(world, "a", world->server->port);
    more_requests(world, 1);
    atomic_store(&up->present, 0);
    UNTIL(world, world->losses == 1);
    more_requests(world, 2);
    assert_true(view(world).up);
    atomic_store(&up->slots[view(world).slot].copies[0].generation, UINT64_MAX);
    atomic_store(&up->slots[view(world).slot].copies[1].generation, UINT64_MAX);
    UNTIL(world, world->losses == 2);
    more_requests(world, 2);
    atomic_store(&up->slots[view(world).slot].copies[0].place, UINT64_MAX); /* an index beyond the servers */
    atomic_store(&up->slots[view(world).slot].copies[1].place, UINT64_MAX);
    UNTIL(world, world->losses == 3);
    memset(up->slots, 0xff, sizeof(up->slots));
    UNTIL(world, world->losses == 4);
    more_requests(world, 2);
    assert_true(view(world).up);
}

/* ---- TLS ---- */

/* Whether a server whose certificate is for "api.test" is healthy when addressed by this name. */
static bool tls_is_well(const char *name, int version)
{
    char ca[] = "/tmp/health-ca-XXXXXX";
    tls_pem_t pem = certificate_make("DNS:api.test", time(NULL) - 60, 1);
    int fd = mkstemp(ca);
    assert_int_equal(write(fd, pem.chain, strlen(pem.chain)), strlen(pem.chain));
    close(fd);
    SSL_CTX *tls = server_tls(&pem, version);
    world_t world;
    world_open(&world, tls);
    world.conf.tls_ca = ca;
    world.conf.tls_name = (char *)(uintptr_t)name;
    place(&world, "a", world.server->port);
    /* The server counts requests that came through the handshake. */
    UNTIL(&world, !view(&world).up || world.server->requests >= 3);
    bool well = view(&world).up;
    world_close(&world);
    SSL_CTX_free(tls);
    unlink(ca);
    tls_pem_fini(&pem);
    return well;
}

static void test_tls_names(void **state)
{
    (void)state;
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (size_t i = 0; i < 2; i++) {
        assert_true(tls_is_well("api.test", versions[i]));
        assert_false(tls_is_well("other.test", versions[i]));
        assert_false(tls_is_well("", versions[i])); /* then by the server's host, 127.0.0.1 */
    }
}

/* A file that the edge cannot read proves nothing about its servers. */
static void test_files_that_are_not_there(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        tls_pem_t pem = certificate_make("DNS:api.test", time(NULL) - 60, 1);
        SSL_CTX *tls = server_tls(&pem, TLS1_3_VERSION);
        world_t world;
        world_open(&world, tls);
        world.conf.tls_name = "api.test";
        world.conf.health_fall = 1;
        if (i == 0)
            world.conf.tls_ca = "/nonexistent/ca.pem";
        else
            world.conf.tls_certificate = world.conf.tls_key = "/nonexistent/own.pem";
        place(&world, "a", world.server->port);
        /* Attempts may connect before the edge reads the files, but send no request. */
        uint64_t end = loop_precise_us() + 300000;
        while (loop_precise_us() < end)
            loop_turn(world.loop, 20);
        assert_true(view(&world).up);
        assert_int_equal(world.server->requests, 0);
        /* The checks keep their own state: they continue once they can be made. */
        world.conf.tls_ca = world.conf.tls_certificate = world.conf.tls_key = "";
        health_set(world.health, &world.conf);
        UNTIL(&world, !view(&world).up); /* the system's authorities do not include it */
        world_close(&world);
        SSL_CTX_free(tls);
        tls_pem_fini(&pem);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counted),
        cmocka_unit_test(test_jitter),
        cmocka_unit_test_setup_teardown(test_down_and_up_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_redirects_are_well_and_not_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_well, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silence_is_not_well, setup, teardown),
        cmocka_unit_test_setup_teardown(test_http1_where_http2_is_spoken, setup, teardown),
        cmocka_unit_test_setup_teardown(test_servers_come_and_go, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_checks_all_are_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_down_at_the_beginning, setup, teardown),
        cmocka_unit_test_setup_teardown(test_forged_servers_are_set_again, setup, teardown),
        cmocka_unit_test(test_tls_names),
        cmocka_unit_test(test_files_that_are_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
