/* The provider of a control plane: what it asks, what it makes of the answers and of what is pushed
 * meanwhile, and its bounds. The control plane is a server that answers as the test says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>

#include "control_calls.h"
#include "fetch_server.h"
#include "provider_http.h"

#define CONF                                                                                                 \
    "preview_domain: preview.test\nnode: here\npublic_port: 443\n"                                           \
    "listeners:\n  - {address: \"127.0.0.1:8080\", kind: plain}\n"
#define PAUSED  "{\"id\":\"abc\",\"state\":\"paused\"}"
#define RUNNING "{\"id\":\"abc\",\"state\":\"running\",\"address\":\"10.1.2.3\",\"incarnation\":\"one\"}"
#define AGAIN   "{\"id\":\"abc\",\"state\":\"running\",\"address\":\"10.1.2.3\",\"incarnation\":\"two\"}"
#define BROKEN  "{\"id\":\"abc\",\"state\":\"error\"}"
#define GONE    "{\"id\":\"abc\",\"state\":\"gone\"}"

typedef struct world {
    loop_t *loop;
    fetcher_t *fetcher;
    server_t *server;
    provider_t *provider;
    conf_t *conf;
    char url[64], token_path[64];
    /* what was told */
    unsigned tolds, resumeds;
    provider_box_t box;
    provider_result_t result;
    char sentence[256];
    char resumed_id[BOX_ID_MAX + 1];
    bool resumes_when_told; /* asks for a resume from within */
} world_t;

static void on_box(void *owner, provider_t *provider, const provider_box_t *box)
{
    world_t *w = owner;
    w->tolds++;
    w->box = *box;
    if (w->resumes_when_told)
        provider->resume(provider, str_from(box->id));
    w->resumes_when_told = false;
}

static void on_resumed(void *owner, provider_t *provider, str_t id, provider_result_t result,
                       const char *sentence)
{
    world_t *w = owner;
    (void)provider;
    w->resumeds++;
    w->result = result;
    snprintf(w->sentence, sizeof(w->sentence), "%s", sentence != NULL ? sentence : "");
    snprintf(w->resumed_id, sizeof(w->resumed_id), "%.*s", STR_ARG(id));
    assert_true(result == PROVIDER_OK || result == PROVIDER_GONE || sentence != NULL);
}

static const provider_handlers_t handlers = {.box = on_box, .resumed = on_resumed};

