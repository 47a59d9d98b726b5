/* The table among several processes: the admitted units keep to the plan over all processes and in every
 * window, an identity has one cell whichever process makes it, and a process may die or stop anywhere. */
#include <pthread.h>
#include <stdatomic.h>

#include "limit_fixture.h"
#include "single_step.h"

#define PROCESSES 4
#define SET       8
#define STEPS     2001

/* State that the processes of a test share beside the table. */
typedef struct meeting {
    pthread_barrier_t barrier;
    _Atomic unsigned wrong;
    _Atomic uint32_t admitted[STEPS]; /* units, by step */
    _Atomic uint32_t in_flight;
} meeting_t;

typedef void part_t(limit_t *limit, meeting_t *meeting, const void *arg, unsigned process);

/* Runs a part in PROCESSES children at the same time; none of them may report a violation. */
static void play(part_t *part, limit_t *limit, meeting_t *meeting, const void *arg)
{
    pthread_barrierattr_t shared;
    pid_t children[PROCESSES];
    pthread_barrierattr_init(&shared);
    pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    assert_int_equal(pthread_barrier_init(&meeting->barrier, &shared, PROCESSES), 0);
    for (unsigned i = 0; i < PROCESSES; i++) {
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            part(limit, meeting, arg, i);
            _exit(0);
        }
    }
    for (unsigned i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(meeting->wrong, 0);
}

/* ---- rates, with one clock that moves when all agree ---- */

typedef struct load {
    uint64_t interval_ns, step_ns;
    uint32_t burst, steps, tries; /* attempts of each process in a step */
    uint32_t cost;
} load_t;

static void play_load(limit_t *limit, meeting_t *meeting, const void *arg, unsigned process)
{
    const load_t *load = arg;
    limit_plan_t plan = {.interval_ns = load->interval_ns, .burst = load->burst};
    for (uint32_t step = 0; step < load->steps; step++) {
        pthread_barrier_wait(&meeting->barrier);
        for (uint32_t i = 0; i < load->tries; i++) {
            limit_ticket_t ticket;
            uint64_t now = T + step * load->step_ns;
            limit_result_t result = hold(limit, process, 5, &plan, load->cost, now, &ticket);
            if (result == LIMIT_ADMITTED)
                atomic_fetch_add(&meeting->admitted[step], load->cost);
            limit_release(limit, process, &ticket);
        }
    }
}

/* In every window at most burst + rate * W. Under constant overload also at least 0.99 of rate * W in each
 * window that is long enough. */
static void check_windows(const load_t *load, const meeting_t *meeting)
{
    uint64_t hundred = 100 * load->cost * load->interval_ns, enough = hundred > 10 * S ? hundred : 10 * S;
    for (uint32_t from = 0; from < load->steps; from++) {
        uint64_t units = 0;
        for (uint32_t to = from; to < load->steps; to++) {
            uint64_t window = (to - from) * load->step_ns;
            units += meeting->admitted[to];
            assert_true(units <= load->burst + window / load->interval_ns);
            if (window >= enough)
                assert_true((double)units >= 0.99 * (double)window / (double)load->interval_ns);
        }
    }
}

static void check_load(const load_t *load)
{
    limit_t *limit = limit_fixture_table_new(SET);
    meeting_t *meeting = limit_fixture_shared_new(sizeof(*meeting));
    assert_true(load->steps <= STEPS);
    assert_true((load->steps - 1) * load->step_ns > 10 * S);
    play(play_load, limit, meeting, load);
    check_windows(load, meeting);
    munmap(meeting, sizeof(*meeting));
    limit_fixture_table_free(limit, SET);
}

static void test_rates(void **state)
{
    (void)state;
    check_load(&(load_t){60 * S, 15 * S, 1, 601, 2, 1});        /* 1/min, for 150 minutes */
    check_load(&(load_t){S, 500 * MS, 3, 401, 2, 1});           /* 1/s */
    check_load(&(load_t){333333334, 70 * MS, 4, 601, 2, 2});    /* 3/s, two at a time */
    check_load(&(load_t){10 * MS, 25 * MS, 20, 801, 12, 1});    /* 100/s, for 20 s */
    check_load(&(load_t){100000, 20 * MS, 1000, 701, 12, 100}); /* 10,000/s, for 14 s */
}

/* ---- requests in flight ---- */

#define AT_A_TIME 3

