/*
 * Queues of workers that cannot accept: carries out the decisions of queue_loans.h. See
 * supervisor_internal.h.
 */
#include "supervisor_internal.h"

#include "process.h"

/* Whether the queue of `child` is served, or will be in a moment. */
static bool accepts(const supervisor_t *s, const child_slot_t *child, uint64_t now_ms)
{
    if (child->state == CHILD_WAITING || child->slot == NULL)
        return child->due_ms <= now_ms + QUEUE_LOANS_START_MS;
    uint64_t seen = child_heartbeat_ms(child, now_ms);
    seen = seen > s->watch_from_ms ? seen : s->watch_from_ms;
    return now_ms <= seen + PROCESS_SILENT_MS && atomic_load(&child->slot->full) == 0;
}

static void lend(supervisor_t *s, unsigned owner, unsigned borrower)
{
    int fds[PROCESS_LISTENERS_MAX];
    for (size_t i = 0; i < s->listeners->of_workers; i++)
        fds[i] = s->listeners->at[i].fds[owner];
    child_send(&s->workers[borrower], PROCESS_QUEUE, owner, STR(""), fds, s->listeners->of_workers);
}

void queues_turn(supervisor_t *s, uint64_t now_ms)
{
    queue_loans_worker_t workers[SHM_WORKERS_MAX];
    queue_loans_step_t step;
    unsigned count = s->snapshot->conf->workers;

    if (s->state != SUPERVISOR_SERVING && s->state != SUPERVISOR_UPGRADING)
        return;
    for (unsigned i = 0; i < count; i++) {
        const child_slot_t *child = &s->workers[i];
        /* One that drains in its place, for lack of another, has sockets that nobody accepts from. */
        bool wanted = child->wanted && child->state != CHILD_EMPTY;
        bool accepting = wanted && child->state != CHILD_DRAINING && accepts(s, child, now_ms);
        workers[i] = (queue_loans_worker_t){
            .wanted = wanted,
            .accepts = accepting,
            .has_room = accepting && child->state == CHILD_READY && !child->killed &&
                        child->generation == s->generation,
            .process = (int32_t)child->pid,
        };
    }
    while ((step = queue_loans_next(&s->loans, workers, count)).what != QUEUE_LOANS_NOTHING) {
        if (step.what == QUEUE_LOANS_LEND)
            lend(s, step.owner, step.borrower);
        else
            child_send(&s->workers[step.borrower], PROCESS_QUEUE_BACK, step.owner, STR(""), NULL, 0);
    }
}
