/*
 * Queues of workers that cannot accept. The kernel spreads new connections over the sockets of an
 * address (SO_REUSEPORT), whether or not their workers accept. While a worker is dead, silent or
 * full, another one that has room accepts from its queue as well: the supervisor lends it the
 * listening sockets (PROCESS_QUEUE), and takes them back (PROCESS_QUEUE_BACK).
 */
#ifndef BOXEDGE_QUEUE_LOANS_H
#define BOXEDGE_QUEUE_LOANS_H

#include "shm.h"

/* A worker that starts sooner gets its queue itself. */
#define QUEUE_LOANS_START_MS 100u

/* The facts about one worker that decide a loan. */
typedef struct queue_loans_worker {
    bool wanted; /* has sockets */
    bool accepts;
    bool has_room;   /* accepts, and may accept for another */
    int32_t process; /* changes with each process; 0: none */
} queue_loans_worker_t;

/* The borrower of one worker's queue. Zero-filled: none. */
typedef struct queue_loan {
    unsigned borrower; /* index + 1; 0: none */
    int32_t process;   /* of the borrower when it got the sockets */
} queue_loan_t;

typedef struct queue_loans {
    queue_loan_t of[SHM_WORKERS_MAX];
} queue_loans_t;

/* One step that the supervisor has to take. */
typedef struct queue_loans_step {
    enum { QUEUE_LOANS_NOTHING, QUEUE_LOANS_LEND, QUEUE_LOANS_TAKE_BACK } what;
    unsigned owner, borrower;
} queue_loans_step_t;

/*
 * Returns the next step for workers[0..count), and assumes that it is taken; QUEUE_LOANS_NOTHING:
 * all is done. A queue of a worker that cannot accept goes to the one with room that has the fewest
 * loans. It comes back when its owner accepts again, or when the borrower no longer has room.
 */
queue_loans_step_t queue_loans_next(queue_loans_t *loans, const queue_loans_worker_t *workers,
                                    unsigned count);
/* The borrower got the message without the sockets: this loan begins anew. */
void queue_loans_forget_loan(queue_loans_t *loans, unsigned owner, unsigned borrower);
/* All borrowers have closed the borrowed sockets, as they do on a new configuration. */
void queue_loans_forget(queue_loans_t *loans);

#endif
