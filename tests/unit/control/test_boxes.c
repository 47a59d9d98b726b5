/* The controller's knowledge of boxes: addresses, generations, owners, number, and age. */
#include "list.h"
#include "store_gate.h"
#include "wake_coordinator_world.h"

static void addresses_that_are_not_allowed(void **state)
{
    static const char *const addresses[] = {"::ffff:192.0.2.7", "::ffff:169.254.1.1", "fe80::1", NULL};
    world_t *w = *state;
    wake_answer_t got;
    char id[2] = "b";
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++, id[0]++) {
        tell(w, id, BOX_PAUSED, NULL);
        wake_coordinator_request(w->coordinator, 0, label(w, id), WAKE_WISH_WAKE, 0);
        tell(w, id, BOX_RUNNING, addresses[i]);
        answer(w, PROVIDER_OK, NULL);
        assert_int_equal(ended(w, 0, &got, 200), WAKE_FAILED);
        assert_true(got.sentence[0] != '\0');
        assert_int_equal(known(w, id)->state, BOX_PAUSED); /* nobody connects */
    }
    /* Containers: the networks of origins.allow, and never the machine itself. */
    provider_t docker = w->provider;
    docker.kind = PROVIDER_DOCKER;
    boxes_set_provider(w->boxes, PROVIDER_DOCKER, &docker);
    provider_box_t box = box_at("x", BOX_RUNNING, "::ffff:127.0.0.1");
    w->provider.handlers->box(w->boxes, &docker, &box);
    assert_int_equal(known(w, "x")->state, BOX_PAUSED);
    /* The same when all of IPv4 is allowed: 0.0.0.0 is this machine. */
    conf_network_t all = {.bits = 96};
    all.address.s6_addr[10] = all.address.s6_addr[11] = 0xff;
    conf_network_t *origins = w->conf->origins;
    size_t count = w->conf->origin_count;
    w->conf->origins = &all;
    w->conf->origin_count = 1;
    static const char *const here[] = {
        "::ffff:0.0.0.0", "::ffff:0.1.2.3", "::ffff:127.1.2.3", "::", "::1", "::ffff:169.254.169.254"};
    for (size_t i = 0; i < sizeof here / sizeof here[0]; i++) {
        box = box_at("y", BOX_RUNNING, here[i]);
        w->provider.handlers->box(w->boxes, &docker, &box);
        assert_int_equal(known(w, "y")->state, BOX_PAUSED);
    }
    w->conf->origins = origins;
    w->conf->origin_count = count;
    boxes_set_provider(w->boxes, PROVIDER_DOCKER, NULL);
}

static void generations(void **state)
{
    world_t *w = *state;
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    uint64_t first = known(w, "a")->generation;
    assert_true(first > 1000);
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    assert_int_equal(known(w, "a")->generation, first); /* nothing happened */
    tell(w, "a", BOX_PAUSED, "::ffff:127.0.0.1");
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    uint64_t second = known(w, "a")->generation;
    assert_true(second > first);
    provider_box_t box = box_at("a", BOX_RUNNING, "::ffff:127.0.0.1");
    box.renewed = true;
    w->provider.handlers->box(w->boxes, &w->provider, &box);
    assert_true(known(w, "a")->generation > second);
    uint64_t third = known(w, "a")->generation;
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.2");
    assert_true(known(w, "a")->generation > third);
}

static void what_a_listing_lacks_is_gone(void **state)
{
    world_t *w = *state;
    tell(w, "a", BOX_PAUSED, NULL);
    tell(w, "b", BOX_PAUSED, NULL);
    w->provider.handlers->sync_began(w->boxes, &w->provider);
    tell(w, "b", BOX_PAUSED, NULL);
    tell(w, "c", BOX_PAUSED, NULL);
    w->provider.handlers->sync_ended(w->boxes, &w->provider);
    assert_int_equal(known(w, "a")->state, BOX_GONE);
    assert_int_equal(known(w, "b")->state, BOX_PAUSED);
    assert_int_equal(known(w, "c")->state, BOX_PAUSED);
}

/* Its provider leaves with a reload while a question to it is open: nobody waits for an answer that never
 * comes. */