static int setup(void **state)
{
    signal(SIGPIPE, SIG_IGN);
    world_t *w = calloc(1, sizeof(*w));
    w->loop = loop_new();
    w->fetcher = fetcher_new(w->loop);
    w->server = server_new(NULL, NULL);
    conf_errors_t *errors = conf_errors_new();
    w->conf = conf_parse("test.yaml", STR(CONF), errors);
    conf_errors_free(&errors);
    assert_non_null(w->conf);
    snprintf(w->url, sizeof(w->url), "http://127.0.0.1:%u", w->server->port);
    free(w->conf->control_plane.url);
    w->conf->control_plane.url = strdup(w->url);
    w->conf->control_plane.timeout = 5000;
    w->provider = provider_http_new(w->loop, w->fetcher, w->conf, &handlers, w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_t *w = *state;
    w->provider->free(w->provider);
    fetcher_free(&w->fetcher);
    server_free(&w->server);
    loop_free(&w->loop);
    conf_release(&w->conf);
    free(w);
    return 0;
}

#define WAIT(w, condition)                                                                                   \
    do {                                                                                                     \
        uint64_t end_ = loop_precise_us() + 20000000;                                                        \
        while (!(condition) && loop_precise_us() < end_)                                                     \
            loop_turn((w)->loop, 20);                                                                        \
        assert_true(condition);                                                                              \
    } while (0)

static void resume(world_t *w)
{
    w->resumeds = 0;
    w->provider->resume(w->provider, STR("abc"));
    assert_int_equal(w->resumeds, 0);
}

static void push(world_t *w, const char *json)
{
    control_box_t box;
    assert_null(control_box_read(str_from(json), STR("abc"), &box));
    provider_http_push(w->provider, &box);
}

static bool last_was(world_t *w, const char *start)
{
    pthread_mutex_lock(&w->server->lock);
    bool is = strncmp(w->server->last, start, strlen(start)) == 0;
    pthread_mutex_unlock(&w->server->lock);
    return is;
}

/* ---- resumes ---- */

static void test_resumed_at_once(void **state)
{
    world_t *w = *state;
    server_will_answer(w->server, 200, RUNNING);
    resume(w);
    resume(w); /* one is under way */
    WAIT(w, w->resumeds == 1);
    assert_int_equal(w->result, PROVIDER_OK);
    assert_string_equal(w->resumed_id, "abc");
    assert_int_equal(w->tolds, 1);
    assert_int_equal(w->box.state, BOX_RUNNING);
    assert_true(w->box.renewed); /* nothing was known of it */
    assert_int_equal(w->server->requests, 1);
    assert_true(last_was(w, "POST /boxes/abc/resume HTTP/1.1\r\n"));
}

static void test_polled_until_it_runs(void **state)
{
    world_t *w = *state;
    server_will_answer(w->server, 202, "taken");
    server_will_answer(w->server, 500, ""); /* one poll that fails is no end */
    server_will_answer(w->server, 200, RUNNING);
    resume(w);
    WAIT(w, w->resumeds == 1);
    assert_int_equal(w->result, PROVIDER_OK);
    assert_int_equal(w->server->requests, 3);
    assert_int_equal(w->tolds, 1);
    assert_true(last_was(w, "GET /boxes/abc HTTP/1.1\r\n"));
}

static void test_ends_of_resumes(void **state)
{
    world_t *w = *state;
    const struct {
        int status;
        const char *body;
        provider_result_t result;
        box_state_t told; /* BOX_UNKNOWN: nothing */
    } all[] = {
        {404, "", PROVIDER_GONE, BOX_GONE},
        {410, "", PROVIDER_GONE, BOX_GONE},
        {200, GONE, PROVIDER_GONE, BOX_GONE},
        {200, BROKEN, PROVIDER_FAILED, BOX_PAUSED},
        {409, "{\"error\":\"no room\"}", PROVIDER_FAILED, BOX_UNKNOWN},
        {401, "", PROVIDER_FAILED, BOX_UNKNOWN},
        {302, "", PROVIDER_UNAVAILABLE, BOX_UNKNOWN},
        {200, "<html>", PROVIDER_UNAVAILABLE, BOX_UNKNOWN},
        {200, "{\"id\":\"abd\",\"state\":\"running\"}", PROVIDER_UNAVAILABLE, BOX_UNKNOWN},
        {204, "", PROVIDER_UNAVAILABLE, BOX_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        unsigned requests = w->server->requests;
        w->tolds = 0;
        server_will_answer(w->server, all[i].status, all[i].body);
        resume(w);
        WAIT(w, w->resumeds == 1);
        assert_int_equal(w->result, all[i].result);
        assert_int_equal(w->server->requests, requests + 1); /* none of these is tried again */
        assert_int_equal(w->tolds, all[i].told == BOX_UNKNOWN ? 0 : 1);
        if (w->tolds > 0)
            assert_int_equal(w->box.state, all[i].told);
    }
}

static void test_tried_again(void **state)
{
    world_t *w = *state;
    server_will_answer(w->server, 503, "");
    server_will_answer(w->server, 0, NULL); /* closed without an answer */
    server_will_answer(w->server, 200, RUNNING);
    resume(w);
    WAIT(w, w->resumeds == 1);
    assert_int_equal(w->result, PROVIDER_OK);
    /* Three times and no more. */
    unsigned requests = w->server->requests;
    for (int i = 0; i < 3; i++)
        server_will_answer(w->server, 503, "");
    resume(w);
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
        resume(w);
        WAIT(w, w->resumeds == 1);
    }
    assert_int_equal(w->server->requests, BREAKER_FAILURES);
    uint64_t began = loop_now(w->loop);
    resume(w); /* at once, and nobody is asked */
    WAIT(w, w->resumeds == 1);
    assert_int_equal(w->result, PROVIDER_UNAVAILABLE);
    assert_non_null(strstr(w->sentence, "tried again soon"));
    assert_in_range(loop_now(w->loop) - began, 0, 500);
    assert_int_equal(w->server->requests, BREAKER_FAILURES);
}

static void test_pushes_end_resumes(void **state)
{
    world_t *w = *state;
    const struct {
        const char *json;
        provider_result_t result;
    } all[] = {{RUNNING, PROVIDER_OK}, {GONE, PROVIDER_GONE}, {BROKEN, PROVIDER_FAILED}};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        unsigned requests = w->server->requests;
        resume(w);
        WAIT(w, w->server->requests == requests + 1); /* its POST is not answered yet */
        push(w, PAUSED);
        assert_int_equal(w->resumeds, 0);
        push(w, all[i].json);
        assert_int_equal(w->resumeds, 1);
        assert_int_equal(w->result, all[i].result);
    }
    /* Also between two polls. */
    unsigned requests = w->server->requests;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        server_will_answer(w->server, 0, NULL); /* to those that were given up */
    WAIT(w, server_gave_all(w->server));
    server_will_answer(w->server, 202, "");
    resume(w);
    WAIT(w, w->server->requests == requests + 1);
    push(w, RUNNING);
    assert_int_equal(w->resumeds, 1);
    assert_int_equal(w->result, PROVIDER_OK);
}

