/* A request that waits for its box: its final answer, the waiting page, and the log entries. */
#include "wake_world.h"

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

static exchange_t *navigate(wake_world_t *w)
{
    exchange_t *ex = wake_world_next(w);
    wake_world_field(ex, "Sec-Fetch-Mode", "navigate");
    return ex;
}

static const wake_answer_t broken = {.retry_after_ms = 4200, .sentence = "It is <broken>."};

static void it_goes_on_to_the_box(void **state)
{
    static const wake_answer_t answer = {.resume_ms = 812, .listen_ms = 95};
    wake_world_t *w = *state;
    exchange_t *ex = wake_world_next(w);
    exchange_start(ex);
    assert_int_equal(ex->state, EXCHANGE_STEPS);
    wake_world_runs(w, &answer);
    assert_int_equal(ex->state, EXCHANGE_ORIGIN);
    assert_int_equal(wake_outcome(ex), WAKE_OUTCOME_OK);
    /* The head lists the time of each part; the app's own entry stays. */
    ex->response = (response_t){.status = 200, .content_length = LENGTH_UNKNOWN};
    fields_add(&ex->arena, &ex->response.fields, FIELD_OTHER, STR("Server-Timing"), STR("app;dur=3"));
    exchange_response_head(ex);
    assert_int_equal(ex->response.fields.count, 2);
    assert_true(str_eq(ex->response.fields.at[0].value, STR("app;dur=3")));
    str_t timing = ex->response.fields.at[1].value;
    assert_true(str_eq(ex->response.fields.at[1].name, STR("server-timing")));
    assert_true(str_starts(timing, STR("resume;dur=812, listen;dur=95, origin;dur=")));
    assert_true(wake_times(ex)->went_us <= ex->times.first_byte_us);
    exchange_response_end(ex);
}

static void one_that_did_not_wait_says_nothing(void **state)
{
    wake_world_t *w = *state;
    exchange_t *ex = wake_world_next(w);
    ex->box.state = BOX_RUNNING;
    exchange_start(ex);
    world_respond(w->world);
    assert_int_equal(wake_world_got(ex, "server-timing").n, 0);
}

/* ---- the page ---- */

static void a_navigation_gets_the_page(void **state)
{
    wake_world_t *w = *state;
    exchange_t *ex = navigate(w);
    ex->session_cookie = STR("a=b");
    exchange_start(ex);
    assert_int_equal(ex->state, EXCHANGE_STEPS);
    wake_world_stage(w, WAKE_STARTING, 0);
    wake_world_skip(w, 1900);
    assert_int_equal(w->world->heads, 0);
    wake_world_skip(w, 100);
    assert_int_equal(w->world->heads, 1);
    assert_int_equal(ex->status, 503);
    assert_string_equal(ex->local_code, "waking");
    assert_int_equal(wake_outcome(ex), WAKE_OUTCOME_PAGE);
    assert_in_range(wake_times(ex)->waited_ms, 2000, 20000);
    assert_true(str_eq(wake_world_got(ex, "retry-after"), STR("5")));
    assert_true(str_eq(wake_world_got(ex, "cache-control"), STR("no-store")));
    assert_true(str_eq(wake_world_got(ex, "x-request-id"), str_from(ex->request_id)));
    assert_true(str_eq(wake_world_got(ex, "set-cookie"), STR("a=b")));
    assert_true(wake_world_body_has(w, "data-stage=\"starting\""));
    assert_true(wake_world_body_has(w, "http-equiv=\"refresh\""));
    assert_false(wake_goes_on(w->worker->wake_client, STR("box"), 3000)); /* it waits no more */
    /* The script's nonce is the policy's. */
    str_t policy = wake_world_got(ex, "content-security-policy");
    char attribute[64];
    const char *nonce = memmem(policy.p, policy.n, "'nonce-", 7);
    assert_non_null(nonce);
    (void)snprintf(attribute, sizeof attribute, "<script nonce=\"%.32s\">", nonce + 7);
    assert_true(wake_world_body_has(w, attribute));
}

static void a_boxs_own_time(void **state)
{
    wake_world_t *w = *state;
    uint32_t usual = w->worker->context.conf->wake.timeout;
    static const uint32_t times[] = {123457, 1, 20000};
    loop_hold(w->worker->context.loop);
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        exchange_t *ex = wake_world_next(w);
        ex->box.start_ms = times[i];
        exchange_start(ex);
        uint64_t gone = 0;
        for (; w->world->heads == 0; gone += 16) {
            assert_true(gone < times[i] + usual);
            wake_world_skip(w, 16);
        }
        assert_string_equal(ex->local_code, "wake_timeout");
        assert_in_range(gone, times[i], times[i] + 64);
    }
}

static void a_head_gets_its_head(void **state)
{
    wake_world_t *w = *state;
    exchange_t *ex = navigate(w);
    ex->request.method = STR("HEAD");
    exchange_start(ex);
    wake_world_skip(w, 2000);
    assert_int_equal(w->world->heads, 1);
    assert_int_equal(ex->status, 503);
    assert_int_equal(w->world->out_n, 0);
}

/* Requests other than a person's navigations wait for the whole time. So does every request if the page is
 * never shown, or not before that time. */