static void the_provider_goes(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    tell(w, "a", BOX_PAUSED, NULL);
    wake_coordinator_request(w->coordinator, 0, label(w, "a"), WAKE_WISH_WAKE, 0);
    assert_int_equal(w->resumes, 1);
    boxes_set_provider(w->boxes, PROVIDER_PROCESS, NULL);
    assert_int_equal(ended(w, 0, &got, 200), WAKE_GONE);
    boxes_set_provider(w->boxes, PROVIDER_PROCESS, &w->provider);
    /* The next provider is asked. */
    tell(w, "a", BOX_PAUSED, NULL);
    settle(w);
    wake_coordinator_request(w->coordinator, 0, label(w, "a"), WAKE_WISH_WAKE, 0);
    assert_int_equal(w->resumes, 2);
    answer(w, PROVIDER_OK, NULL);
}

typedef struct read_job {
    store_job_t job;
    store_result_t result;
    store_box_t box;
} read_job_t;

static void run_read(store_job_t *job, store_t *store)
{
    read_job_t *read = CONTAINER_OF(read_job_t, job, job);
    read->result = store_get_box(store, STR("a"), &read->box);
}

static void ignore_job(store_job_t *job)
{
    (void)job;
}

/* A provider has a box whose id the configuration takes over: the provider's reports on it are no longer
 * written. */
static void the_configuration_takes_its_id(void **state)
{
    world_t *w = *state;
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    settle(w);
    assert_int_equal(boxes_recorded(w->boxes, STR("a"))->state, BOX_RUNNING);
    conf_errors_t *errors = conf_errors_new();
    conf_t *next = conf_parse("test.yaml", STR(CONF "boxes:\n  - {id: a, address: 10.1.2.3}\n"), errors);
    conf_errors_free(&errors);
    assert_non_null(next);
    w->provider.set_conf = ignore_conf;
    boxes_set_conf(w->boxes, next);
    conf_release(&next);
    /* A listing without it: gone for the provider, but the store keeps the configuration's box. */
    w->provider.handlers->sync_began(w->boxes, &w->provider);
    w->provider.handlers->sync_ended(w->boxes, &w->provider);
    settle(w);
    assert_int_equal(known(w, "a")->state, BOX_GONE);
    assert_null(boxes_recorded(w->boxes, STR("a")));
    read_job_t read = {.job = {.run = run_read, .done = ignore_job}};
    assert_true(store_thread_add(w->store, &read.job));
    settle(w);
    assert_int_equal(read.result, STORE_OK);
    assert_int_equal(read.box.state, BOX_RUNNING);
    /* Given back, it is written again, though it has not changed. */
    boxes_set_conf(w->boxes, w->conf);
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    settle(w);
    assert_non_null(boxes_recorded(w->boxes, STR("a")));
}

/* More boxes than fit: they are refused, and forgotten again. */
static void too_many_boxes(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    provider_t http = w->provider;
    http.kind = PROVIDER_HTTP;
    store_box_t *many = calloc(BOXES_MAX, sizeof *many);
    assert_non_null(many);
    for (size_t i = 0; i < BOXES_MAX; i++) {
        many[i] = (store_box_t){.state = BOX_PAUSED, .provider = PROVIDER_HTTP, .generation = 1};
        snprintf(many[i].id, sizeof many[i].id, "b%zu", i);
    }
    boxes_t *full = boxes_new(w->loop, w->conf, w->store, w->worker_links, many, BOXES_MAX, 1000);
    wake_coordinator_t *coordinator =
        wake_coordinator_new(w->loop, w->conf, full, w->worker_links, NULL, shm_wakes(w->shm));
    boxes_set_provider(full, PROVIDER_HTTP, &http);
    free(many);
    wake_coordinator_request(coordinator, 0, label(w, "one-too-many"), WAKE_WISH_WAKE, 0);
    assert_int_equal(ended(w, 0, &got, 0), 0); /* not from within */
    assert_int_equal(ended(w, 0, &got, 1), WAKE_UNAVAILABLE);
    wake_coordinator_request(coordinator, 0, label(w, "one-too-many"), WAKE_WISH_WAKE,
                             0); /* it is remembered now */
    assert_int_equal(ended(w, 0, &got, 0), WAKE_UNAVAILABLE);
    assert_int_equal(w->resumes, 0);
    wake_coordinator_request(coordinator, 0, label(w, "another-one"), WAKE_WISH_WAKE,
                             0); /* its answer is never delivered */
    boxes_stop(full);
    wake_coordinator_free(&coordinator);
    boxes_free(&full);
}

typedef struct ends {
    unsigned count;
    provider_result_t last;
    char id[BOX_ID_MAX + 1];
} ends_t;