static void play_in_flight(limit_t *limit, meeting_t *meeting, const void *arg, unsigned process)
{
    limit_plan_t plan = {.interval_ns = 0, .burst = 1, .in_flight = AT_A_TIME};
    (void)arg;
    pthread_barrier_wait(&meeting->barrier);
    for (unsigned i = 0; i < 20000; i++) {
        limit_ticket_t tickets[2] = {{0}};
        for (unsigned j = 0; j < 2; j++) {
            if (hold(limit, process, 5, &plan, 1, T, &tickets[j]) != LIMIT_ADMITTED)
                continue;
            if (atomic_fetch_add(&meeting->in_flight, 1) >= AT_A_TIME)
                meeting->wrong++;
            atomic_fetch_add(&meeting->admitted[process], 1);
        }
        for (unsigned j = 0; j < 2; j++) {
            if (tickets[j].cell != 0)
                atomic_fetch_sub(&meeting->in_flight, 1);
            limit_release(limit, process, &tickets[j]);
        }
    }
}

static void test_in_flight(void **state)
{
    (void)state;
    limit_t *limit = limit_fixture_table_new(SET);
    meeting_t *meeting = limit_fixture_shared_new(sizeof(*meeting));
    limit_plan_t plan = {.burst = 1, .in_flight = 1};
    limit_ticket_t ticket;
    play(play_in_flight, limit, meeting, NULL);
    assert_true(meeting->admitted[0] + meeting->admitted[1] + meeting->admitted[2] + meeting->admitted[3] >
                0);
    assert_int_equal(hold(limit, 0, 5, &plan, 1, T, &ticket), LIMIT_ADMITTED); /* nothing stays behind */
    munmap(meeting, sizeof(*meeting));
    limit_fixture_table_free(limit, SET);
}

/* ---- newcomers ---- */

#define ROUNDS 2000

/* A new identity each round, requested by all processes together while cells beside it become free and are
 * taken: it gets its burst once. */
static void play_newcomers(limit_t *limit, meeting_t *meeting, const void *arg, unsigned process)
{
    limit_plan_t plan = {.interval_ns = MS, .burst = 3};
    limit_ticket_t own, ticket;
    (void)arg;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint64_t now = T + round * 200 * MS;
        pthread_barrier_wait(&meeting->barrier);
        (void)hold(limit, process, 100 + process + 4 * (round % 5), &plan, 1, now, &own);
        for (unsigned i = 0; i < 3; i++) {
            if (i == process % 3)
                limit_release(limit, process, &own);
            if (hold(limit, process, 1000 + round, &plan, 1, now, &ticket) == LIMIT_ADMITTED)
                atomic_fetch_add(&meeting->admitted[round], 1);
            limit_release(limit, process, &ticket);
        }
        limit_release(limit, process, &own);
    }
}

static void test_newcomers(void **state)
{
    (void)state;
    limit_t *limit = limit_fixture_table_new(SET);
    meeting_t *meeting = limit_fixture_shared_new(sizeof(*meeting));
    play(play_newcomers, limit, meeting, NULL);
    for (uint32_t round = 0; round < ROUNDS; round++)
        assert_int_equal(meeting->admitted[round], 3);
    munmap(meeting, sizeof(*meeting));
    limit_fixture_table_free(limit, SET);
}

/* ---- one process stops between any two instructions, and another one runs ---- */

#define SLOW     50
#define NEWCOMER 60
#define OTHERS   1 /* and up */

static const limit_plan_t slow_plan = {.interval_ns = 10 * S, .burst = 5, .in_flight = 4};

/* One set, and the slow process's work in it. */
typedef struct scene {
    limit_t *limit;
    uint64_t now;
    uint32_t cost;
    limit_ticket_t *slows; /* shared */
    limit_ticket_t held;   /* by the process that prepared the scene, as worker 0 */
} scene_t;

static void act(void *arg)
{
    scene_t *scene = arg;
    (void)hold(scene->limit, 1, SLOW, &slow_plan, scene->cost, scene->now, scene->slows);
}

typedef struct drama {
    void (*prepare)(scene_t *scene);
    void (*other)(scene_t *scene);
    void (*check)(scene_t *scene); /* when both are done */
} drama_t;

static scene_t scene_new(const drama_t *drama)
{
    scene_t scene = {
        .limit = limit_fixture_table_new(SET), .now = T, .cost = 2, .slows = limit_fixture_shared_new(4096)};
    drama->prepare(&scene);
    return scene;
}

static void scene_free(scene_t *scene)
{
    munmap(scene->slows, 4096);
    limit_fixture_table_free(scene->limit, SET);
}

/* Times at which the other process runs. */
#define PLACES 40

