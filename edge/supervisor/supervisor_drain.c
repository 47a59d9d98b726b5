/*
 * The end of an edge: by order, or because a new binary serves. Then its workers live on for open requests
 * and tunnels. See supervisor_internal.h.
 */
#include <inttypes.h>
#include <signal.h>
#include <sys/prctl.h>

#include "clock.h"
#include "process.h"
#include "process_log.h"
#include "sd_notify.h"
#include "supervisor_internal.h"

#define CONTROLLER_DRAIN_MS 5000u
/* Old edges end by themselves; after this much more than timeouts.drain they are killed. */
#define ELDERS_DRAIN_MARGIN_MS 4000u
/* Margin of notify_end for the last writes. */
#define END_SLACK_MS 5000u

static void kill_all(supervisor_t *s)
{
    child_kill(&s->controller);
    child_kill(&s->runner);
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        child_kill(&s->workers[i]);
    if (s->predecessor_fd < 0)
        elders_kill(s);
    if (s->upgrade_pid != 0 && !s->handed_over)
        kill(s->upgrade_pid, SIGKILL);
}

/* The time of open requests and tunnels. */
static uint32_t open_ms(const supervisor_t *s)
{
    const conf_t *conf = s->snapshot->conf;
    uint32_t drain = conf->timeouts.drain, tunnels = conf->timeouts.drain_tunnels;
    return s->keeps_open && tunnels > drain ? tunnels : drain;
}

/* Handed over: the title, and the entry for `boxedge status`. */
static void become_old(supervisor_t *s)
{
    prctl(PR_SET_NAME, "boxedge-old", 0, 0, 0);
    atomic_store(&shm_own_edge(s->shm)->open_until_ms, clock_now_ms() + open_ms(s));
}

void supervisor_hasten(supervisor_t *s)
{
    if (!s->keeps_open)
        return;
    s->keeps_open = false;
    become_old(s);
    process_log(LOG_DRAIN_TUNNELS, NULL, "open requests and WebSockets have %u ms", (unsigned)open_ms(s));
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        supervise_drain_worker(s, &s->workers[i], 0);
}

/* The edge ends: so do the old ones, in the same time. */
static void end_elders(supervisor_t *s)
{
    if (s->handed_over || s->predecessor_fd >= 0)
        return;
    elders_end(s, 0);
    s->elders_due_ms = clock_now_ms() + s->snapshot->conf->timeouts.drain + ELDERS_DRAIN_MARGIN_MS;
}

/* Workers of an edge that has handed over. */
static unsigned drain_flags(const supervisor_t *s)
{
    if (!s->handed_over) /* a new binary that fails leaves the queues to its predecessor */
        return s->predecessor_fd >= 0 ? PROCESS_DRAIN_OTHERS_ACCEPT : 0;
    /* The successor may have fewer listeners or workers: nobody else would accept the queues of the others.
     */
    return (s->keeps_open ? PROCESS_DRAIN_KEEPS_OPEN : 0) |
           (s->upgrade_shares ? 0 : PROCESS_DRAIN_NO_CONTROLLER);
}

/* Has the service manager wait for the end as long as the configuration lets it take: workers and old
 * edges, then controller and process boxes. Its own limit holds if that is longer. */
