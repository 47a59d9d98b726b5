/*
 * Older edges, which an upgrade left behind with their open requests and tunnels. Their workers speak with
 * the controller of the edge that serves, so that changes reach them and their activity counts. See
 * handover.h.
 */
#include <assert.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "handover.h"
#include "process.h"
#include "process_log.h"
#include "supervisor_internal.h"

/* Per-turn message limit, so that one elder cannot starve the rest. */
#define MESSAGES_A_TURN 64

bool elders_add(supervisor_t *s, int fd, bool ending)
{
    struct ucred maker;
    socklen_t len = sizeof(maker);
    if (s->elder_count == ELDERS_MAX || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &maker, &len) < 0) {
        close(fd);
        return false;
    }
    s->elders[s->elder_count++] = (elder_t){.fd = fd, .pid = maker.pid, .ending = ending};
    return true;
}

void elders_set_apart(supervisor_t *s, int fd)
{
    for (size_t i = 0; i < s->elder_count; i++)
        if (s->elders[i].fd == fd)
            s->elders[i].apart = true;
}

bool elders_shares(const supervisor_t *s, size_t i)
{
    return s->shares && !s->elders[i].apart;
}

/* Whether elder `i` may speak of its worker with that number. One that a worker of ours has is not its own.
 */
static bool is_its_worker(const supervisor_t *s, size_t i, uint64_t number)
{
    if (!elders_shares(s, i) || number >= SHM_WORKERS_MAX)
        return false;
    for (unsigned w = 0; w < SHM_WORKERS_MAX; w++)
        if (s->workers[w].number == number)
            return false;
    return true;
}

bool elders_listens(const supervisor_t *s, size_t i)
{
    if (s->awaits_go)
        return s->elders[i].fd == s->predecessor_fd;
    return s->state != SUPERVISOR_UPGRADING || s->upgrade_phase != UPGRADE_SWITCHING;
}

static void forget(supervisor_t *s, size_t i)
{
    if (s->elders[i].fd == s->predecessor_fd)
        s->predecessor_fd = -1;
    close(s->elders[i].fd);
    s->elder_count--;
    for (; i < s->elder_count; i++)
        s->elders[i] = s->elders[i + 1];
}

static void on_message(supervisor_t *s, size_t i, const ipc_message_t *message)
{
    switch ((handover_message_t)message->type) {
    case HANDOVER_GO:
        if (s->awaits_go && s->elders[i].fd == s->predecessor_fd)
            supervisor_start_children(s);
        break;
    case HANDOVER_LINK:
        if (message->fd_count == 1 && is_its_worker(s, i, message->value))
            child_send(&s->controller, PROCESS_LINK, message->value, STR(""), message->fds, 1);
        break;
    case HANDOVER_DIED:
        if (is_its_worker(s, i, message->value))
            child_send(&s->controller, PROCESS_WORKER_DIED, message->value, STR(""), NULL, 0);
        break;
    default:
        break; /* of a later version */
    }
}

static void join(supervisor_t *s, size_t i)
{
    if (elders_shares(s, i) && ipc_send(s->elders[i].fd, HANDOVER_JOIN, 0, STR(""), NULL, 0) == IPC_FAILED)
        process_log(LOG_UPGRADE_MUTE, NULL, "the old edge with process %d takes no message",
                    (int)s->elders[i].pid);
}

void elders_join(supervisor_t *s)
{
    for (size_t i = 0; i < s->elder_count; i++)
        join(s, i);
}

/* Without a predecessor, the wait is over. */
static void lost(supervisor_t *s, size_t i)
{
    bool was_predecessor = s->elders[i].fd == s->predecessor_fd;
    forget(s, i);
    if (was_predecessor)
        process_log(LOG_UPGRADE_OLD_ENDED, NULL, "the previous process has ended");
    if (was_predecessor && s->awaits_go)
        supervisor_start_children(s);
}

void elders_receive(supervisor_t *s, size_t i)
{
    for (int n = 0; n < MESSAGES_A_TURN; n++) {
        ipc_message_t message;
        ipc_result_t result = ipc_receive(s->elders[i].fd, &message);
        if (result == IPC_LOST)
            join(s, i);
        if (result == IPC_CLOSED || result == IPC_FAILED)
            lost(s, i);
        if (result != IPC_OK)
            return;
        on_message(s, i, &message);
        ipc_message_fini(&message);
    }
}

void elders_send_log(supervisor_t *s)
{
    uint32_t type = s->log.form == LINE_STREAM ? HANDOVER_LOG : HANDOVER_LOG_DATAGRAMS;
    for (size_t i = 0; i < s->elder_count; i++)
        if (ipc_send(s->elders[i].fd, type, s->log.form, STR(""), &s->log.fd, s->log.fd >= 0) != IPC_OK)
            process_log(LOG_UPGRADE_OLD_LOG, NULL, "the old edge with process %d keeps its access log",
                        (int)s->elders[i].pid);
}

void elders_end(supervisor_t *s, size_t keep)
{
    for (size_t i = 0; i + keep < s->elder_count; i++) {
        elder_t *elder = &s->elders[i];
        if (!elder->ending)
            elder->ending = ipc_send(elder->fd, HANDOVER_END, 0, STR(""), NULL, 0) == IPC_OK;
    }
}

void elders_watch(supervisor_t *s, uint64_t now_ms)
{
    if (s->elders_due_ms == 0 || now_ms < s->elders_due_ms || s->elder_count == 0)
        return;
    process_log(LOG_UPGRADE_OLD_KILLED, NULL, "old edges have not ended in time; they are killed");
    elders_kill(s);
    s->elders_due_ms = now_ms + 1000;
}

void elders_kill(supervisor_t *s)
{
    for (size_t i = 0; i < s->elder_count; i++)
        if (s->elders[i].pid > 1)
            kill(s->elders[i].pid, SIGKILL);
}

void elders_leave(supervisor_t *s)
{
    while (s->elder_count > 0)
        forget(s, s->elder_count - 1);
}