static void play_everywhere(const drama_t *drama)
{
    scene_t alone = scene_new(drama);
    size_t steps = single_step(act, NULL, &alone, NULL, NULL);
    scene_free(&alone);
    for (size_t place = 0; place < PLACES; place++) {
        scene_t scene = scene_new(drama);
        pid_t child = step_begin(act, NULL, &scene);
        bool more = true;
        for (size_t i = 0; i < place * steps / PLACES && more; i++)
            more = step_once(child);
        drama->other(&scene);
        step_finish(child, !more);
        drama->check(&scene);
        scene_free(&scene);
    }
}

static void prepare_nothing(scene_t *scene)
{
    (void)scene;
}

static void same_takes_three(scene_t *scene)
{
    limit_state_t state;
    assert_int_equal(take(scene->limit, SLOW, &slow_plan, 3, T, &state), LIMIT_ADMITTED);
}

static void check_nothing_left(scene_t *scene)
{
    assert_int_not_equal(scene->slows->cell, 0);
    assert_int_equal(drain(scene->limit, SLOW, &slow_plan, T), 0);
}

/* A full set with two expired cells. The second one expired earlier, but has a request in flight. When that
 * ends, it is the better choice. */
static void prepare_two_choices(scene_t *scene, uint64_t first, uint64_t second)
{
    limit_ticket_t ticket;
    for (uint64_t n = 0; n < SET; n++) {
        uint64_t when = n == first ? T - 11 * S : n == second ? T - 13 * S : T;
        assert_int_equal(hold(scene->limit, 0, OTHERS + n, &slow_plan, 1, when, &ticket), LIMIT_ADMITTED);
        if (n == second)
            scene->held = ticket;
        else
            limit_release(scene->limit, 0, &ticket);
    }
}

static void prepare_better_behind(scene_t *scene)
{
    prepare_two_choices(scene, 1, 6);
}

static void prepare_better_before(scene_t *scene)
{
    prepare_two_choices(scene, 6, 1);
}

static void same_takes_three_there(scene_t *scene)
{
    limit_release(scene->limit, 0, &scene->held);
    same_takes_three(scene);
}

/* Later requests do not give an identity a second cell either, and its debt is not forgotten. */
static void test_one_identity_on_two_workers(void **state)
{
    (void)state;
    play_everywhere(&(drama_t){prepare_nothing, same_takes_three, check_nothing_left});
    play_everywhere(&(drama_t){prepare_better_behind, same_takes_three_there, check_nothing_left});
    play_everywhere(&(drama_t){prepare_better_before, same_takes_three_there, check_nothing_left});
}

/* A full set in which the slow process's cell is the next to be reused, and the only one. */
static void prepare_to_lose(scene_t *scene)
{
    limit_state_t state;
    assert_int_equal(take(scene->limit, SLOW, &slow_plan, 1, T - 11 * S, &state), LIMIT_ADMITTED);
    for (uint64_t n = 1; n < SET; n++)
        assert_int_equal(take(scene->limit, OTHERS + n, &slow_plan, 1, T, &state), LIMIT_ADMITTED);
}

static void newcomer_drains(scene_t *scene)
{
    assert_int_equal(drain(scene->limit, NEWCOMER, &slow_plan, T), 5);
}

/* One of the two has the cell, the other one draws on the shared bucket; neither pays for the other. */
static void check_both(scene_t *scene)
{
    limit_plan_t alone = slow_plan;
    limit_ticket_t ticket;
    alone.in_flight = 1;
    assert_int_not_equal(scene->slows->cell, 0);
    assert_int_not_equal(has(scene->limit, SLOW), has(scene->limit, NEWCOMER));
    assert_int_equal(drain(scene->limit, NEWCOMER, &slow_plan, T), 0);
    assert_int_equal(drain(scene->limit, SLOW, &slow_plan, T), 3);
    limit_release(scene->limit, 1, scene->slows);
    assert_int_equal(hold(scene->limit, 0, SLOW, &alone, 0, T, &ticket), LIMIT_ADMITTED);
    limit_release(scene->limit, 0, &ticket);
    assert_int_equal(hold(scene->limit, 0, NEWCOMER, &alone, 0, T, &ticket), LIMIT_ADMITTED);
}

static void test_cell_goes_meanwhile(void **state)
{
    (void)state;
    play_everywhere(&(drama_t){prepare_to_lose, newcomer_drains, check_both});
}

static void prepare_one_place(scene_t *scene)
{
    limit_ticket_t ticket;
    for (int i = 0; i < 3; i++)
        assert_int_equal(hold(scene->limit, 0, SLOW, &slow_plan, 0, T, &ticket), LIMIT_ADMITTED);
    scene->cost = 1;
}

