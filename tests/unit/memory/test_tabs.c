/* Forgotten tabs: when a page that reconnects by itself wakes its box. Times are parameters. */
#include "tabs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

typedef struct world {
    tabs_t *tabs;
    uint64_t now;
} world_t;

static int setup(void **state)
{
    world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->tabs = calloc(1, sizeof(*w->tabs));
    assert_non_null(w->tabs);
    w->now = 5000;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_t *w = *state;
    free(w->tabs);
    free(w);
    return 0;
}

static tab_request_t request(const char *method, const char *target)
{
    return (tab_request_t){.key = 7,
                           .fingerprint = tab_fingerprint(str_from(method), str_from(target)),
                           .unsafe = strcmp(method, "POST") == 0};
}

/* The box sleeps. */
static bool wakes(world_t *w, const char *method, const char *target)
{
    tab_request_t r = request(method, target);
    return tabs_may_wake(w->tabs, &r, w->now);
}

/* It runs. */
static void goes(world_t *w, const char *method, const char *target)
{
    tab_request_t r = request(method, target);
    tabs_note(w->tabs, &r, w->now);
}

/* The tab reconnects after an idle pause, and later the box sleeps again. */
static void reconnects(world_t *w)
{
    assert_true(wakes(w, "websocket", "/ws"));
    goes(w, "websocket", "/ws?token=3");
    goes(w, "GET", "/api/state");
    w->now += TABS_LEARN_MS;
    goes(w, "GET", "/api/state"); /* again, by its own clock */
    w->now += 60000;
}

static void it_wakes_its_box_once(void **state)
{
    world_t *w = *state;
    reconnects(w);
    for (int pause = 0; pause < 10; pause++) {
        assert_false(wakes(w, "websocket", "/ws"));
        assert_false(wakes(w, "GET", "/api/state?t=17"));
        w->now += 3600000;
    }
    /* A person opens or loads the page: the state is as at the beginning. */
    tabs_person(w->tabs, 7);
    assert_int_equal(atomic_load(&w->tabs->used), 0);
    reconnects(w);
    assert_false(wakes(w, "websocket", "/ws"));
}

static void what_it_did_not_ask_for_wakes(void **state)
{
    world_t *w = *state;
    reconnects(w);
    assert_false(wakes(w, "websocket", "/ws"));
    assert_true(wakes(w, "GET", "/api/files"));
    goes(w, "GET", "/api/files");
    w->now += 3600000;
    assert_false(wakes(w, "GET", "/api/files")); /* its own clock, which is known now */
    /* Twice, if the second call matters. */
    for (int i = 0; i < 2; i++) {
        assert_true(wakes(w, "POST", "/api/save"));
        goes(w, "POST", "/api/save");
        w->now += 3600000;
    }
    assert_true(wakes(w, "websocket", "/ws")); /* once more */
    goes(w, "websocket", "/ws");
    w->now += 3600000;
    assert_false(wakes(w, "websocket", "/ws"));
    assert_false(wakes(w, "POST", "/api/save"));
    assert_true(wakes(w, "POST", "/api/other"));
}

/* While the box runs, a person does more than reconnect: then the page may wake it once more. */
static void whoever_comes_back(void **state)
{
    world_t *w = *state;
    reconnects(w);
    goes(w, "POST", "/api/run");
    assert_true(wakes(w, "websocket", "/ws"));
    goes(w, "websocket", "/ws");
    w->now += TABS_LEARN_MS + 60000;
    tabs_typed(w->tabs, 7, w->now);
    assert_true(wakes(w, "websocket", "/ws"));
    goes(w, "websocket", "/ws");
    tabs_typed(w->tabs, 7, w->now); /* the page's message right after it connects */
    w->now += 3600000;
    assert_false(wakes(w, "websocket", "/ws"));
    tabs_typed(w->tabs, 8, w->now); /* another client */
    assert_false(wakes(w, "websocket", "/ws"));
}

/* A wake continues for all requests of the page meanwhile, but not forever. */
static void while_its_wake_goes_on(void **state)
{
    world_t *w = *state;
    assert_true(wakes(w, "websocket", "/ws"));
    w->now += TABS_WAKE_MS - 1;
    assert_true(wakes(w, "websocket", "/ws"));
    assert_true(wakes(w, "GET", "/ping"));
    w->now += 1;
    assert_false(wakes(w, "websocket", "/ws"));
    assert_false(wakes(w, "GET", "/ping"));
}

static void fingerprints(void **state)
{
    (void)state;
#define PRINT(m, t) tab_fingerprint(STR(m), STR(t))
    assert_true(PRINT("GET", "/a/b?x=1") == PRINT("GET", "/a/b?y"));
    assert_true(PRINT("GET", "/a/b") != PRINT("GET", "/a/c"));
    assert_true(PRINT("GET", "/a/b") != PRINT("POST", "/a/b"));
    assert_true(PRINT("GET", "/ab") != PRINT("GET", "/a/b"));
    assert_true(PRINT("GET", "/s/123/x1y2/ws") == PRINT("GET", "/s/9/zz0/ws"));
    assert_true(PRINT("GET", "/abcdefghijklmnop") == PRINT("GET", "/ponmlkjihgfedcba"));
    assert_true(PRINT("OPTIONS", "*") != PRINT("GET", ""));
}

static void clients_are_bounded(void **state)
{
    world_t *w = *state;
    for (uint64_t i = 0; i < TABS_WAYS + 1; i++) { /* all of one set */
        tab_request_t r = request("GET", "/");
        r.key = 1 + i * TABS_SETS;
        assert_true(tabs_may_wake(w->tabs, &r, w->now++));
    }
    assert_int_equal(atomic_load(&w->tabs->used), TABS_WAYS);
    w->now += TABS_WAKE_MS;
    tab_request_t first = request("GET", "/");
    first.key = 1 + TABS_SETS;
    assert_false(tabs_may_wake(w->tabs, &first, w->now));
    first.key = 1; /* the one that made room */
    assert_true(tabs_may_wake(w->tabs, &first, w->now));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(it_wakes_its_box_once), TEST(what_it_did_not_ask_for_wakes),
        TEST(whoever_comes_back),    TEST(while_its_wake_goes_on),
        TEST(fingerprints),          TEST(clients_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
