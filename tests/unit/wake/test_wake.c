/* A worker's wakes: the repeated question, and the way of waiting requests to their box. The test moves the
 * loop's clock. */
#include "wake_world.h"

#define MANY 100

static unsigned dones;
static wake_result_t last_result;

static void on_done(wake_waiter_t *waiter, wake_result_t result, const wake_answer_t *answer)
{
    (void)waiter;
    (void)answer;
    dones++;
    last_result = result;
}

static int setup(void **state)
{
    wake_world_t *w = wake_world_new();
    loop_hold(w->worker->context.loop);
    w->worker->context.conf->wake.waiters = w->worker->context.conf->wake.waiters_per_box = MANY;
    dones = 0;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    wake_world_free(*state);
    return 0;
}

static void wait_many(wake_world_t *w, wake_waiter_t *waiters, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        waiters[i] = (wake_waiter_t){.done = on_done};
        assert_true(wake_wait(w->worker->wake_client, &waiters[i], STR("box"), 3000, 1));
    }
}

/* The question may be lost, or the controller may be another one by now. */
static void asked_again_while_somebody_waits(void **state)
{
    wake_world_t *w = *state;
    wake_waiter_t waiters[2];
    wait_many(w, waiters, 2);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(wake_world_asked(w), WAKE_WISH_WAKE);
        wake_world_skip(w, 999);
        assert_int_equal(wake_world_asked(w), -1);
        wake_world_skip(w, 1);
    }
    assert_int_equal(wake_world_asked(w), WAKE_WISH_WAKE);
    wake_leave(&waiters[0]);
    wake_world_skip(w, 1000);
    assert_int_equal(wake_world_asked(w), WAKE_WISH_WAKE);
    wake_leave(&waiters[1]);
    wake_world_skip(w, 1000);
    assert_int_equal(wake_world_asked(w), -1);
    assert_int_equal(dones, 0);
}

/* A bounded number at a time, more as answers come, and some more in any case. */
static void those_who_waited_go_in_portions(void **state)
{
    wake_world_t *w = *state;
    wake_waiter_t waiters[MANY];
    wait_many(w, waiters, MANY);
    wake_world_ends(w, WAKE_OK, NULL);
    assert_int_equal(dones, 0); /* not from within */
    wake_world_skip(w, 0);
    assert_int_equal(dones, 32);
    wake_world_skip(w, 99);
    assert_int_equal(dones, 32);
    wake_world_skip(w, 1);
    assert_int_equal(dones, 48);
    for (unsigned i = 0; i < 16; i++)
        wake_leave(&waiters[i]);
    wake_world_skip(w, 0);
    assert_int_equal(dones, 48); /* 32 are still under way */
    wake_leave(&waiters[16]);
    wake_world_skip(w, 0);
    assert_int_equal(dones, 64);
    wake_world_skip(w, 100);
    wake_world_skip(w, 100);
    assert_int_equal(dones, 96);
    wake_world_skip(w, 100);
    assert_int_equal(dones, MANY);
    assert_int_equal(last_result, WAKE_OK);
    for (unsigned i = 17; i < MANY; i++)
        wake_leave(&waiters[i]);
}

static void nobody_waits_for_another_edge(void **state)
{
    wake_world_t *w = *state;
    wake_waiter_t waiters[2], late[1];
    wait_many(w, waiters, 2);
    wake_client_give_up(w->worker->wake_client);
    assert_int_equal(dones, 0);
    wake_world_skip(w, 0);
    assert_int_equal(dones, 2);
    assert_int_equal(last_result, WAKE_UNAVAILABLE);
    wait_many(w, late, 1);
    wake_world_skip(w, 0);
    assert_int_equal(dones, 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(asked_again_while_somebody_waits),
        TEST(those_who_waited_go_in_portions),
        TEST(nobody_waits_for_another_edge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