static void test_resumed_from_within(void **state)
{
    world_t *w = *state;
    w->resumes_when_told = true;
    push(w, PAUSED);
    server_will_answer(w->server, 200, RUNNING);
    WAIT(w, w->resumeds == 1);
    assert_int_equal(w->result, PROVIDER_OK);
    /* And from the answer to a look. */
    w->resumeds = 0;
    w->resumes_when_told = true;
    server_will_answer(w->server, 200, PAUSED);
    server_will_answer(w->server, 200, RUNNING);
    w->provider->look(w->provider, STR("abc"));
    WAIT(w, w->resumeds == 1);
    assert_int_equal(w->result, PROVIDER_OK);
}

/* ---- looks ---- */

static void test_looks(void **state)
{
    world_t *w = *state;
    server_will_answer(w->server, 200, RUNNING);
    w->provider->look(w->provider, STR("abc"));
    w->provider->look(w->provider, STR("abc"));
    assert_int_equal(w->tolds, 0);
    WAIT(w, w->tolds == 1);
    assert_int_equal(w->server->requests, 1);
    assert_true(w->box.renewed);
    server_will_answer(w->server, 200, RUNNING);
    w->provider->look(w->provider, STR("abc"));
    WAIT(w, w->tolds == 2);
    assert_false(w->box.renewed);
    server_will_answer(w->server, 200, AGAIN); /* it has restarted */
    w->provider->look(w->provider, STR("abc"));
    WAIT(w, w->tolds == 3);
    assert_true(w->box.renewed);
    server_will_answer(w->server, 404, "");
    w->provider->look(w->provider, STR("abc"));
    WAIT(w, w->tolds == 4);
    assert_int_equal(w->box.state, BOX_GONE);
    /* Made again under its name: nothing that was known of it holds. */
    server_will_answer(w->server, 200, AGAIN);
    w->provider->look(w->provider, STR("abc"));
    WAIT(w, w->tolds == 5);
    assert_true(w->box.renewed);
}

/* Of a control plane that tells no incarnations nobody asks for more than it can say. */
static void test_without_incarnations(void **state)
{
    world_t *w = *state;
    push(w, PAUSED);
    assert_false(w->box.renewed);
    push(w, RUNNING);
    assert_true(w->box.renewed);
    push(w, PAUSED);
    assert_true(w->box.renewed);
}

/* What was pushed after a question outweighs its answer. */
static void test_push_outweighs_look(void **state)
{
    world_t *w = *state;
    w->provider->look(w->provider, STR("abc"));
    WAIT(w, w->server->requests == 1);
    push(w, PAUSED);
    assert_int_equal(w->tolds, 1);
    server_will_answer(w->server, 200, RUNNING); /* what it was before */
    server_will_answer(w->server, 200, PAUSED);
    unsigned looks = 0;
    for (; w->tolds == 1; looks++) { /* the next look is made only when the first was answered */
        assert_in_range(looks, 0, 1000);
        w->provider->look(w->provider, STR("abc"));
        loop_turn(w->loop, 20);
    }
    assert_int_equal(w->server->requests, 2);
    assert_int_equal(w->box.state, BOX_PAUSED);
}

static void test_resume_takes_the_place_of_a_look(void **state)
{
    world_t *w = *state;
    w->provider->look(w->provider, STR("abc"));
    WAIT(w, w->server->requests == 1);
    server_will_answer(w->server, 0, NULL); /* to the look */
    WAIT(w, server_gave_all(w->server));
    resume(w);
    WAIT(w, w->server->requests == 2);
    server_will_answer(w->server, 200, RUNNING);
    WAIT(w, w->resumeds == 1);
    assert_int_equal(w->result, PROVIDER_OK);
}

/* ---- activity ---- */