static void same_holds(scene_t *scene)
{
    (void)!hold(scene->limit, 0, SLOW, &slow_plan, 1, T, &scene->held);
}

/* At most one of them has the cell, and only admitted requests took a unit. */
static void check_one_place(scene_t *scene)
{
    unsigned admitted = (scene->slows->cell != 0 ? 1u : 0u) + (scene->held.cell != 0 ? 1u : 0u);
    limit_plan_t plan = slow_plan;
    plan.in_flight = 0;
    assert_true(admitted <= 1);
    assert_int_equal(drain(scene->limit, SLOW, &plan, T), 5 - admitted);
}

static void test_last_place_in_flight(void **state)
{
    (void)state;
    play_everywhere(&(drama_t){prepare_one_place, same_holds, check_one_place});
}

/* ---- death ---- */

/* All but the counts of workers that these tests do not have. */
#define USED (limit_size(SET) - (LIMIT_WORKERS_MAX - 2) * 4096)

typedef struct death {
    scene_t scene;
    limit_t *copy, *last;
    unsigned least, most; /* units left to the slow process */
    unsigned left[SET];   /* to the others */
} death_t;

/* Worker 1 died here and was wiped. On a copy of the table that it left: it took its cost once or not at all,
 * others keep theirs, and no cell is lost forever. */
static void check_heirs(void *arg)
{
    death_t *death = arg;
    limit_t *limit = death->copy;
    limit_state_t state;
    if (memcmp(death->last, death->scene.limit, USED) == 0)
        return;
    memcpy(death->last, death->scene.limit, USED);
    memcpy(limit, death->last, USED);
    limit_worker_wipe(limit, 1);
    unsigned left = drain(limit, SLOW, &slow_plan, T);
    assert_true(left == death->least || left == death->most);
    assert_int_equal(drain(limit, NEWCOMER, &slow_plan, T), 5);
    for (uint64_t n = 0; n < SET; n++)
        if (has(death->scene.limit, OTHERS + n) && has(limit, OTHERS + n))
            assert_int_equal(drain(limit, OTHERS + n, &slow_plan, T), death->left[n]);
    limit_release(limit, 0, &(limit_ticket_t){.cell = death->scene.held.cell});
    for (uint64_t n = 0; n < SET; n++)
        assert_int_equal(take(limit, NEWCOMER + 1 + n, &slow_plan, 1, T + 60 * S, &state), LIMIT_ADMITTED);
    for (uint64_t n = 0; n < SET; n++)
        assert_true(has(limit, NEWCOMER + 1 + n));
}

static void die_everywhere(void (*prepare)(scene_t *scene), unsigned least, unsigned most)
{
    drama_t drama = {.prepare = prepare};
    death_t death = {.scene = scene_new(&drama), .least = least, .most = most};
    death.copy = limit_fixture_table_new(SET);
    death.last = limit_fixture_table_new(SET);
    memcpy(death.copy, death.scene.limit, USED);
    for (uint64_t n = 0; n < SET; n++)
        if (has(death.copy, OTHERS + n))
            death.left[n] = drain(death.copy, OTHERS + n, &slow_plan, T);
    memset(death.last, 0xff, USED);
    size_t steps = single_step(act, NULL, &death.scene, check_heirs, &death);
    assert_true(steps > 100);
    limit_fixture_table_free(death.copy, SET);
    limit_fixture_table_free(death.last, SET);
    scene_free(&death.scene);
}

static void prepare_known(scene_t *scene)
{
    limit_state_t state;
    assert_int_equal(take(scene->limit, SLOW, &slow_plan, 1, T, &state), LIMIT_ADMITTED);
    for (uint64_t n = 1; n < SET - 1; n++)
        assert_int_equal(take(scene->limit, OTHERS + n, &slow_plan, 1, T, &state), LIMIT_ADMITTED);
}

static void test_death(void **state)
{
    (void)state;
    die_everywhere(prepare_nothing, 3, 5);
    die_everywhere(prepare_known, 2, 4);
    die_everywhere(prepare_to_lose, 3, 5);
    die_everywhere(prepare_better_before, 3, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_in_flight),
        cmocka_unit_test(test_newcomers),
        cmocka_unit_test(test_one_identity_on_two_workers),
        cmocka_unit_test(test_cell_goes_meanwhile),
        cmocka_unit_test(test_last_place_in_flight),
        cmocka_unit_test(test_death),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
