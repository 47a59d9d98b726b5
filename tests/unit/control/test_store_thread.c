/* The controller's thread: jobs are done in order, changes share commits, and a full store can still be
 * emptied. */
#include "store_gate.h"

#include <errno.h>
#include <fcntl.h>

#include "list.h"

typedef struct world {
    fixture_t dirs;
    loop_t *loop;
    shm_t *shm;
    store_thread_t *thread;
} world_t;

typedef struct test_job {
    store_job_t job;
    unsigned *order; /* number of jobs done before */
    unsigned done_as;
    uint64_t seen; /* by `run`: previews in the store */
    uint64_t epoch_at_done;
    const world_t *world;
} test_job_t;

static void open_world(world_t *w, uint64_t map_bytes)
{
    static const uint8_t seed[16];
    fixture_make(&w->dirs);
    fixture_open(&w->dirs, map_bytes);
    w->loop = loop_new();
    w->shm = shm_new(seed);
    assert_non_null(w->shm);
    w->thread = store_thread_new(w->loop, w->dirs.store, w->shm);
    assert_non_null(w->thread);
    w->dirs.store = NULL; /* the thread's */
}

static void close_world(world_t *w)
{
    store_thread_free(&w->thread);
    assert_null(w->thread);
    loop_turn(w->loop, 0);
    loop_free(&w->loop);
    shm_free(&w->shm);
    fixture_remove(&w->dirs);
}

static void done(store_job_t *job)
{
    test_job_t *test = CONTAINER_OF(test_job_t, job, job);
    test->done_as = ++*test->order;
    test->epoch_at_done = atomic_load(shm_epoch(test->world->shm));
}

static void make_change(test_job_t *test, const world_t *w, unsigned *order, bool remove, uint16_t port)
{
    *test = (test_job_t){.order = order, .world = w, .job = {.done = done}};
    test->job.change.remove = remove;
    memcpy(test->job.change.preview.id, "box", 4);
    test->job.change.preview.port = port;
}

static bool count_one(const store_preview_t *preview, void *arg)
{
    (void)preview;
    ++*(uint64_t *)arg;
    return true;
}

static void count_previews(store_job_t *job, store_t *store)
{
    test_job_t *test = CONTAINER_OF(test_job_t, job, job);
    if (store_each_preview(store, count_one, &test->seen) != STORE_OK)
        test->seen = UINT64_MAX;
}

static void make_count(test_job_t *test, const world_t *w, unsigned *order)
{
    *test = (test_job_t){.order = order, .world = w, .job = {.run = count_previews, .done = done}};
}

static void turn_until(world_t *w, const unsigned *order, unsigned wanted)
{
    for (int i = 0; i < 2000 && *order < wanted; i++)
        loop_turn(w->loop, 10);
    assert_int_equal(*order, wanted);
}

static void jobs_are_done_in_order(void **state)
{
    (void)state;
    world_t w = {0};
    open_world(&w, FIXTURE_MAP_BYTES);
    unsigned order = 0;
    test_job_t jobs[6];
    make_change(&jobs[0], &w, &order, false, 1);
    make_change(&jobs[1], &w, &order, false, 2);
    make_count(&jobs[2], &w, &order);
    make_change(&jobs[3], &w, &order, true, 1);
    make_change(&jobs[4], &w, &order, true, 9);
    make_count(&jobs[5], &w, &order);
    for (size_t i = 0; i < 6; i++)
        assert_true(store_thread_add(w.thread, &jobs[i].job));
    assert_int_equal(order, 0); /* `done` comes from the loop only */
    turn_until(&w, &order, 6);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(jobs[i].done_as, i + 1);
    assert_int_equal(jobs[0].job.change.result, STORE_OK);
    assert_true(jobs[0].job.change.preview.version < jobs[1].job.change.preview.version);
    assert_int_equal(jobs[2].seen, 2);
    assert_int_equal(jobs[3].job.change.result, STORE_OK);
    assert_int_equal(jobs[4].job.change.result, STORE_NOT_FOUND);
    assert_int_equal(jobs[5].seen, 1);
    /* Workers are notified before a job counts as done: once for each of at most four commits. */
    assert_in_range(jobs[0].epoch_at_done, 1, 4);
    close_world(&w);
}

/* While the thread is busy, changes gather and then share a commit. */
static void changes_share_commits(void **state)
{
    (void)state;
    world_t w = {0};
    open_world(&w, FIXTURE_MAP_BYTES);
    unsigned order = 0;
    store_gate_t gate;
    store_gate_shut(w.thread, &gate);
    static test_job_t jobs[2 * STORE_BATCH_MAX];
    for (uint16_t i = 0; i < 2 * STORE_BATCH_MAX; i++) {
        make_change(&jobs[i], &w, &order, false, (uint16_t)(i + 1));
        assert_true(store_thread_add(w.thread, &jobs[i].job));
    }
    store_gate_open(&gate);
    turn_until(&w, &order, 2 * STORE_BATCH_MAX);
    /* A commit bumps the epoch once. */
    assert_in_range(atomic_load(shm_epoch(w.shm)), 2, 3);
    for (size_t i = 0; i < 2 * STORE_BATCH_MAX; i++)
        assert_int_equal(jobs[i].job.change.result, STORE_OK);
    close_world(&w);
}

