/* The provider of a control plane: its questions, its use of answers and of pushes in between, and its
 * bounds. */
#include "control_world.h"
#include "retry.h"

/* ---- resumes ---- */

static void test_resumed_at_once(void **state)
{
    world_t *w = *state;
    server_will_answer(w->server, 200, RUNNING);
    control_world_resume(w);
    control_world_resume(w); /* one is under way */
    WAIT(w, w->resumeds == 1);
    assert_int_equal(w->result, PROVIDER_OK);
    assert_string_equal(w->resumed_id, "abc");
    assert_int_equal(w->tolds, 1);
    assert_int_equal(w->box.state, BOX_RUNNING);
    assert_true(w->box.renewed); /* its state was unknown */
    assert_int_equal(w->server->requests, 1);
    assert_true(last_was(w, "POST /boxes/abc/resume HTTP/1.1\r\n"));
}

static void test_polled_until_it_runs(void **state)
{
    world_t *w = *state;
    server_will_answer(w->server, 202, "taken");
    control_world_resume(w);
    WAIT(w, w->server->requests == 1);
    control_world_pass(w, POLL_LAST_MS);
    WAIT(w, w->server->requests == 2);
    server_will_answer(w->server, 500, ""); /* one failed poll is no end */
    control_world_pass(w, POLL_LAST_MS);
    WAIT(w, w->server->requests == 3);
    server_will_answer(w->server, 200, RUNNING);
    WAIT(w, w->resumeds == 1);
    assert_int_equal(w->result, PROVIDER_OK);
    assert_int_equal(w->server->requests, 3);
    assert_int_equal(w->tolds, 1);
    assert_true(last_was(w, "GET /boxes/abc HTTP/1.1\r\n"));
}

static void test_polled_for_so_long(void **state)
{
    world_t *w = *state;
    unsigned polls = 0;
    server_will_answer(w->server, 200, PAUSED);
    control_world_resume(w);
    WAIT(w, w->tolds == 1);
    for (;; polls++) {
        loop_skip(w->loop, POLL_LAST_MS * 6 / 5); /* as late as the last of them arrive */
        WAIT(w, w->resumeds == 1 || w->server->requests == polls + 2);
        if (w->resumeds == 1)
            break;
        server_will_answer(w->server, 200, PAUSED);
        WAIT(w, w->tolds == polls + 2);
    }
    assert_in_range(polls, 1, CONTROL_RESUME_MS / (POLL_LAST_MS * 6 / 5));
    assert_int_equal(w->result, PROVIDER_FAILED);
    assert_string_equal(w->sentence, "The control plane did not start the box in time.");
}

/* The last poll, before its time was over, had no answer. */
static void test_polled_in_vain(void **state)
{
    world_t *w = *state;
    server_will_answer(w->server, 200, PAUSED);
    control_world_resume(w);
    WAIT(w, w->tolds == 1);
    loop_skip(w->loop, POLL_LAST_MS);
    WAIT(w, w->server->requests == 2);
    server_will_answer(w->server, 500, "");
    control_world_pass(w, CONTROL_RESUME_MS);
    WAIT(w, w->resumeds == 1);
    assert_int_equal(w->result, PROVIDER_UNAVAILABLE);
    assert_string_equal(w->sentence, "The control plane cannot be asked about the box.");
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
        control_world_resume(w);
        WAIT(w, w->resumeds == 1);
        assert_int_equal(w->result, all[i].result);
        assert_int_equal(w->server->requests, requests + 1); /* none of these is tried again */
        assert_int_equal(w->tolds, all[i].told == BOX_UNKNOWN ? 0 : 1);
        if (w->tolds > 0)
            assert_int_equal(w->box.state, all[i].told);
    }
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
        control_world_resume(w);
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
    control_world_resume(w);
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
    /* Also from the answer to a look. */
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
    /* Created again under its name: earlier knowledge of it is void. */
    server_will_answer(w->server, 200, AGAIN);
    w->provider->look(w->provider, STR("abc"));
    WAIT(w, w->tolds == 5);
    assert_true(w->box.renewed);
}

/* A control plane that reports no incarnations is not asked for more than it can answer. */
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