static void count_end(void *owner, str_t id, provider_result_t result, const char *sentence)
{
    ends_t *ends = owner;
    (void)sentence;
    ends->count++;
    ends->last = result;
    snprintf(ends->id, sizeof(ends->id), "%.*s", STR_ARG(id));
}

static const boxes_handlers_t counting = {.resumed = count_end};

/* A box without any report is not written before the answer. The answer still comes later than the call:
 * neither within the provider's call, nor within the walk over the boxes when the provider leaves. */
static void answers_of_boxes_that_nobody_told_of(void **state)
{
    world_t *w = *state;
    ends_t ends = {.count = 0};
    boxes_subscribe(w->boxes, &counting, &ends);
    provider_t http = w->provider;
    http.kind = PROVIDER_HTTP;
    http.resume = ignore_id;
    boxes_set_provider(w->boxes, PROVIDER_HTTP, &http);
    boxes_request_resume(w->boxes, STR("a"));
    http.handlers->resumed(w->boxes, &http, STR("a"), PROVIDER_UNAVAILABLE, "Not now.");
    assert_int_equal(ends.count, 0);
    loop_turn(w->loop, 0);
    assert_int_equal(ends.count, 1);
    assert_int_equal(ends.last, PROVIDER_UNAVAILABLE);
    boxes_request_resume(w->boxes, STR("b"));
    boxes_request_resume(w->boxes, STR("c"));
    boxes_set_provider(w->boxes, PROVIDER_HTTP, NULL);
    assert_int_equal(ends.count, 1);
    loop_turn(w->loop, 0);
    assert_int_equal(ends.count, 3);
    assert_int_equal(ends.last, PROVIDER_GONE);
    assert_string_equal(ends.id, "c");
}

/* ---- time ---- */

#define GONE_MS (5 * 60 * 1000)

static store_result_t read_box(world_t *w)
{
    read_job_t read = {.job = {.run = run_read, .done = ignore_job}};
    assert_true(store_thread_add(w->store, &read.job));
    settle(w);
    return read.result;
}

static void go_on(world_t *w, uint64_t ms)
{
    loop_skip(w->loop, ms);
    loop_turn(w->loop, 0);
}

static void boxes_gone_for_long_are_forgotten(void **state)
{
    world_t *w = *state;
    for (unsigned i = 0; i < 2; i++) {
        tell(w, "a", BOX_PAUSED, NULL);
        tell(w, "a", BOX_GONE, NULL);
        settle(w);
        go_on(w, GONE_MS / 2);
        assert_int_equal(read_box(w), STORE_OK);
        assert_int_equal(known(w, "a")->state, BOX_GONE);
        if (i == 0)
            tell(w, "a", BOX_PAUSED, NULL); /* it came back */
        go_on(w, GONE_MS);
        assert_int_equal(read_box(w), i == 0 ? STORE_OK : STORE_NOT_FOUND);
    }
    assert_null(boxes_find(w->boxes, STR("a")));
}

/* A box that the previous controller found gone, and did not live to forget. */
static void boxes_found_gone_are_forgotten(void **state)
{
    world_t *w = *state;
    store_box_t known = {.id = "a", .state = BOX_GONE, .provider = PROVIDER_PROCESS, .generation = 7};
    boxes_t *boxes = boxes_new(w->loop, w->conf, w->store, w->worker_links, &known, 1, 1000);
    go_on(w, GONE_MS / 2);
    settle(w);
    assert_non_null(boxes_find(boxes, STR("a")));
    go_on(w, GONE_MS / 2);
    settle(w);
    assert_null(boxes_find(boxes, STR("a")));
    boxes_stop(boxes);
    boxes_free(&boxes);
}

typedef struct previews_job {
    store_job_t job;
    unsigned left;
} previews_job_t;

static bool count_preview(const store_preview_t *preview, void *arg)
{
    (void)preview;
    ++*(unsigned *)arg;
    return true;
}

static void run_count(store_job_t *job, store_t *store)
{
    previews_job_t *previews = CONTAINER_OF(previews_job_t, job, job);
    assert_int_equal(store_each_preview(store, count_preview, &previews->left), STORE_OK);
}

/* More previews of "a" than one commit deletes, and one of another box. */
static void run_put(store_job_t *job, store_t *store)
{
    (void)job;
    for (uint16_t port = 1; port <= 130; port++) {
        store_preview_t preview = fixture_preview(port == 130 ? "ab" : "a", port);
        assert_int_equal(store_put_preview(store, &preview), STORE_OK);
    }
}

