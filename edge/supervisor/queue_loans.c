/*
 * See queue_loans.h.
 */
#include "queue_loans.h"

#include <string.h>

static const queue_loans_step_t nothing = {.what = QUEUE_LOANS_NOTHING};

static unsigned loans_to(const queue_loans_t *loans, unsigned borrower)
{
    unsigned count = 0;
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        count += loans->of[i].borrower == borrower + 1;
    return count;
}

/* Returns the worker with room and the fewest loans; `count`: none. */
static unsigned find_borrower(const queue_loans_t *loans, const queue_loans_worker_t *workers, unsigned count)
{
    unsigned found = count, fewest = 0;
    for (unsigned i = 0; i < count; i++) {
        if (!workers[i].has_room)
            continue;
        unsigned has = loans_to(loans, i);
        if (found == count || has < fewest) {
            found = i;
            fewest = has;
        }
    }
    return found;
}

/* Ends the loan. The sockets come back from a process that still has them. */
static queue_loans_step_t end_loan(queue_loan_t *loan, unsigned owner, bool lives)
{
    queue_loans_step_t step = {.what = QUEUE_LOANS_TAKE_BACK, .owner = owner, .borrower = loan->borrower - 1};
    *loan = (queue_loan_t){.borrower = 0};
    return lives ? step : nothing;
}

static queue_loans_step_t next_for(queue_loans_t *loans, const queue_loans_worker_t *workers, unsigned count,
                                   unsigned owner)
{
    queue_loan_t *loan = &loans->of[owner];
    bool needs = owner < count && workers[owner].wanted && !workers[owner].accepts;
    if (loan->borrower != 0) {
        unsigned borrower = loan->borrower - 1;
        bool lives = borrower < count && workers[borrower].process == loan->process;
        if (needs && lives && workers[borrower].has_room)
            return nothing;
        queue_loans_step_t step = end_loan(loan, owner, lives);
        if (step.what != QUEUE_LOANS_NOTHING)
            return step;
    }
    unsigned borrower = needs ? find_borrower(loans, workers, count) : count;
    if (borrower == count)
        return nothing;
    *loan = (queue_loan_t){.borrower = borrower + 1, .process = workers[borrower].process};
    return (queue_loans_step_t){.what = QUEUE_LOANS_LEND, .owner = owner, .borrower = borrower};
}

queue_loans_step_t queue_loans_next(queue_loans_t *loans, const queue_loans_worker_t *workers, unsigned count)
{
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++) {
        queue_loans_step_t step = next_for(loans, workers, count, i);
        if (step.what != QUEUE_LOANS_NOTHING)
            return step;
    }
    return nothing;
}

void queue_loans_forget_loan(queue_loans_t *loans, unsigned owner, unsigned borrower)
{
    if (loans->of[owner].borrower == borrower + 1)
        loans->of[owner] = (queue_loan_t){.borrower = 0};
}

void queue_loans_forget(queue_loans_t *loans)
{
    memset(loans, 0, sizeof(*loans));
}
