/*
 * Messages of the supervisor that arrived without their descriptors, because their receiver had
 * none free (descriptors.h). The supervisor repeats them each second until they arrive whole, so
 * that a reload ends and a rotated log is opened.
 */
#include "supervisor_internal.h"

#include "clock.h"
#include "process.h"
#include "process_log.h"

#define AGAIN_MS 1000

static void note(child_slot_t *child, uint32_t type)
{
    if (child->lost == 0)
        child->lost_due_ms = clock_now_ms() + AGAIN_MS;
    child->lost |= UINT32_C(1) << type;
}

void lost_note(supervisor_t *s, child_slot_t *child, uint64_t value)
{
    uint32_t type = value & 0xff;
    uint64_t worker = value >> 8;
    if (child->kind == CHILD_CONTROLLER && type == PROCESS_LINK) {
        for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
            if (child_alive(&s->workers[i]) && s->workers[i].number == worker)
                note(&s->workers[i], type); /* both ends of that channel are made anew */
        note(child, type);                  /* or of an old edge's worker */
    } else if (type == PROCESS_CONF || type == PROCESS_LOG || type == PROCESS_LINK ||
               type == PROCESS_RUNNER) {
        note(child, type);
    } else if (type == PROCESS_QUEUE) {
        if (child->state != CHILD_DRAINING && worker < SHM_WORKERS_MAX)
            queue_loans_forget_loan(&s->loans, (unsigned)worker, child->index);
    } else {
        process_log(LOG_MESSAGE_LOST, NULL, "%s lost a message of type %u, which brings no descriptors",
                    child->name, (unsigned)type);
    }
}

static bool take(uint32_t *lost, uint32_t type)
{
    bool was = (*lost & UINT32_C(1) << type) != 0;
    *lost &= ~(UINT32_C(1) << type);
    return was;
}

static void repeat(supervisor_t *s, child_slot_t *child, uint64_t now_ms)
{
    if (child->lost == 0 || now_ms < child->lost_due_ms || s->state == SUPERVISOR_DRAINING)
        return;
    if (take(&child->lost, PROCESS_CONF) && child->generation != s->generation)
        reload_send_conf(s, child);
    if (take(&child->lost, PROCESS_LOG))
        reload_send_log(s, child);
    bool link = take(&child->lost, PROCESS_LINK), runner = take(&child->lost, PROCESS_RUNNER);
    if (link && child->kind == CHILD_WORKER)
        supervise_join_worker(s, child);
    else if (link && child->kind == CHILD_CONTROLLER)
        elders_join(s);
    else if (link || runner)
        supervise_join_runner(s);
}

void lost_repeat(supervisor_t *s, uint64_t now_ms)
{
    repeat(s, &s->controller, now_ms);
    repeat(s, &s->runner, now_ms);
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        repeat(s, &s->workers[i], now_ms);
}
