/*
 * A new binary takes over (SIGUSR2). It is started from argv[0] with our sockets, our locks, our ticket keys
 * and our shared memory, so that no connection is refused, no session lost and no limit forgotten. It loads
 * and checks everything; only then does our controller end, because only one may write the store. The new
 * controller starts, our workers get channels to it, and requests that wait for a box continue. When the new
 * binary reports that it serves, our workers drain, and live on for open requests. If it fails or hangs, our
 * controller is restarted and nothing has changed.
 *
 * A memory file lists the inherited descriptors, and the environment has its number. It has one line for
 * each: "handover FD", "core FD", "segment FD", "elder FD STATE", "lock FD RUN_DIR", "state-lock FD
 * STATE_DIR", "admin FD PATH", "tickets FD", "passed FD", "listen FD WORKER ADDRESS". Elders come in their
 * order, before "handover". "apart FD" follows the line of an elder whose core (core.h) or store is not ours.
 *
 * A new binary whose segment has another layout makes its own and copies our tables; the core keeps both
 * edges together. One that cannot join our core starts with an empty one. Our workers then see no change of
 * the store, and their tunnels end within timeouts.drain.
 */
#include "supervisor_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "children.h"
#include "clock.h"
#include "handover.h"
#include "log_target.h"
#include "memfile.h"
#include "process.h"
#include "process_log.h"
#include "sd_notify.h"

#define START_WITHIN_MS     60000u
#define CONTROLLER_DRAIN_MS 3000u
/* From the end of our controller until the new binary serves. */
#define SWITCH_WITHIN_MS 15000u
/* Per-turn message limit. */
#define MESSAGES_A_TURN 64

/* ---- starting it ---- */

/* Writes the list for the new binary. Returns its descriptor, or -1 with errno. */
static int write_handoff(const supervisor_t *s, int channel, int tickets_fd)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL)
        return -1;
    const conf_t *conf = s->snapshot->conf;
    for (size_t i = 0; i < s->elder_count; i++) {
        fprintf(out, "elder %d %s\n", s->elders[i].fd, s->elders[i].ending ? "ending" : "lives");
        if (!elders_shares(s, i))
            fprintf(out, "apart %d\n", s->elders[i].fd);
    }
    fprintf(out, "handover %d\ntickets %d\n", channel, tickets_fd);
    if (shm_core_fd(s->shm) >= 0)
        fprintf(out, "core %d\n", shm_core_fd(s->shm));
    if (shm_fd(s->shm) >= 0)
        fprintf(out, "segment %d\n", shm_fd(s->shm));
    fprintf(out, "lock %d %s\nadmin %d %s\n", s->lock_fd, conf->run_dir, s->admin_fd, conf->admin_socket);
    fprintf(out, "state-lock %d %s\n", s->state_lock_fd, conf->state_dir);
    for (size_t i = 0; i < s->passed.count; i++)
        fprintf(out, "passed %d\n", s->passed.at[i].fd);
    for (size_t i = 0; i < s->listeners->count; i++)
        for (unsigned w = 0; w < s->listeners->at[i].count; w++)
            fprintf(out, "listen %d %u %s\n", s->listeners->at[i].fds[w], w, s->listeners->at[i].text);
    fclose(out);
    const str_t part = str_make(text, len);
    int fd = memfile_write("boxedge-handoff", &part, 1);
    free(text);
    return fd;
}

static void keep_over_exec(int fd)
{
    if (fd >= 0)
        (void)fcntl(fd, F_SETFD, 0);
}