static void notify_end(uint32_t drain_ms)
{
    char state[96];
    uint64_t most_ms =
        (uint64_t)drain_ms + ELDERS_DRAIN_MARGIN_MS + CONTROLLER_DRAIN_MS + RUNNER_DRAIN_MS + END_SLACK_MS;
    snprintf(state, sizeof(state), "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRIu64, most_ms * 1000);
    sd_notify_send(state);
}

void supervisor_drain(supervisor_t *s)
{
    uint32_t within = open_ms(s);
    if (s->state == SUPERVISOR_DRAINING && s->keeps_open) {
        supervisor_hasten(s);
        return;
    }
    if (s->state == SUPERVISOR_DRAINING) {
        process_log(LOG_DRAIN_CUT, NULL, "second signal to end: ending without waiting");
        kill_all(s);
        return;
    }
    if (s->upgrade_pid != 0 && !s->handed_over)
        kill(s->upgrade_pid, SIGKILL);
    supervisor_set_state(s, SUPERVISOR_DRAINING);
    process_log(LOG_DRAIN_STARTED, NULL, "draining: open requests and WebSockets have %u ms",
                (unsigned)within);
    if (!s->handed_over)
        notify_end(within);
    /* Close ours first, so that a socket closes when its worker closes it. */
    listener_set_free(&s->listeners);
    passed_sockets_close(&s->passed);
    end_elders(s);
    if (s->handed_over)
        become_old(s);
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        supervise_drain_worker(s, &s->workers[i], drain_flags(s));
}

void supervisor_leave(supervisor_t *s)
{
    uint32_t delay = s->snapshot->conf->timeouts.drain_delay;
    bool serves = s->state == SUPERVISOR_SERVING || s->state == SUPERVISOR_UPGRADING;
    if (delay == 0 || !serves || s->leave_due_ms != 0) {
        supervisor_drain(s);
        return;
    }
    if (s->upgrade_pid != 0)
        kill(s->upgrade_pid, SIGKILL);
    s->leave_due_ms = clock_now_ms() + delay;
    process_log(LOG_DRAIN_LEAVING, NULL, "leaving: not ready from now on, draining in %u ms",
                (unsigned)delay);
    notify_end(delay + s->snapshot->conf->timeouts.drain);
    child_send(&s->controller, PROCESS_LEAVING, 0, STR(""), NULL, 0);
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        child_send(&s->workers[i], PROCESS_LEAVING, 0, STR(""), NULL, 0);
}

static bool leaves(const supervisor_t *s)
{
    return s->leave_due_ms != 0 && s->state != SUPERVISOR_DRAINING && s->state != SUPERVISOR_ENDED;
}

void supervisor_leave_turn(supervisor_t *s, uint64_t now_ms)
{
    if (leaves(s) && now_ms >= s->leave_due_ms)
        supervisor_drain(s);
}

int supervisor_timeout(const supervisor_t *s, uint64_t now_ms, int most)
{
    uint64_t wait = s->leave_due_ms > now_ms ? s->leave_due_ms - now_ms : 0;
    if (leaves(s) && wait < (uint64_t)most)
        most = (int)wait;
    return supervise_timeout(s, now_ms, most);
}

/* No worker accepts another connection: all live workers have reported that they drain. */
static bool all_workers_drain(const supervisor_t *s)
{
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        if (child_alive(&s->workers[i]) && atomic_load(&s->workers[i].slot->state) != SHM_DRAINING)
            return false;
    return true;
}

/* After a handover, boxes that the new edge did not take end as soon as no new request can reach us. */
bool supervisor_awaits_workers(const supervisor_t *s)
{
    return s->state == SUPERVISOR_DRAINING && s->handed_over && s->runner.state == CHILD_READY;
}

void supervisor_drain_turn(supervisor_t *s)
{
    if (supervisor_awaits_workers(s) && all_workers_drain(s))
        supervise_drain_runner(s);
    elders_watch(s, clock_now_ms());
    bool awaits_elders = s->elders_due_ms != 0 && s->elder_count > 0;
    if (supervise_workers_alive(s) > 0 || awaits_elders)
        return;
    if (s->controller.state != CHILD_DRAINING)
        supervise_drain_child(&s->controller, CONTROLLER_DRAIN_MS);
    supervise_drain_runner(s);
    bool successor_starting = s->upgrade_pid != 0 && !s->handed_over;
    if (!child_alive(&s->controller) && !child_alive(&s->runner) && !successor_starting)
        supervisor_set_state(s, SUPERVISOR_ENDED);
}
