/* Questions about boxes whose deletion ended without an answer: the meaning of answers, one question at a
 * time, and bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/mman.h>

#include "box_id.h"
#include "deletion_message.h"
#include "deletion_poller.h"
#include "deletion_word.h"
#include "fetch_server.h"

typedef struct world {
    loop_t *loop;
    balance_t *balance;
    server_t *server;
    upstreams_t *upstreams;
    deletion_poller_t *poller;
    char key_path[64];
    char *host;
    conf_server_t at;
    conf_upstream_t upstream;
    conf_t conf;
    unsigned dones, gones;
    char last[BOX_ID_MAX + 1];
    uint64_t reported_ms;
} world_t;

static void on_done(void *owner, str_t id, uint64_t requested_at_ms, uint64_t reported_ms, bool gone)
{
    world_t *w = owner;
    assert_int_equal(requested_at_ms, 7);
    w->dones++;
    w->gones += gone;
    w->reported_ms = reported_ms;
    snprintf(w->last, sizeof(w->last), "%.*s", (int)id.n, id.p);
}

/* One server in the balance, or none. Another process may have written it there. */
static void place_port(world_t *w, size_t count, uint16_t port)
{
    balance_server_t server = {.port = port, .weight = 1};
    server.address = (struct in6_addr){.s6_addr = {[10] = 0xff, 0xff, 127, 0, 0, 1}};
    snprintf(server.name, sizeof(server.name), "%s", w->at.text);
    balance_set(w->balance, 0, 0, &server, count, loop_now(w->loop));
}

static void place(world_t *w, size_t count)
{
    place_port(w, count, w->server->port);
}