/* In the child: becomes the new binary. */
static _Noreturn void exec_successor(const supervisor_t *s, int handoff_fd, int channel, int tickets_fd)
{
    char number[16];
    sigset_t none;
    const int fds[] = {handoff_fd,       channel,     tickets_fd,          s->lock_fd,
                       s->state_lock_fd, s->admin_fd, shm_core_fd(s->shm), shm_fd(s->shm)};

    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        keep_over_exec(fds[i]);
    for (size_t i = 0; i < s->elder_count; i++)
        keep_over_exec(s->elders[i].fd);
    for (size_t i = 0; i < s->passed.count; i++)
        keep_over_exec(s->passed.at[i].fd);
    for (size_t i = 0; i < s->listeners->count; i++)
        for (unsigned w = 0; w < s->listeners->at[i].count; w++)
            keep_over_exec(s->listeners->at[i].fds[w]);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    snprintf(number, sizeof(number), "%d", handoff_fd);
    setenv(HANDOFF_ENV, number, 1);
    sd_watchdog_hand_on();
    int pipe_end = logger_leave(&s->logger);
    execvp(s->argv[0], s->argv);
    int saved = errno;
    if (pipe_end >= 0)
        (void)dup2(pipe_end, STDERR_FILENO);
    errno = saved;
    process_log(LOG_UPGRADE_FAILED, NULL, "%s cannot be run: %s", s->argv[0], strerror(errno));
    _exit(127);
}

static bool start_successor(supervisor_t *s)
{
    int pair[2] = {-1, -1};
    const str_t tickets = str_make((const char *)&s->tickets, sizeof(s->tickets));
    int tickets_fd = memfile_write("boxedge-tickets", &tickets, 1);
    int handoff_fd = -1;
    bool ok = tickets_fd >= 0 && ipc_pair(pair) && (handoff_fd = write_handoff(s, pair[1], tickets_fd)) >= 0;
    if (ok) {
        fflush(NULL);
        s->upgrade_pid = fork();
        if (s->upgrade_pid == 0)
            exec_successor(s, handoff_fd, pair[1], tickets_fd);
        ok = s->upgrade_pid > 0;
        s->upgrade_pid = ok ? s->upgrade_pid : 0;
    }
    int saved = errno;
    if (ok) {
        s->upgrade_fd = pair[0];
        s->upgrade_due_ms = clock_now_ms() + START_WITHIN_MS;
    } else if (pair[0] >= 0) {
        close(pair[0]);
    }
    const int done[] = {pair[1], tickets_fd, handoff_fd};
    for (size_t i = 0; i < sizeof(done) / sizeof(done[0]); i++)
        if (done[i] >= 0)
            close(done[i]);
    errno = saved;
    return ok;
}

/* ---- its failure ---- */

void upgrade_report(supervisor_t *s)
{
    if (s->upgrade_failure[0] != '\0')
        child_send(&s->controller, PROCESS_UPGRADE_FAILED, s->upgrades, str_from(s->upgrade_failure), NULL,
                   0);
}

static void close_channel(supervisor_t *s)
{
    if (s->upgrade_fd >= 0)
        close(s->upgrade_fd);
    s->upgrade_fd = -1;
}

/* The new binary failed: returns to the former state. */
static void give_up(supervisor_t *s, const char *why)
{
    char state[256];
    process_log(LOG_UPGRADE_FAILED, NULL, "the new binary did not take over: %s; this one continues", why);
    /* The number distinguishes it from the failure before (deploy/hand-over). */
    snprintf(state, sizeof(state), "STATUS=upgrade %u: the new binary did not take over: %s", s->upgrades,
             why);
    sd_notify_send(state);
    close_channel(s);
    if (s->state != SUPERVISOR_UPGRADING)
        return;
    supervisor_set_state(s, SUPERVISOR_SERVING);
    snprintf(s->upgrade_failure, sizeof(s->upgrade_failure), "%s", why);
    s->controller.wanted = true;
    if (s->controller.state == CHILD_READY)
        upgrade_report(s);
    if (s->controller.state == CHILD_EMPTY) {
        s->controller.due_ms = clock_now_ms();
        child_set_state(&s->controller, CHILD_WAITING);
    }
}

/* ---- the steps ---- */