static unsigned count_previews(world_t *w)
{
    previews_job_t previews = {.job = {.run = run_count, .done = ignore_job}};
    assert_true(store_thread_add(w->store, &previews.job));
    settle(w);
    return previews.left;
}

static void boxes_gone_for_long_lose_their_previews(void **state)
{
    world_t *w = *state;
    store_job_t put = {.run = run_put, .done = ignore_job};
    assert_true(store_thread_add(w->store, &put));
    tell(w, "a", BOX_PAUSED, NULL);
    tell(w, "ab", BOX_PAUSED, NULL);
    tell(w, "a", BOX_GONE, NULL);
    settle(w);
    go_on(w, GONE_MS / 2);
    assert_int_equal(count_previews(w), 130); /* it may come back */
    go_on(w, GONE_MS);
    assert_int_equal(count_previews(w), 1);
}

/* A box that was only asked about. */
static void boxes_that_nobody_tells_of_are_forgotten(void **state)
{
    world_t *w = *state;
    provider_t http = w->provider;
    http.kind = PROVIDER_HTTP;
    http.resume = ignore_id;
    boxes_set_provider(w->boxes, PROVIDER_HTTP, &http);
    boxes_request_resume(w->boxes, STR("a"));
    go_on(w, GONE_MS / 2);
    assert_non_null(boxes_find(w->boxes, STR("a")));
    go_on(w, GONE_MS / 2);
    assert_null(boxes_find(w->boxes, STR("a")));
    boxes_set_provider(w->boxes, PROVIDER_HTTP, NULL);
}

/* Shuts the gate and fills the queue behind it; to be freed. */
static store_job_t *fill_store(world_t *w, store_gate_t *gate)
{
    store_job_t *jobs = calloc(STORE_JOBS_MAX, sizeof(*jobs));
    size_t count = 0;
    assert_non_null(jobs);
    store_gate_shut(w->store, gate);
    do {
        assert_true(count < STORE_JOBS_MAX);
        jobs[count] = (store_job_t){.run = settling_run, .done = ignore_job};
    } while (store_thread_add(w->store, &jobs[count++]));
    return jobs;
}

/* The thread continues, and all pending jobs are done. */
static void drain_store(world_t *w, store_gate_t *gate, store_job_t **jobs)
{
    settling_t settling = {.job = {.run = settling_run, .done = settling_done}};
    store_gate_open(gate);
    while (!store_thread_add(w->store, &settling.job))
        loop_turn(w->loop, 1);
    while (!settling.done)
        loop_turn(w->loop, 100);
    free(*jobs);
    *jobs = NULL;
}

static void what_the_store_cannot_take_is_tried_again(void **state)
{
    world_t *w = *state;
    store_gate_t gate;
    store_job_t *jobs = fill_store(w, &gate);
    tell(w, "a", BOX_PAUSED, NULL);
    go_on(w, 1000);
    assert_null(boxes_recorded(w->boxes, STR("a")));
    drain_store(w, &gate, &jobs);
    go_on(w, 1000);
    assert_int_equal(read_box(w), STORE_OK);
    assert_non_null(boxes_recorded(w->boxes, STR("a")));
    /* The queue of boxes to be forgotten. */
    tell(w, "a", BOX_GONE, NULL);
    settle(w);
    jobs = fill_store(w, &gate);
    go_on(w, GONE_MS);
    drain_store(w, &gate, &jobs);
    go_on(w, 1000);
    assert_int_equal(read_box(w), STORE_NOT_FOUND);
    assert_null(boxes_find(w->boxes, STR("a")));
}

int main(void)
{
#define TEST(name)                                                                                           \
    cmocka_unit_test_setup_teardown(name, wake_coordinator_world_setup, wake_coordinator_world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(addresses_that_are_not_allowed),
        TEST(generations),
        TEST(the_provider_goes),
        TEST(too_many_boxes),
        TEST(answers_of_boxes_that_nobody_told_of),
        TEST(the_configuration_takes_its_id),
        TEST(what_a_listing_lacks_is_gone),
        TEST(boxes_gone_for_long_are_forgotten),
        TEST(boxes_found_gone_are_forgotten),
        TEST(boxes_gone_for_long_lose_their_previews),
        TEST(boxes_that_nobody_tells_of_are_forgotten),
        TEST(what_the_store_cannot_take_is_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