static void the_queue_is_bounded(void **state)
{
    (void)state;
    world_t w = {0};
    open_world(&w, FIXTURE_MAP_BYTES);
    unsigned order = 0;
    static test_job_t jobs[STORE_JOBS_MAX];
    test_job_t *last = &jobs[STORE_JOBS_MAX - 1]; /* one too many: the gate counts, too */
    store_gate_t gate;
    store_gate_shut(w.thread, &gate);
    for (size_t i = 0; i < STORE_JOBS_MAX; i++)
        make_count(&jobs[i], &w, &order);
    for (size_t i = 0; i < STORE_JOBS_MAX - 1; i++)
        assert_true(store_thread_add(w.thread, &jobs[i].job));
    assert_false(store_thread_add(w.thread, &last->job));
    store_gate_open(&gate);
    turn_until(&w, &order, STORE_JOBS_MAX - 1);
    assert_true(store_thread_add(w.thread, &last->job));
    turn_until(&w, &order, STORE_JOBS_MAX);
    close_world(&w);
}

static void free_does_what_waits(void **state)
{
    (void)state;
    world_t w = {0};
    open_world(&w, FIXTURE_MAP_BYTES);
    unsigned order = 0;
    static test_job_t jobs[100];
    for (uint16_t i = 0; i < 100; i++) {
        make_change(&jobs[i], &w, &order, false, (uint16_t)(i + 1));
        assert_true(store_thread_add(w.thread, &jobs[i].job));
    }
    store_thread_free(&w.thread);
    assert_int_equal(order, 100);
    fixture_open(&w.dirs, FIXTURE_MAP_BYTES);
    uint64_t found = 0;
    assert_int_equal(store_each_preview(w.dirs.store, count_one, &found), STORE_OK);
    assert_int_equal(found, 100);
    close_world(&w);
}

/* A delete still succeeds in one batch with a change that does not fit. */
static void a_full_store_lets_go(void **state)
{
    (void)state;
    world_t w = {0};
    open_world(&w, 1u << 20);
    unsigned order = 0;
    test_job_t one;
    uint16_t port = 0;
    do {
        make_change(&one, &w, &order, false, ++port);
        assert_true(port < 60000);
        assert_true(store_thread_add(w.thread, &one.job));
        turn_until(&w, &order, port);
    } while (one.job.change.result == STORE_OK);
    assert_int_equal(one.job.change.result, STORE_FULL);

    static test_job_t jobs[199];
    store_gate_t gate;
    order = 0;
    store_gate_shut(w.thread, &gate);
    make_change(&jobs[0], &w, &order, true, 1);
    for (uint16_t i = 1; i < 199; i++)
        make_change(&jobs[i], &w, &order, false, (uint16_t)(port + i));
    for (size_t i = 0; i < 199; i++)
        assert_true(store_thread_add(w.thread, &jobs[i].job));
    store_gate_open(&gate);
    turn_until(&w, &order, 199);
    assert_int_equal(jobs[0].job.change.result, STORE_OK);
    unsigned full = 0;
    for (size_t i = 1; i < 199; i++)
        full += jobs[i].job.change.result == STORE_FULL;
    assert_in_range(full, 1, 198);
    close_world(&w);
}

static store_thread_t *ending;
static bool took_more;

static void try_more(store_job_t *job)
{
    took_more = store_thread_add(ending, job);
}

/* A job whose follow-up work comes after the thread's last jobs: that work has no thread any more. */
/* Damage that only the controller finds makes the node unready, too. */
static void damage_is_reported(void **state)
{
    (void)state;
    world_t w = {0};
    unsigned order = 0;
    char path[160], zeros[4096] = "";
    open_world(&w, FIXTURE_MAP_BYTES);
    test_job_t put, look;
    make_change(&put, &w, &order, false, 80);
    assert_true(store_thread_add(w.thread, &put.job));
    turn_until(&w, &order, 1);
    assert_int_equal(store_health_bad_pages(shm_store_health(w.shm)), 0);
    snprintf(path, sizeof(path), "%s/data.mdb", w.dirs.durable);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    for (off_t at = 8192; at < lseek(fd, 0, SEEK_END); at += 4096)
        assert_int_equal(pwrite(fd, zeros, sizeof(zeros), at), sizeof(zeros));
    close(fd);
    make_count(&look, &w, &order);
    assert_true(store_thread_add(w.thread, &look.job));
    turn_until(&w, &order, 2);
    assert_int_equal(look.seen, UINT64_MAX);
    assert_int_equal(store_health_bad_pages(shm_store_health(w.shm)), STORE_PART(STORE_PART_PREVIEWS));
    /* LMDB, which such a page can end, does not get the change. */
    make_change(&put, &w, &order, false, 81);
    assert_true(store_thread_add(w.thread, &put.job));
    turn_until(&w, &order, 3);
    assert_int_equal(put.job.change.result, STORE_FAILED);
    assert_int_equal(put.job.change.disk_error, EUCLEAN);
    close_world(&w);
}

static void the_end_takes_no_more(void **state)
{
    (void)state;
    world_t w;
    unsigned order = 0;
    test_job_t job;
    open_world(&w, FIXTURE_MAP_BYTES);
    make_change(&job, &w, &order, false, 1);
    job.job.done = try_more;
    ending = w.thread;
    took_more = true;
    assert_true(store_thread_add(w.thread, &job.job));
    close_world(&w);
    assert_false(took_more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_are_done_in_order), cmocka_unit_test(changes_share_commits),
        cmocka_unit_test(the_queue_is_bounded),   cmocka_unit_test(free_does_what_waits),
        cmocka_unit_test(a_full_store_lets_go),   cmocka_unit_test(the_end_takes_no_more),
        cmocka_unit_test(damage_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