static const char *obstacle(const supervisor_t *s)
{
    if (s->leave_due_ms != 0)
        return "the edge is ending";
    if (s->state != SUPERVISOR_SERVING)
        return s->state == SUPERVISOR_STARTING   ? "the edge is starting"
               : s->state == SUPERVISOR_DRAINING ? "the edge is ending"
                                                 : "the edge is starting one already";
    if (s->upgrade_pid != 0)
        return "the previous one has not ended";
    if (s->pid == 1)
        return "this is process 1, and the container ends with it; replace the container";
    if (s->elder_count == ELDERS_MAX)
        return "too many old edges have yet to end";
    return NULL;
}

void upgrade_begin(supervisor_t *s, bool now)
{
    const char *why = obstacle(s);
    s->upgrades++;
    s->upgrade_failure[0] = '\0';
    if (why != NULL) {
        process_log(LOG_UPGRADE_REFUSED, NULL, "no new binary is started: %s", why);
        snprintf(s->upgrade_failure, sizeof(s->upgrade_failure), "%s", why);
        upgrade_report(s);
        return;
    }
    process_log(LOG_UPGRADE_STARTED, NULL, "starting the new binary %s", s->argv[0]);
    sd_notify_send("STATUS=starting a new binary");
    supervisor_set_state(s, SUPERVISOR_UPGRADING);
    s->upgrade_phase = UPGRADE_PREPARING;
    s->upgrade_now = now;
    if (!start_successor(s))
        give_up(s, strerror(errno));
}

static void on_prepared(supervisor_t *s, bool shares)
{
    if (s->state != SUPERVISOR_UPGRADING || s->upgrade_phase != UPGRADE_PREPARING)
        return;
    s->upgrade_shares = shares;
    s->upgrade_phase = UPGRADE_STOPPING;
    supervise_drain_child(&s->controller, CONTROLLER_DRAIN_MS);
    if (!child_alive(&s->controller))
        upgrade_controller_gone(s);
}

void upgrade_controller_gone(supervisor_t *s)
{
    if (s->upgrade_phase != UPGRADE_STOPPING)
        return;
    s->upgrade_phase = UPGRADE_SWITCHING;
    s->upgrade_due_ms = clock_now_ms() + SWITCH_WITHIN_MS;
    if (ipc_send(s->upgrade_fd, HANDOVER_GO, 0, STR(""), NULL, 0) != IPC_OK)
        kill(s->upgrade_pid, SIGKILL); /* its end restarts our controller */
}

/* Makes a new channel from each of our workers to the successor's controller. */
static void link_workers(supervisor_t *s)
{
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++) {
        child_slot_t *worker = &s->workers[i];
        int pair[2];
        if (!child_alive(worker))
            continue;
        if (!ipc_pair(pair)) {
            process_log(LOG_PROCESSES_APART, NULL, "the new controller and %s cannot be joined: %s",
                        worker->name, strerror(errno));
            continue;
        }
        if (ipc_send(s->upgrade_fd, HANDOVER_LINK, worker->number, STR(""), &pair[0], 1) == IPC_OK)
            child_send(worker, PROCESS_LINK, 0, STR(""), &pair[1], 1);
        close(pair[0]);
        close(pair[1]);
    }
}

/* Without a runner here, the end of the channel reports it. */
static void give_boxes(supervisor_t *s, const ipc_message_t *message)
{
    if (s->upgrade_phase != UPGRADE_SWITCHING || message->fd_count != 1 || !child_alive(&s->runner))
        return;
    const int fds[] = {message->fds[0], s->snapshot->conf_fd};
    child_send(&s->runner, PROCESS_GIVE_BOXES, 0, STR(""), fds, 2);
}

