/* Which requests wake a box that sleeps, and the answer to the others. */
#include "wake_world.h"

#include "tabs.h"
#include "wake_times.h"

static int setup(void **state)
{
    *state = wake_world_new();
    return 0;
}

static int teardown(void **state)
{
    wake_world_free(*state);
    return 0;
}

typedef struct asked {
    const char *target;
    const char *name;
    const char *value;
} asked_t;

static exchange_t *start(wake_world_t *w, const asked_t *asked)
{
    exchange_t *ex = wake_world_next(w);
    ex->request.target = str_from(asked->target);
    if (asked->name != NULL)
        wake_world_field(ex, asked->name, asked->value);
    exchange_start(ex);
    return ex;
}

static void requests_that_wake(void **state)
{
    static const asked_t table[] = {
        {"/", NULL, NULL},
        {"/favicon.ico/x", NULL, NULL},
        {"/x/favicon.ico", NULL, NULL},
        {"/favicon.ICO", NULL, NULL},
        {"/robots.txt.html", NULL, NULL},
        {"/?/robots.txt", NULL, NULL},
        {"/", "X-Box-No-Wake", "0"},
        {"/", "X-Box-No-Wake", ""},
        {"/", "X-Box-No-Wake", "11"},
        {"/", "Purpose", "reload"},
        {"/", "Sec-Purpose", "prefetc"},
        {"/", "Origin", "https://app.example"},
    };
    wake_world_t *w = *state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        exchange_t *ex = start(w, &table[i]);
        assert_int_equal(ex->state, EXCHANGE_STEPS);
        assert_int_equal(wake_world_asked(w), WAKE_WISH_WAKE);
    }
}

static void requests_that_do_not(void **state)
{
    static const asked_t table[] = {
        {"/favicon.ico", NULL, NULL},     {"/favicon.ico?v=2", NULL, NULL},
        {"/robots.txt", NULL, NULL},      {"/robots.txt?", NULL, NULL},
        {"/", "X-Box-No-Wake", "1"},      {"/", "x-box-no-wake", "1"},
        {"/", "Purpose", "prefetch"},     {"/", "Sec-Purpose", "prefetch;prerender"},
        {"/", "sec-purpose", "Prefetch"},
    };
    wake_world_t *w = *state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        exchange_t *ex = start(w, &table[i]);
        assert_int_equal(ex->status, 503);
        assert_string_equal(ex->local_code, "box_asleep");
        assert_true(str_eq(wake_world_got(ex, "retry-after"), STR("60")));
        assert_int_equal(wake_outcome(ex), WAKE_OUTCOME_REFUSED);
        assert_int_equal(wake_world_asked(w), -1);
        assert_false(wake_goes_on(w->worker->wake_client, STR("box"), 3000));
    }
}

/* Requests that a page makes by itself. The box does not start, and the attempt is over. */
static const char *outcome(wake_world_t *w, exchange_t *ex)
{
    if (ex->state == EXCHANGE_STEPS) {
        assert_int_equal(wake_world_asked(w), WAKE_WISH_WAKE);
        exchange_reply_error(ex, 503, "it_would_wake", "", 0);
    }
    loop_skip(w->worker->context.loop, TABS_WAKE_MS);
    return ex->local_code;
}

static const char *page_asks(wake_world_t *w, const char *target, const char *name, const char *value)
{
    return outcome(w, start(w, &(asked_t){target, name, value}));
}

/* A page on another port of the box, whose previews have an alias. */
static const char *page_under_an_alias_asks(wake_world_t *w)
{
    exchange_t *ex = wake_world_next(w);
    ex->request.target = STR("/ws");
    memcpy(test_preview(ex)->alias, "alias", 6);
    wake_world_field(ex, "Origin", "https://alias-8000.preview.test");
    exchange_start(ex);
    return outcome(w, ex);
}

static void pages_that_ask_by_themselves_wake_once(void **state)
{
    static const asked_t table[] = {
        {"/ws", "Origin", "https://box-3000.preview.test"},
        {"/", "Origin", "http://box-8000.preview.test:8080"}, /* another port of the same box */
        {"/api", "Sec-Fetch-Site", "same-origin"},
        {"/old", "Referer", "https://box-3000.preview.test/x?y"},
    };
    wake_world_t *w = *state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const asked_t *asked = &table[i];
        assert_string_equal(page_asks(w, asked->target, asked->name, asked->value), "it_would_wake");
        for (int again = 0; again < 3; again++)
            assert_string_equal(page_asks(w, asked->target, asked->name, asked->value), "box_asleep");
        assert_true(str_eq(wake_world_got(w->world->ex, "retry-after"), STR("60")));
    }
    /* A navigation wakes, and then the page's own requests wake once more. */
    assert_string_equal(page_asks(w, "/", "Sec-Fetch-Mode", "navigate"), "it_would_wake");
    assert_string_equal(page_asks(w, "/ws", "Origin", "https://box-3000.preview.test"), "it_would_wake");
    assert_string_equal(page_asks(w, "/ws", "Origin", "https://box-3000.preview.test"), "box_asleep");
    /* The preview's configuration may let each of them wake. */
    exchange_t *ex = wake_world_next(w);
    ex->request.target = STR("/ws");
    test_preview(ex)->background_wakes = true;
    wake_world_field(ex, "Origin", "https://box-3000.preview.test");
    exchange_start(ex);
    assert_int_equal(ex->state, EXCHANGE_STEPS);
}

