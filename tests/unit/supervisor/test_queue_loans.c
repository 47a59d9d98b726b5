/* Which worker accepts from the queue of a worker that cannot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "queue_loans.h"

#define WORKERS 4

static queue_loans_t loans;
static queue_loans_worker_t workers[WORKERS];

static int set_up(void **state)
{
    (void)state;
    queue_loans_forget(&loans);
    for (int i = 0; i < WORKERS; i++)
        workers[i] =
            (queue_loans_worker_t){.wanted = true, .accepts = true, .has_room = true, .process = 100 + i};
    return 0;
}

static void stop(unsigned i)
{
    workers[i].accepts = workers[i].has_room = false;
}

static void expect(int what, unsigned owner, unsigned borrower)
{
    queue_loans_step_t step = queue_loans_next(&loans, workers, WORKERS);
    assert_int_equal(step.what, what);
    if (what != QUEUE_LOANS_NOTHING) {
        assert_int_equal(step.owner, owner);
        assert_int_equal(step.borrower, borrower);
    }
}

static void expect_nothing(void)
{
    expect(QUEUE_LOANS_NOTHING, 0, 0);
}

static void a_queue_is_lent_once_and_taken_back(void **state)
{
    (void)state;
    expect_nothing();
    stop(1);
    expect(QUEUE_LOANS_LEND, 1, 0);
    expect_nothing();
    workers[1].accepts = true;
    expect(QUEUE_LOANS_TAKE_BACK, 1, 0);
    expect_nothing();
}

static void loans_are_spread(void **state)
{
    (void)state;
    stop(0);
    stop(2);
    expect(QUEUE_LOANS_LEND, 0, 1);
    expect(QUEUE_LOANS_LEND, 2, 3);
    expect_nothing();
    stop(3); /* it borrowed one: the loan continues, and its own follows */
    expect(QUEUE_LOANS_TAKE_BACK, 2, 3);
    expect(QUEUE_LOANS_LEND, 2, 1);
    expect(QUEUE_LOANS_LEND, 3, 1);
    expect_nothing();
}

static void a_dead_borrower_returns_nothing(void **state)
{
    (void)state;
    stop(0);
    expect(QUEUE_LOANS_LEND, 0, 1);
    workers[1].process = 999; /* its successor has no sockets of others */
    expect(QUEUE_LOANS_LEND, 0, 1);
    expect_nothing();
    stop(1);
    workers[1].process = 0;
    expect(QUEUE_LOANS_LEND, 0, 2);
    expect(QUEUE_LOANS_LEND, 1, 3);
    expect_nothing();
}

static void without_room_anywhere_queues_wait(void **state)
{
    (void)state;
    for (unsigned i = 0; i < WORKERS; i++)
        stop(i);
    expect_nothing();
    workers[2].accepts = true; /* for itself only: it starts */
    expect_nothing();
    workers[2].has_room = true;
    expect(QUEUE_LOANS_LEND, 0, 2);
    expect(QUEUE_LOANS_LEND, 1, 2);
    expect(QUEUE_LOANS_LEND, 3, 2);
    expect_nothing();
}

static void an_unwanted_worker_has_no_queue(void **state)
{
    (void)state;
    stop(3);
    expect(QUEUE_LOANS_LEND, 3, 0);
    workers[3].wanted = false;
    expect(QUEUE_LOANS_TAKE_BACK, 3, 0);
    expect_nothing();
}

static void fewer_workers_end_loans(void **state)
{
    (void)state;
    stop(3);
    expect(QUEUE_LOANS_LEND, 3, 0);
    assert_int_equal(queue_loans_next(&loans, workers, 2).what, QUEUE_LOANS_TAKE_BACK);
    assert_int_equal(queue_loans_next(&loans, workers, 2).what, QUEUE_LOANS_NOTHING);
}

static void what_was_forgotten_is_lent_again(void **state)
{
    (void)state;
    stop(3);
    expect(QUEUE_LOANS_LEND, 3, 0);
    queue_loans_forget_loan(&loans, 3, 1);
    expect_nothing();
    queue_loans_forget_loan(&loans, 2, 0);
    expect_nothing();
    queue_loans_forget_loan(&loans, 3, 0);
    expect(QUEUE_LOANS_LEND, 3, 0);
    queue_loans_forget(&loans);
    expect(QUEUE_LOANS_LEND, 3, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_queue_is_lent_once_and_taken_back, set_up),
        cmocka_unit_test_setup(loans_are_spread, set_up),
        cmocka_unit_test_setup(a_dead_borrower_returns_nothing, set_up),
        cmocka_unit_test_setup(without_room_anywhere_queues_wait, set_up),
        cmocka_unit_test_setup(an_unwanted_worker_has_no_queue, set_up),
        cmocka_unit_test_setup(fewer_workers_end_loans, set_up),
        cmocka_unit_test_setup(what_was_forgotten_is_lent_again, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