static void on_serves(supervisor_t *s)
{
    if (s->state != SUPERVISOR_UPGRADING || s->upgrade_phase != UPGRADE_SWITCHING)
        return;
    process_log(LOG_UPGRADE_DONE, NULL, "process %d serves now", (int)s->upgrade_pid);
    s->handed_over = true;
    s->keeps_open = !s->upgrade_now;
    if (!s->upgrade_shares)
        process_log(LOG_UPGRADE_APART, NULL,
                    "the new binary cannot share memory and store with this one: open WebSockets end within "
                    "timeouts.drain");
    /* The successor alone has the locks and speaks with the elders from now on. */
    int *fds[] = {&s->lock_fd, &s->state_lock_fd, &s->admin_fd};
    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
        close(*fds[i]);
        *fds[i] = -1;
    }
    if (s->upgrade_now)
        elders_end(s, 0);
    elders_leave(s);
    supervisor_drain(s);
}

static void take_log(supervisor_t *s, ipc_message_t *message)
{
    bool opened = message->fd_count == 1;
    log_target_close(&s->log);
    if (opened)
        s->log = (line_target_t){message->fds[0], (line_form_t)message->value};
    message->fd_count -= opened; /* kept */
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        reload_send_log(s, &s->workers[i]);
}

static void on_message(supervisor_t *s, ipc_message_t *message)
{
    switch ((handover_message_t)message->type) {
    case HANDOVER_PREPARED:
        on_prepared(s, message->value == 1);
        break;
    case HANDOVER_JOIN:
        if (s->upgrade_shares)
            link_workers(s);
        break;
    case HANDOVER_BOXES:
        give_boxes(s, message);
        break;
    case HANDOVER_SERVES:
        on_serves(s);
        break;
    case HANDOVER_LOG:
    case HANDOVER_LOG_DATAGRAMS:
        if (s->handed_over)
            take_log(s, message);
        break;
    case HANDOVER_END:
        if (s->handed_over)
            supervisor_hasten(s);
        break;
    default:
        break; /* of a later version */
    }
}

void upgrade_receive(supervisor_t *s)
{
    for (int i = 0; i < MESSAGES_A_TURN && s->upgrade_fd >= 0; i++) {
        ipc_message_t message;
        ipc_result_t result = ipc_receive(s->upgrade_fd, &message);
        if (result == IPC_AGAIN)
            return;
        if (result != IPC_OK) {
            close_channel(s); /* it is ending; its status follows */
            if (s->handed_over)
                supervisor_hasten(s); /* nothing would tell our workers of changes */
            return;
        }
        on_message(s, &message);
        ipc_message_fini(&message);
    }
}

void upgrade_note_death(supervisor_t *s, unsigned number)
{
    if (s->upgrade_fd >= 0 && s->upgrade_shares)
        (void)!ipc_send(s->upgrade_fd, HANDOVER_DIED, number, STR(""), NULL, 0);
}

/* The edge that serves has died. Its parent is this process, so the service manager does not see it. A
 * successor that had handed over itself leaves the channel to the next one. */
static void report_death(supervisor_t *s, const char *how)
{
    upgrade_receive(s);
    if (s->upgrade_fd >= 0)
        return;
    process_log(LOG_UPGRADE_DIED, NULL,
                "the new edge has ended (%s): the service manager is asked to start another one", how);
    sd_notify_send("WATCHDOG=trigger");
}

void upgrade_ended(supervisor_t *s, int status)
{
    char how[64];
    s->upgrade_pid = 0;
    if (s->handed_over && status != 0)
        report_death(s, children_end_text(status, how));
    else if (!s->handed_over)
        give_up(s, s->upgrade_due_ms == UINT64_MAX ? "it did not serve in time"
                                                   : children_end_text(status, how));
}

void upgrade_watch(supervisor_t *s, uint64_t now_ms)
{
    if (s->upgrade_pid == 0 || s->handed_over || now_ms < s->upgrade_due_ms)
        return;
    process_log(LOG_UPGRADE_FAILED, NULL, "the new binary does not start within %u s; it is killed",
                (s->upgrade_phase == UPGRADE_SWITCHING ? SWITCH_WITHIN_MS : START_WITHIN_MS) / 1000);
    kill(s->upgrade_pid, SIGKILL);
    s->upgrade_due_ms = UINT64_MAX;
}
