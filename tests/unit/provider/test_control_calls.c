/* Calls to the control plane: retried, aborted, bounded, and with a token. */
#include "control_world.h"
#include "retry.h"

static void test_tried_again(void **state)
{
    world_t *w = *state;
    control_world_resume(w);
    WAIT(w, w->server->requests == 1);
    server_will_answer(w->server, 503, "");
    control_world_pass(w, RETRY_LAST_MS);
    WAIT(w, w->server->requests == 2);
    server_will_answer(w->server, 0, NULL); /* closed without an answer */
    control_world_pass(w, RETRY_LAST_MS);
    WAIT(w, w->server->requests == 3);
    server_will_answer(w->server, 200, RUNNING);
    WAIT(w, w->resumeds == 1);
    assert_int_equal(w->result, PROVIDER_OK);
    /* Three times and no more. */
    unsigned requests = w->server->requests;
    control_world_resume(w);
    for (unsigned i = 1; i <= 3; i++) {
        WAIT(w, w->server->requests == requests + i);
        server_will_answer(w->server, 503, "");
        control_world_pass(w, RETRY_LAST_MS);
    }
    WAIT(w, w->resumeds == 1);
    assert_int_equal(w->result, PROVIDER_UNAVAILABLE);
    assert_int_equal(w->server->requests, requests + 3);
}

static void test_breaker(void **state)
{
    world_t *w = *state;
    for (int i = 0; i < BREAKER_FAILURES; i++)
        server_will_answer(w->server, 200, "junk");
    for (int i = 0; i < BREAKER_FAILURES; i++) {
        control_world_resume(w);
        WAIT(w, w->resumeds == 1);
    }
    assert_int_equal(w->server->requests, BREAKER_FAILURES);
    control_world_resume(w); /* nobody is asked */
    WAIT(w, w->resumeds == 1);
    assert_int_equal(w->result, PROVIDER_UNAVAILABLE);
    assert_non_null(strstr(w->sentence, "tries again soon"));
    assert_int_equal(w->server->requests, BREAKER_FAILURES);
    loop_skip(w->loop, BREAKER_FIRST_MS);
    server_will_answer(w->server, 200, RUNNING);
    control_world_resume(w);
    WAIT(w, w->resumeds == 1);
    assert_int_equal(w->result, PROVIDER_OK);
}

static bool count_done(void *owner, const control_answer_t *answer)
{
    unsigned *count = owner;
    assert_true(answer->status != 0 || answer->sentence != NULL);
    ++*count;
    return true;
}

static void test_bounds_of_calls(void **state)
{
    world_t *w = *state;
    random_source_t *random = random_source_new();
    control_calls_t *calls = control_calls_new(w->loop, w->fetcher, random, w->conf);
    unsigned done = 0;
    control_request_t request = {
        .method = "GET", .path = "/boxes/abc", .tries = 1, .until_ms = loop_now(w->loop) + 20000};
    control_call_t **made = calloc(CONTROL_CALLS_MAX + 1, sizeof(*made));
    for (unsigned i = 0; i <= CONTROL_CALLS_MAX; i++)
        made[i] = control_call(calls, &request, count_done, &done);
    assert_non_null(made[CONTROL_CALLS_MAX - 1]);
    assert_null(made[CONTROL_CALLS_MAX]);
    WAIT(w, w->server->requests == CONTROL_FLYING_MAX);
    for (int i = 0; i < 10; i++)
        loop_turn(w->loop, 1);
    assert_int_equal(w->server->requests, CONTROL_FLYING_MAX);
    server_will_answer(w->server, 200, PAUSED); /* one ends: another one starts */
    WAIT(w, w->server->requests == CONTROL_FLYING_MAX + 1);
    assert_int_equal(done, 1);
    made[0] = control_call(calls, &request, count_done, &done); /* and one more is accepted */
    assert_non_null(made[0]);
    control_call_cancel(&made[CONTROL_CALLS_MAX - 1]);
    assert_non_null(made[1] = control_call(calls, &request, count_done, &done));
    assert_null(control_call(calls, &request, count_done, &done));
    control_calls_free(&calls);
    loop_turn(w->loop, 0);
    assert_int_equal(done, 1);
    free(made);
    random_source_free(&random);
}

static void test_calls_that_came_too_late(void **state)
{
    world_t *w = *state;
    random_source_t *random = random_source_new();
    control_calls_t *calls = control_calls_new(w->loop, w->fetcher, random, w->conf);
    unsigned done = 0;
    control_request_t request = {
        .method = "GET", .path = "/boxes/abc", .tries = 3, .until_ms = loop_now(w->loop)};
    assert_non_null(control_call(calls, &request, count_done, &done));
    assert_int_equal(done, 0);
    WAIT(w, done == 1);
    assert_int_equal(w->server->requests, 0);
    control_calls_free(&calls);
    random_source_free(&random);
}

static void write_token(world_t *w, const char *text)
{
    snprintf(w->token_path, sizeof(w->token_path), "/tmp/boxedge-token-%d", getpid());
    FILE *file = fopen(w->token_path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    free(w->conf->control_plane.token_file);
    w->conf->control_plane.token_file = strdup(w->token_path);
    w->provider->set_conf(w->provider, w->conf);
}

static bool last_had(world_t *w, const char *text)
{
    pthread_mutex_lock(&w->server->lock);
    bool has = strstr(w->server->last, text) != NULL;
    pthread_mutex_unlock(&w->server->lock);
    return has;
}

static void test_token(void **state)
{
    world_t *w = *state;
    const char *good[] = {"s3cret", "s3cret\n", " s3cret \r\nmore\n"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        write_token(w, good[i]); /* read again with each configuration */
        server_will_answer(w->server, 200, RUNNING);
        control_world_resume(w);
        WAIT(w, w->resumeds == 1);
        assert_int_equal(w->result, PROVIDER_OK);
        assert_true(last_had(w, "\r\nAuthorization: Bearer s3cret\r\n"));
    }
    char *large = malloc(10000);
    memset(large, 'a', 9999);
    large[9999] = '\0';
    const char *bad[] = {"", "\n", "two words\n", large};
    unsigned requests = w->server->requests;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        write_token(w, bad[i]);
        control_world_resume(w);
        WAIT(w, w->resumeds == 1);
        assert_int_equal(w->result, PROVIDER_UNAVAILABLE);
        assert_null(strstr(w->sentence, "two"));
    }
    free(large);
    unlink(w->token_path);
    w->provider->set_conf(w->provider, w->conf); /* the file has gone */
    control_world_resume(w);
    WAIT(w, w->resumeds == 1);
    assert_int_equal(w->result, PROVIDER_UNAVAILABLE);
    assert_int_equal(w->server->requests, requests); /* no request was sent without the token */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, control_world_setup, control_world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_tried_again),     TEST(test_breaker),
        TEST(test_bounds_of_calls), TEST(test_calls_that_came_too_late),
        TEST(test_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