static int setup(void **state)
{
    world_t *w = calloc(1, sizeof(*w));
    signal(SIGPIPE, SIG_IGN);
    w->loop = loop_new();
    w->server = fetch_server_server_new(NULL, NULL);
    void *memory = mmap(NULL, balance_size(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    w->balance = balance_init(memory);
    snprintf(w->key_path, sizeof(w->key_path), "/tmp/boxedge-key-%d", getpid());
    FILE *file = fopen(w->key_path, "w");
    assert_non_null(file);
    fputs("k-1\n", file);
    fclose(file);
    w->host = "api.example.com";
    w->at = (conf_server_t){.host = "127.0.0.1", .port = w->server->port, .weight = 1, .text = "here"};
    w->upstream = (conf_upstream_t){.name = "api",
                                    .servers = &w->at,
                                    .server_count = 1,
                                    .tls_name = "",
                                    .tls_ca = "",
                                    .tls_certificate = "",
                                    .tls_key = "",
                                    .health_path = ""};
    w->conf = (conf_t){.refcount = 1, /* this test's; it is never freed */
                       .upstreams = &w->upstream,
                       .upstream_count = 1,
                       .api = {.hosts = &w->host, .host_count = 1, .settle_key = w->key_path}};
    w->upstreams = upstreams_new(w->loop, &w->conf, w->balance);
    w->poller = deletion_poller_new(w->loop, &w->conf, w->balance, w->upstreams, on_done, w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_t *w = *state;
    deletion_poller_free(&w->poller);
    assert_null(w->poller);
    upstreams_free(&w->upstreams);
    server_free(&w->server);
    loop_free(&w->loop);
    munmap(w->balance, balance_size());
    unlink(w->key_path);
    free(w);
    return 0;
}

/* Turns until `condition`; a generous bound ends a test that would hang. */
#define UNTIL(w, condition)                                                                                  \
    do {                                                                                                     \
        uint64_t end_us = loop_precise_us() + 30000000;                                                      \
        while (!(condition) && loop_precise_us() < end_us)                                                   \
            loop_turn((w)->loop, 20);                                                                        \
        assert_true(condition);                                                                              \
    } while (0)

static void turn_for(world_t *w, uint64_t ms)
{
    uint64_t end_us = loop_precise_us() + ms * 1000;
    while (loop_precise_us() < end_us)
        loop_turn(w->loop, 20);
}

static void want(world_t *w, const char *id)
{
    deletion_poller_add(w->poller, str_from(id), 7, loop_wall_us(w->loop) / 1000 - 60000);
}

static void test_words(void **state)
{
    (void)state;
    static const struct {
        int status;
        const char *body;
        deletion_word_t word;
    } rows[] = {
        {200, "{\"id\":\"a\",\"status\":\"running\"}", DELETION_WORD_THERE},
        {200, "{\"id\":\"a\",\"status\":\"idle\"}", DELETION_WORD_THERE},
        {200, "{\"id\":\"a\",\"status\":\"paused\"}", DELETION_WORD_THERE},
        {200, "{\"id\":\"a\",\"status\":\"deleted\"}", DELETION_WORD_GONE},
        {200, "{\"id\":\"a\",\"status\":\"deleting\"}", DELETION_WORD_NONE},
        {200, "{\"id\":\"a\",\"status\":\"error\"}", DELETION_WORD_NONE},
        {200, "{\"id\":\"a\",\"status\":1}", DELETION_WORD_NONE},
        {200, "{\"id\":\"a\"}", DELETION_WORD_NONE},
        {200, "{\"id\":\"b\",\"status\":\"deleted\"}", DELETION_WORD_NONE},
        {200, "{\"id\":\"b\",\"status\":\"running\"}", DELETION_WORD_NONE},
        {200, "{\"id\":\"a\",\"status\":\"running\",\"status\":\"deleted\"}", DELETION_WORD_NONE},
        {200, "[]", DELETION_WORD_NONE},
        {200, "", DELETION_WORD_NONE},
        {204, "", DELETION_WORD_NONE},
        {302, "", DELETION_WORD_NONE},
        {400, "", DELETION_WORD_NONE},
        {404, "", DELETION_WORD_GONE},
        {410, "", DELETION_WORD_GONE},
        {0, "", DELETION_WORD_REFUSED},
        {401, "", DELETION_WORD_REFUSED},
        {403, "", DELETION_WORD_REFUSED},
        {429, "", DELETION_WORD_REFUSED},
        {500, "", DELETION_WORD_REFUSED},
        {503, "", DELETION_WORD_REFUSED},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (deletion_word(STR("a"), rows[i].status, str_from(rows[i].body)) != rows[i].word)
            fail_msg("row %zu", i);
}

static void test_gone_and_there(void **state)
{
    world_t *w = *state;
    server_will_answer(w->server, 404, "");
    want(w, "a");
    UNTIL(w, w->dones == 1);
    assert_int_equal(w->gones, 1);
    assert_string_equal(w->last, "a");
    pthread_mutex_lock(&w->server->lock);
    assert_non_null(strstr(w->server->last, "GET /v2/box/a HTTP/1.1\r\n"));
    assert_non_null(strstr(w->server->last, "Host: api.example.com\r\n"));
    assert_non_null(strstr(w->server->last, "X-Box-Api-Key: k-1\r\n"));
    pthread_mutex_unlock(&w->server->lock);
    server_will_answer(w->server, 200, "{\"id\":\"b\",\"status\":\"idle\"}");
    want(w, "b");
    UNTIL(w, w->dones == 2);
    assert_int_equal(w->gones, 1);
    /* An answer settles deletions that were closed well before the question, and no later ones. */
    assert_true(w->reported_ms + DELETION_LIVING_MS <= loop_wall_us(w->loop) / 1000);
}

static void test_one_at_a_time(void **state)
{
    world_t *w = *state;
    char id[16];
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 20; i++) {
            snprintf(id, sizeof(id), "b-%d", i);
            want(w, id); /* the second call reports nothing new */
        }
    UNTIL(w, w->server->requests == 1);
    turn_for(w, 300);
    assert_int_equal(w->server->requests, 1);
    uint64_t began_us = loop_precise_us();
    for (int i = 0; i < 20; i++)
        server_will_answer(w->server, 410, "");
    UNTIL(w, w->dones == 20);
    assert_true(loop_precise_us() - began_us >= 19 * 90000);
    assert_int_equal(w->server->requests, 20);
}

/* The deletion service names further deletions again. A question that settles nothing makes room in a full
 * list. */
static void test_a_full_list(void **state)
{
    world_t *w = *state;
    char id[16];
    for (int i = 0; i < DELETION_POLLER_BOXES + 10; i++) {
        snprintf(id, sizeof(id), "b-%d", i);
        want(w, id);
    }
    server_will_answer(w->server, 400, "");
    UNTIL(w, w->server->requests == 2);
    want(w, "late");
    want(w, "later"); /* again no room */
    assert_int_equal(w->dones, 0);
}

static void test_no_key_no_question(void **state)
{
    world_t *w = *state;
    want(w, "a");
    UNTIL(w, w->server->requests == 1);
    conf_t none = w->conf;
    none.api.settle_key = "";
    deletion_poller_set_conf(w->poller, &none); /* while it asks */
    server_will_answer(w->server, 404, "");
    want(w, "b");
    turn_for(w, 300);
    none.api.settle_key = "/nonexistent";
    deletion_poller_set_conf(w->poller, &none);
    want(w, "c");
    turn_for(w, 300);
    assert_int_equal(w->dones, 0);
    assert_int_equal(w->server->requests, 1);
    server_will_answer(w->server, 404, "");
    deletion_poller_set_conf(w->poller, &w->conf);
    want(w, "d");
    UNTIL(w, w->dones == 1);
    assert_string_equal(w->last, "d");
}

static void test_no_server_is_up(void **state)
{
    world_t *w = *state;
    place(w, 0);
    want(w, "a");
    turn_for(w, 300);
    place(w, 1);
    server_will_answer(w->server, 404, "");
    UNTIL(w, w->dones == 1);
    assert_int_equal(w->server->requests, 1);
}

/* Neither another port nor another address of a server gets the key. */
static void test_a_forged_server(void **state)
{
    world_t *w = *state;
    server_t *other = fetch_server_server_new(NULL, NULL);
    place_port(w, 1, other->port);
    want(w, "a");
    turn_for(w, 300);
    assert_int_equal(other->requests, 0);
    w->at.port = other->port; /* now the configuration has that port, but at another address */
    w->at.host = "127.0.0.2";
    turn_for(w, 300);
    assert_int_equal(other->requests + w->server->requests, 0);
    w->at.host = "127.0.0.1";
    server_will_answer(other, 404, "");
    UNTIL(w, w->dones == 1);
    assert_int_equal(other->requests, 1);
    server_free(&other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words), TEST(test_gone_and_there),     TEST(test_one_at_a_time),
        TEST(test_a_full_list),       TEST(test_no_key_no_question), TEST(test_no_server_is_up),
        TEST(test_a_forged_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