/* A navigation within the preview. */
static exchange_t *reload(wake_world_t *w, const char *agent, bool by_hand)
{
    exchange_t *ex = wake_world_next(w);
    fields_add(&ex->arena, &ex->request.fields, FIELD_USER_AGENT, STR("user-agent"), str_from(agent));
    wake_world_field(ex, "Sec-Fetch-Mode", "navigate");
    wake_world_field(ex, "Sec-Fetch-Site", "same-origin");
    if (by_hand)
        wake_world_field(ex, "Sec-Fetch-User", "?1");
    exchange_start(ex);
    loop_skip(w->worker->context.loop, TABS_WAKE_MS);
    return ex;
}

/* A navigation without a person's action is refused with a page from which a person wakes the box. */
static void pages_that_load_themselves_again(void **state)
{
    static const char *const agents[] = {"Chrome/130.0.0.0 Safari/537.36", "Gecko/20100101 Firefox/140.0"};
    wake_world_t *w = *state;
    for (size_t i = 0; i < sizeof agents / sizeof *agents; i++) {
        assert_int_equal(reload(w, agents[i], false)->state, EXCHANGE_STEPS);
        exchange_t *ex = reload(w, agents[i], false);
        assert_string_equal(ex->local_code, "box_asleep");
        assert_true(wake_world_body_has(w, "data-state=\"asleep\"") && wake_world_body_has(w, "Wake it"));
        assert_true(str_eq(wake_world_got(ex, "retry-after"), STR("60")));
        assert_int_equal(reload(w, agents[i], true)->state, EXCHANGE_STEPS);
    }
}

/* Requests of programs and other sites do not count as the box's own pages. */
static void pages_under_an_alias_wake_once(void **state)
{
    assert_string_equal(page_under_an_alias_asks(*state), "it_would_wake");
    assert_string_equal(page_under_an_alias_asks(*state), "box_asleep");
}

static void all_others_wake_each_time(void **state)
{
    static const asked_t table[] = {
        {"/", NULL, NULL},
        {"/", "Origin", "https://app.example"},
        {"/", "Origin", "https://other-3000.preview.test"},
        {"/", "Origin", "null"},
        {"/", "Sec-Fetch-Site", "cross-site"},
        {"/", "Referer", "https://app.example/box-3000.preview.test"},
        {"/", "Accept", "text/html"},
    };
    wake_world_t *w = *state;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (int again = 0; again < 3; again++)
            assert_string_equal(page_asks(w, table[i].target, table[i].name, table[i].value),
                                "it_would_wake");
    /* Browsers that never report whether a person began a navigation. */
    for (int again = 0; again < 3; again++) {
        exchange_t *ex = reload(w, "Version/17.4 Safari/605.1.15", false);
        assert_int_equal(ex->state, EXCHANGE_STEPS);
    }
}

/* They go to a box that runs. */
static void a_box_that_runs_gets_all(void **state)
{
    static const asked_t asked = {"/favicon.ico", "X-Box-No-Wake", "1"};
    wake_world_t *w = *state;
    exchange_t *ex = wake_world_next(w);
    ex->box.state = BOX_RUNNING;
    ex->request.target = str_from(asked.target);
    wake_world_field(ex, asked.name, asked.value);
    exchange_start(ex);
    assert_int_equal(ex->state, EXCHANGE_ORIGIN);
    assert_int_equal(wake_outcome(ex), WAKE_OUTCOME_NONE);
}

/* ---- preflights ---- */

static exchange_t *preflight(wake_world_t *w)
{
    exchange_t *ex = wake_world_next(w);
    ex->request.method = STR("OPTIONS");
    ex->request.target = STR("/api");
    wake_world_field(ex, "Origin", "https://app.example");
    wake_world_field(ex, "Access-Control-Request-Method", "PUT");
    wake_world_field(ex, "Access-Control-Request-Headers", "authorization,x-a");
    return ex;
}

static void a_preflight_is_echoed(void **state)
{
    wake_world_t *w = *state;
    exchange_t *ex = preflight(w);
    exchange_start(ex);
    assert_int_equal(ex->status, 204);
    assert_int_equal(w->world->out_n, 0);
    assert_int_equal(w->world->ends, 1);
    assert_string_equal(ex->local_code, "preflight_asleep");
    assert_true(str_eq(wake_world_got(ex, "access-control-allow-origin"), STR("https://app.example")));
    assert_true(str_eq(wake_world_got(ex, "access-control-allow-methods"), STR("PUT")));
    assert_true(str_eq(wake_world_got(ex, "access-control-allow-headers"), STR("authorization,x-a")));
    assert_true(str_eq(wake_world_got(ex, "access-control-max-age"), STR("0")));
    assert_true(str_eq(wake_world_got(ex, "x-request-id"), str_from(ex->request_id)));
    assert_int_equal(wake_world_got(ex, "access-control-allow-credentials").n, 0);
    assert_non_null(memmem(wake_world_got(ex, "vary").p, wake_world_got(ex, "vary").n, "Origin", 6));
    assert_int_equal(wake_world_asked(w), -1);
}