static void test_activity(void **state)
{
    world_t *w = *state;
    w->provider->activity(w->provider, STR("abc\nxyz\nabc\n"));
    w->provider->activity(w->provider, STR("abc\nno/id\nlast"));
    server_will_answer(w->server, 200, "{}");
    WAIT(w, w->server->requests == 1);
    assert_true(last_was(w, "POST /activity HTTP/1.1\r\n"));
    assert_string_equal(w->server->body, "{\"boxes\":[\"abc\",\"xyz\",\"last\"]}");
    loop_turn(w->loop, 50);
    assert_int_equal(w->server->requests, 1); /* said once */
}

static void test_activity_of_many(void **state)
{
    world_t *w = *state;
    enum { COUNT = CONTROL_ACTIVITY_BOXES + 1 };
    char *ids = malloc(COUNT * 10);
    size_t n = 0;
    for (unsigned i = 0; i < COUNT; i++)
        n += (size_t)snprintf(ids + n, COUNT * 10 - n, "b%u\n", i);
    w->provider->activity(w->provider, str_make(ids, n));
    free(ids);
    server_will_answer(w->server, 503, ""); /* what was in it is not said again */
    server_will_answer(w->server, 200, "{}");
    WAIT(w, w->server->requests == 2);
    assert_string_equal(w->server->body, "{\"boxes\":[\"b1000\"]}");
}

/* ---- bounds ---- */

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
    loop_turn(w->loop, 50);
    assert_int_equal(w->server->requests, CONTROL_FLYING_MAX);
    server_will_answer(w->server, 200, PAUSED); /* one ends: one more flies */
    WAIT(w, w->server->requests == CONTROL_FLYING_MAX + 1);
    assert_int_equal(done, 1);
    made[0] = control_call(calls, &request, count_done, &done); /* and one more is taken */
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

static void test_bound_of_boxes(void **state)
{
    world_t *w = *state;
    control_box_t box = {.state = CONTROL_SLEEPING, .box.state = BOX_PAUSED, .incarnation = "one"};
    for (unsigned i = 0; i <= CONTROL_BOXES_MAX; i++) {
        snprintf(box.box.id, sizeof(box.box.id), "b%u", i);
        provider_http_push(w->provider, &box);
    }
    assert_int_equal(w->tolds, CONTROL_BOXES_MAX + 1);
    provider_http_push(w->provider, &box);
    assert_false(w->box.renewed);
    snprintf(box.box.id, sizeof(box.box.id), "b1");
    provider_http_push(w->provider, &box);
    assert_false(w->box.renewed);
    snprintf(box.box.id, sizeof(box.box.id), "b0"); /* the one that was forgotten */
    provider_http_push(w->provider, &box);
    assert_true(w->box.renewed);
}

/* ---- the token ---- */

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
        resume(w);
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
        resume(w);
        WAIT(w, w->resumeds == 1);
        assert_int_equal(w->result, PROVIDER_UNAVAILABLE);
        assert_null(strstr(w->sentence, "two"));
    }
    free(large);
    unlink(w->token_path);
    w->provider->set_conf(w->provider, w->conf); /* the file has gone */
    resume(w);
    WAIT(w, w->resumeds == 1);
    assert_int_equal(w->result, PROVIDER_UNAVAILABLE);
    assert_int_equal(w->server->requests, requests); /* nothing was sent without the token */
}

static void test_freed_under_way(void **state)
{
    world_t *w = *state;
    resume(w);
    w->provider->look(w->provider, STR("other"));
    w->provider->activity(w->provider, STR("third\n"));
    WAIT(w, w->server->requests == 2);
    w->provider->free(w->provider);
    loop_turn(w->loop, 0);
    assert_int_equal(w->resumeds + w->tolds, 0);
    w->provider = provider_http_new(w->loop, w->fetcher, w->conf, &handlers, w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_resumed_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_polled_until_it_runs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ends_of_resumes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_breaker, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pushes_end_resumes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resumed_from_within, setup, teardown),
        cmocka_unit_test_setup_teardown(test_looks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_incarnations, setup, teardown),
        cmocka_unit_test_setup_teardown(test_push_outweighs_look, setup, teardown),
        cmocka_unit_test_setup_teardown(test_resume_takes_the_place_of_a_look, setup, teardown),
        cmocka_unit_test_setup_teardown(test_activity, setup, teardown),
        cmocka_unit_test_setup_teardown(test_activity_of_many, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bounds_of_calls, setup, teardown),
        cmocka_unit_test_setup_teardown(test_calls_that_came_too_late, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bound_of_boxes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_token, setup, teardown),
        cmocka_unit_test_setup_teardown(test_freed_under_way, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