static void who_gets_no_page(void **state)
{
    wake_world_t *w = *state;
    for (int i = 0; i < 6; i++) {
        w->worker->context.conf->wake.page_after = i == 4 ? 0 : i == 5 ? 30000 : 2000;
        exchange_t *ex = i == 0 ? wake_world_next(w) : navigate(w);
        if (i == 1)
            ex->request.method = STR("POST");
        if (i == 2)
            ex->request.websocket = true;
        if (i == 3)
            ex->request.fields.at[0].value = STR("cors");
        exchange_start(ex);
        wake_world_skip(w, 2000);
        wake_world_skip(w, 27900);
        assert_int_equal(w->world->heads, 0);
        wake_world_skip(w, 100);
        assert_int_equal(w->world->heads, 1);
        assert_int_equal(ex->status, 503);
        assert_string_equal(ex->local_code, "wake_timeout");
        assert_int_equal(wake_outcome(ex), WAKE_OUTCOME_FAILED);
        assert_in_range(wake_times(ex)->waited_ms, 30000, 60000);
    }
    assert_int_equal(w->worker->context.counters->wake_timeouts_total, 6);
}

static void a_quick_wake_shows_no_page(void **state)
{
    wake_world_t *w = *state;
    exchange_t *ex = navigate(w);
    exchange_start(ex);
    wake_world_skip(w, 1900);
    wake_world_runs(w, NULL);
    assert_int_equal(ex->state, EXCHANGE_ORIGIN);
    wake_world_skip(w, 30000);
    assert_int_equal(w->world->heads, 0);
}

/* ---- failures ---- */

static void a_failure_says_what_happened(void **state)
{
    wake_world_t *w = *state;
    exchange_t *ex = wake_world_next(w);
    exchange_start(ex);
    wake_world_ends(w, WAKE_FAILED, &broken);
    assert_int_equal(ex->status, 503);
    assert_string_equal(ex->local_code, "wake_failed");
    assert_int_equal(wake_outcome(ex), WAKE_OUTCOME_FAILED);
    assert_true(str_eq(wake_world_got(ex, "retry-after"), STR("5")));
    assert_true(wake_world_body_has(w, "\"error\":\"It is <broken>.\""));
}

static void a_person_may_try_again(void **state)
{
    wake_world_t *w = *state;
    exchange_t *ex = navigate(w);
    exchange_start(ex);
    wake_world_ends(w, WAKE_FAILED, &broken);
    assert_int_equal(ex->status, 503);
    assert_true(wake_world_body_has(w, "It is &lt;broken&gt;."));
    assert_true(wake_world_body_has(w, "Try again"));
    assert_true(wake_world_body_has(w, "data-retry=\"5\""));
    assert_false(wake_world_body_has(w, "http-equiv=\"refresh\"")); /* not by itself */
}

static void every_end(void **state)
{
    static const struct {
        wake_result_t result;
        int status;
        const char *code;
    } table[] = {
        {WAKE_GONE, 404, "preview_not_found"},
        {WAKE_FAILED, 503, "wake_failed"},
        {WAKE_UNAVAILABLE, 503, "provider_unavailable"},
        {WAKE_BUSY, 503, "too_many_wakes"},
        {WAKE_ASLEEP, 503, "wake_failed"},
        {WAKE_REFUSED, 502, "port_not_exposed"},
    };
    wake_world_t *w = *state;
    for (size_t i = 0; i < 2 * sizeof table / sizeof *table; i++) {
        exchange_t *ex = i % 2 == 0 ? wake_world_next(w) : navigate(w);
        exchange_start(ex);
        wake_world_ends(w, table[i / 2].result, NULL);
        assert_int_equal(ex->status, table[i / 2].status);
        assert_string_equal(ex->local_code, table[i / 2].code);
        assert_int_equal(w->world->ends, 1);
    }
}

static void one_that_leaves(void **state)
{
    wake_world_t *w = *state;
    exchange_t *ex = wake_world_next(w);
    exchange_start(ex);
    assert_int_equal(w->worker->context.counters->wake_waiters, 1);
    await_leave(ex);
    assert_int_equal(wake_outcome(ex), WAKE_OUTCOME_LEFT);
    assert_int_equal(w->worker->context.counters->wake_waiters, 0);
}

static void too_many_wait(void **state)
{
    wake_world_t *w = *state;
    wake_waiter_t other = {.done = NULL};
    w->worker->context.conf->wake.waiters = 1;
    assert_true(wake_wait(w->worker->wake_client, &other, STR("box"), 3000, 1));
    exchange_t *ex = wake_world_next(w);
    exchange_start(ex);
    assert_int_equal(ex->status, 503);
    assert_string_equal(ex->local_code, "too_many_waiting");
    assert_int_equal(wake_outcome(ex), WAKE_OUTCOME_REFUSED);
    wake_leave(&other);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(it_goes_on_to_the_box),
        TEST(one_that_did_not_wait_says_nothing),
        TEST(a_navigation_gets_the_page),
        TEST(a_boxs_own_time),
        TEST(a_head_gets_its_head),
        TEST(who_gets_no_page),
        TEST(a_quick_wake_shows_no_page),
        TEST(a_failure_says_what_happened),
        TEST(a_person_may_try_again),
        TEST(every_end),
        TEST(one_that_leaves),
        TEST(too_many_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