static void a_preflight_with_a_body_wakes(void **state)
{
    wake_world_t *w = *state;
    exchange_t *ex = preflight(w);
    ex->request.has_body = true;
    exchange_start(ex);
    assert_int_equal(ex->state, EXCHANGE_STEPS);
    assert_int_equal(wake_world_asked(w), WAKE_WISH_WAKE);
}

/* The access step counted those of private previews before. */
static void preflights_have_a_rate(void **state)
{
    wake_world_t *w = *state;
    loop_hold(w->worker->context.loop);
    for (int i = 0; i < 200; i++) {
        exchange_t *ex = preflight(w);
        test_preview(ex)->bearer = true;
        exchange_start(ex);
        assert_int_equal(ex->status, 204);
    }
    exchange_t *ex = NULL;
    int passed = 0;
    for (int i = 0; i < 200; i++, passed++) {
        ex = preflight(w);
        exchange_start(ex);
        if (ex->status != 204)
            break;
    }
    assert_int_equal(passed, 100);
    assert_int_equal(ex->status, 429);
    assert_string_equal(ex->local_code, "too_many_preflights");
    assert_int_equal(wake_world_asked(w), -1);
}

/* ---- the rate of a client ---- */

static int wake_one(wake_world_t *w, const char *id, const char *client)
{
    exchange_t *ex = wake_world_next(w);
    (void)snprintf(test_preview(ex)->id, sizeof(test_preview(ex)->id), "%s", id);
    assert_int_equal(inet_pton(AF_INET6, client, &w->world->fixture->client.address), 1);
    exchange_start(ex);
    return ex->status;
}

static void a_client_over_its_rate(void **state)
{
    wake_world_t *w = *state;
    loop_hold(w->worker->context.loop);
    w->worker->context.conf->wake.per_client = 2;
    assert_int_equal(wake_one(w, "a", "::ffff:192.0.2.1"), 0);
    assert_int_equal(wake_one(w, "b", "::ffff:192.0.2.1"), 0);
    assert_int_equal(wake_one(w, "c", "::ffff:192.0.2.1"), 429);
    assert_string_equal(w->world->ex->local_code, "wake_rate");
    assert_int_equal(wake_outcome(w->world->ex), WAKE_OUTCOME_REFUSED);
    assert_true(wake_world_got(w->world->ex, "retry-after").n != 0);
    assert_int_equal(wake_one(w, "c", "::ffff:192.0.2.2"), 0);
    /* All addresses of a /64 count as one client. */
    assert_int_equal(wake_one(w, "a", "2001:db8::1"), 0);
    assert_int_equal(wake_one(w, "b", "2001:db8::2"), 0);
    assert_int_equal(wake_one(w, "c", "2001:db8::ffff:3"), 429);
    assert_int_equal(wake_one(w, "c", "2001:db8:0:1::1"), 0);
    /* In half a minute it may begin one of its two a minute again. */
    wake_world_skip(w, 30001);
    assert_int_equal(wake_one(w, "c", "::ffff:192.0.2.1"), 0);
    assert_int_equal(wake_one(w, "d", "::ffff:192.0.2.1"), 429);
}

static void who_joins_begins_nothing(void **state)
{
    wake_world_t *w = *state;
    wake_waiter_t other = {.done = NULL};
    w->worker->context.conf->wake.per_client = 1;
    assert_int_equal(wake_one(w, "a", "::ffff:192.0.2.1"), 0);
    assert_int_equal(wake_one(w, "b", "::ffff:192.0.2.1"), 429);
    assert_true(wake_wait(w->worker->wake_client, &other, STR("b"), 3000, 1));
    for (int i = 0; i < 5; i++)
        assert_int_equal(wake_one(w, "b", "::ffff:192.0.2.1"), 0);
    wake_leave(&other);
}

static void no_rate(void **state)
{
    wake_world_t *w = *state;
    char id[16];
    w->worker->context.conf->wake.per_client = 0;
    for (int i = 0; i < 500; i++) {
        (void)snprintf(id, sizeof id, "box%d", i);
        assert_int_equal(wake_one(w, id, "::ffff:192.0.2.1"), 0);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(requests_that_wake),
        TEST(requests_that_do_not),
        TEST(a_box_that_runs_gets_all),
        TEST(a_preflight_is_echoed),
        TEST(a_preflight_with_a_body_wakes),
        TEST(preflights_have_a_rate),
        TEST(pages_that_ask_by_themselves_wake_once),
        TEST(pages_under_an_alias_wake_once),
        TEST(all_others_wake_each_time),
        TEST(pages_that_load_themselves_again),
        TEST(a_client_over_its_rate),
        TEST(who_joins_begins_nothing),
        TEST(no_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