/* A push after a question outweighs the question's answer. */
static void test_push_outweighs_look(void **state)
{
    world_t *w = *state;
    w->provider->look(w->provider, STR("abc"));
    WAIT(w, w->server->requests == 1);
    push(w, PAUSED);
    assert_int_equal(w->tolds, 1);
    server_will_answer(w->server, 200, RUNNING); /* its state before */
    server_will_answer(w->server, 200, PAUSED);
    unsigned looks = 0;
    for (; w->tolds == 1; looks++) { /* the next look starts only after the answer to the first */
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
    control_world_resume(w);
    WAIT(w, w->server->requests == 2);
    server_will_answer(w->server, 200, RUNNING);
    WAIT(w, w->resumeds == 1);
    assert_int_equal(w->result, PROVIDER_OK);
}

/* ---- activity ---- */

static void test_activity(void **state)
{
    world_t *w = *state;
    loop_hold(w->loop);
    w->provider->activity(w->provider, STR("abc\nxyz\nabc\n"));
    w->provider->activity(w->provider, STR("abc\nno/id\nlast"));
    loop_skip(w->loop, CONTROL_ACTIVITY_MS - 1);
    for (int i = 0; i < 10; i++)
        loop_turn(w->loop, 1);
    assert_int_equal(w->server->requests, 0);
    server_will_answer(w->server, 200, "{}");
    loop_skip(w->loop, 1);
    WAIT(w, w->server->requests == 1);
    assert_true(last_was(w, "POST /activity HTTP/1.1\r\n"));
    assert_string_equal(w->server->body, "{\"boxes\":[\"abc\",\"xyz\",\"last\"]}");
    for (int i = 0; i < 3; i++)
        control_world_pass(w, CONTROL_ACTIVITY_MS);
    assert_int_equal(w->server->requests, 1); /* reported once */
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
    loop_skip(w->loop, CONTROL_ACTIVITY_MS);
    WAIT(w, w->server->requests == 1);
    server_will_answer(w->server, 503, ""); /* its content is not reported again */
    control_world_pass(w, CONTROL_ACTIVITY_MS);
    WAIT(w, w->server->requests == 2);
    server_will_answer(w->server, 200, "{}");
    assert_string_equal(w->server->body, "{\"boxes\":[\"b1000\"]}");
    WAIT(w, server_gave_all(w->server));
}

/* ---- bounds ---- */

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
    snprintf(box.box.id, sizeof(box.box.id), "b0"); /* the forgotten one */
    provider_http_push(w->provider, &box);
    assert_true(w->box.renewed);
}

/* One call more than fits is no resume. */
static void test_too_much_is_asked(void **state)
{
    world_t *w = *state;
    char id[16];
    for (unsigned i = 0; i < CONTROL_CALLS_MAX; i++) {
        snprintf(id, sizeof(id), "b%u", i);
        w->provider->look(w->provider, str_from(id));
    }
    control_world_resume(w);
    loop_turn(w->loop, 0);
    assert_int_equal(w->resumeds, 1);
    assert_int_equal(w->result, PROVIDER_UNAVAILABLE);
    assert_string_equal(w->sentence, "Too many calls to the control plane are in progress.");
}

static void test_freed_under_way(void **state)
{
    world_t *w = *state;
    control_world_resume(w);
    w->provider->look(w->provider, STR("other"));
    w->provider->activity(w->provider, STR("third\n"));
    WAIT(w, w->server->requests == 2);
    w->provider->free(w->provider);
    loop_turn(w->loop, 0);
    assert_int_equal(w->resumeds + w->tolds, 0);
    w->provider = provider_http_new(w->loop, w->fetcher, w->conf, &control_world_handlers, w);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, control_world_setup, control_world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_resumed_at_once),
        TEST(test_polled_until_it_runs),
        TEST(test_polled_for_so_long),
        TEST(test_polled_in_vain),
        TEST(test_ends_of_resumes),
        TEST(test_pushes_end_resumes),
        TEST(test_resumed_from_within),
        TEST(test_looks),
        TEST(test_without_incarnations),
        TEST(test_push_outweighs_look),
        TEST(test_resume_takes_the_place_of_a_look),
        TEST(test_activity),
        TEST(test_activity_of_many),
        TEST(test_bound_of_boxes),
        TEST(test_too_much_is_asked),
        TEST(test_freed_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
