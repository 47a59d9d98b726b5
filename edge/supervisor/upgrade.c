/*
 * A new binary takes over (SIGUSR2). It is started from argv[0] with our sockets, our locks and our
 * ticket keys, so that no connection is refused and no session lost. Only one controller may write
 * the store: ours ends first, then the new one starts. Meanwhile workers serve the running boxes.
 * When the new binary reports that it serves, we drain. If it fails, our controller is restarted
 * and nothing has changed.
 *
 * A memory file lists the inherited descriptors, and the environment has its number. It has one
 * line for each: "lock FD RUN_DIR", "state-lock FD STATE_DIR", "ready FD", "admin FD PATH",
 * "tickets FD", "listen FD WORKER ADDRESS".
 *
 * The new edge has a shared segment of its own. The old edge's workers therefore do not see its
 * changes of the store; they finish their requests and accept no more connections.
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
#include "memfile.h"
#include "process.h"
#include "process_log.h"
#include "sd_notify.h"

#define HANDOFF_ENV         "BOXEDGE_HANDOFF"
#define START_WITHIN_MS     60000u
#define CONTROLLER_DRAIN_MS 3000u
/* Maximum lines that are read. */
#define LINES_MAX (PROCESS_LISTENERS_MAX * SHM_WORKERS_MAX + 8)

/* ---- the old binary ---- */

/* Writes the list for the new binary. Returns its descriptor, or -1 with errno. */
static int write_handoff(const supervisor_t *s, int ready_fd, int tickets_fd)
{
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL)
        return -1;
    const conf_t *conf = s->snapshot->conf;
    fprintf(out, "ready %d\ntickets %d\n", ready_fd, tickets_fd);
    fprintf(out, "lock %d %s\nadmin %d %s\n", s->lock_fd, conf->run_dir, s->admin_fd, conf->admin_socket);
    fprintf(out, "state-lock %d %s\n", s->state_lock_fd, conf->state_dir);
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
    (void)fcntl(fd, F_SETFD, 0);
}

/* In the child: becomes the new binary. */
static _Noreturn void exec_successor(const supervisor_t *s, int handoff_fd, int ready_fd, int tickets_fd)
{
    char number[16];
    sigset_t none;
    const int fds[] = {handoff_fd, ready_fd, tickets_fd, s->lock_fd, s->state_lock_fd, s->admin_fd};

    for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        keep_over_exec(fds[i]);
    for (size_t i = 0; i < s->listeners->count; i++)
        for (unsigned w = 0; w < s->listeners->at[i].count; w++)
            keep_over_exec(s->listeners->at[i].fds[w]);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    snprintf(number, sizeof(number), "%d", handoff_fd);
    setenv(HANDOFF_ENV, number, 1);
    int pipe_end = logger_leave(&s->logger);
    execvp(s->argv[0], s->argv);
    int saved = errno;
    if (pipe_end >= 0)
        (void)dup2(pipe_end, STDERR_FILENO);
    errno = saved;
    process_log(NULL, "%s cannot be run: %s", s->argv[0], strerror(errno));
    _exit(127);
}

static bool start_successor(supervisor_t *s)
{
    int ready[2] = {-1, -1};
    const str_t tickets = str_make((const char *)&s->tickets, sizeof(s->tickets));
    int tickets_fd = memfile_write("boxedge-tickets", &tickets, 1);
    int handoff_fd = -1;
    bool ok = tickets_fd >= 0 && pipe2(ready, O_CLOEXEC | O_NONBLOCK) == 0 &&
              (handoff_fd = write_handoff(s, ready[1], tickets_fd)) >= 0;
    if (ok) {
        fflush(NULL);
        s->upgrade_pid = fork();
        if (s->upgrade_pid == 0)
            exec_successor(s, handoff_fd, ready[1], tickets_fd);
        ok = s->upgrade_pid > 0;
        s->upgrade_pid = ok ? s->upgrade_pid : 0;
    }
    int saved = errno;
    if (ok) {
        s->upgrade_fd = ready[0];
        s->upgrade_due_ms = clock_now_ms() + START_WITHIN_MS;
    } else if (ready[0] >= 0) {
        close(ready[0]);
    }
    const int done[] = {ready[1], tickets_fd, handoff_fd};
    for (size_t i = 0; i < sizeof(done) / sizeof(done[0]); i++)
        if (done[i] >= 0)
            close(done[i]);
    errno = saved;
    return ok;
}

/* The new binary failed: returns to the former state. */
static void give_up(supervisor_t *s, const char *why)
{
    char state[256];
    process_log(NULL, "the new binary did not take over: %s; this one continues", why);
    /* The number distinguishes it from the failure before (deploy/hand-over). */
    snprintf(state, sizeof(state), "STATUS=upgrade %u: the new binary did not take over: %s", s->upgrades,
             why);
    sd_notify_send(state);
    if (s->upgrade_fd >= 0)
        close(s->upgrade_fd);
    s->upgrade_fd = -1;
    if (s->state != SUPERVISOR_UPGRADING)
        return;
    supervisor_set_state(s, SUPERVISOR_SERVING);
    s->controller.wanted = true;
    if (s->controller.state == CHILD_EMPTY) {
        s->controller.due_ms = clock_now_ms();
        child_set_state(&s->controller, CHILD_WAITING);
    }
}

void upgrade_begin(supervisor_t *s)
{
    if (s->state != SUPERVISOR_SERVING || s->upgrade_pid != 0) {
        process_log(NULL, "no new binary is started: the edge is %s",
                    s->state == SUPERVISOR_STARTING   ? "starting"
                    : s->state == SUPERVISOR_DRAINING ? "ending"
                                                      : "starting one already");
        return;
    }
    if (s->pid == 1) {
        process_log(NULL, "no new binary is started: this is process 1, and the container ends with it; "
                          "replace the container");
        return;
    }
    process_log(NULL, "starting the new binary %s", s->argv[0]);
    s->upgrades++;
    sd_notify_send("STATUS=starting a new binary");
    supervisor_set_state(s, SUPERVISOR_UPGRADING);
    supervise_drain_child(&s->controller, CONTROLLER_DRAIN_MS);
    if (!child_alive(&s->controller))
        upgrade_controller_gone(s);
}

void upgrade_controller_gone(supervisor_t *s)
{
    if (s->upgrade_pid == 0 && !start_successor(s))
        give_up(s, strerror(errno));
}

void upgrade_read_ready(supervisor_t *s)
{
    char byte;
    ssize_t n = read(s->upgrade_fd, &byte, 1);
    if (n < 0)
        return;
    close(s->upgrade_fd);
    s->upgrade_fd = -1;
    if (n == 0 || s->state != SUPERVISOR_UPGRADING)
        return; /* it is ending; its status follows */
    process_log(NULL, "process %d serves now", (int)s->upgrade_pid);
    s->handed_over = true;
    /* The successor alone has the locks from now on. */
    close(s->lock_fd);
    close(s->state_lock_fd);
    s->lock_fd = s->state_lock_fd = -1;
    supervisor_drain(s);
}

void upgrade_ended(supervisor_t *s, int status)
{
    char how[64];
    s->upgrade_pid = 0;
    if (!s->handed_over)
        give_up(s, children_end_text(status, how));
}

void upgrade_watch(supervisor_t *s, uint64_t now_ms)
{
    if (s->upgrade_pid == 0 || s->handed_over || now_ms < s->upgrade_due_ms)
        return;
    process_log(NULL, "the new binary does not start within %u s; it is killed", START_WITHIN_MS / 1000);
    kill(s->upgrade_pid, SIGKILL);
    s->upgrade_due_ms = UINT64_MAX;
}

/* ---- the new binary ---- */

/* Takes the next word of `*line`. */
static str_t take_word(str_t *line)
{
    size_t n = 0;
    while (n < line->n && line->p[n] != ' ')
        n++;
    str_t word = str_make(line->p, n);
    *line = str_from_offset(*line, n < line->n ? n + 1 : n);
    return word;
}

static void take_tickets(supervisor_t *s, int fd)
{
    size_t len;
    char *bytes = memfile_read(fd, &len);
    tls_ticket_keys_t keys;
    if (bytes != NULL && len == sizeof(keys)) {
        memcpy(&keys, bytes, sizeof(keys));
        if (keys.count <= sizeof(keys.secret) / sizeof(keys.secret[0]))
            s->tickets = keys;
        OPENSSL_cleanse(&keys, sizeof(keys));
    }
    if (bytes != NULL)
        memfile_release(&bytes, len);
    close(fd);
}

static void take_listener(supervisor_t *s, str_t line, int fd)
{
    uint64_t worker;
    char text[64];
    if (!str_to_uint(take_word(&line), SHM_WORKERS_MAX - 1, &worker) || line.n >= sizeof(text)) {
        close(fd);
        return;
    }
    memcpy(text, line.p, line.n);
    text[line.n] = '\0';
    if (!listener_set_adopt(s->listeners, text, (unsigned)worker, fd))
        process_log(NULL, "a socket for %s that was handed over cannot be used", text);
}

static void take_line(supervisor_t *s, str_t line)
{
    uint64_t number;
    str_t what = take_word(&line);
    if (!str_to_uint(take_word(&line), INT32_MAX, &number) || fcntl((int)number, F_SETFD, FD_CLOEXEC) < 0)
        return;
    int fd = (int)number;
    if (str_eq(what, STR("lock")) && s->lock_fd < 0) {
        s->lock_fd = fd;
        s->inherited_run_dir = strndup(line.p, line.n);
    } else if (str_eq(what, STR("state-lock")) && s->state_lock_fd < 0) {
        s->state_lock_fd = fd;
        s->inherited_state_dir = strndup(line.p, line.n);
    } else if (str_eq(what, STR("admin")) && s->admin_fd < 0) {
        s->admin_fd = fd;
        s->inherited_admin = strndup(line.p, line.n);
    } else if (str_eq(what, STR("ready"))) {
        s->predecessor_fd = fd;
    } else if (str_eq(what, STR("tickets"))) {
        take_tickets(s, fd);
    } else if (str_eq(what, STR("listen"))) {
        take_listener(s, line, fd);
    }
}

bool upgrade_inherit(supervisor_t *s)
{
    const char *value = getenv(HANDOFF_ENV);
    uint64_t number;
    size_t len;
    if (value == NULL || !str_to_uint(str_from(value), INT32_MAX, &number))
        return false;
    int fd = (int)number;
    char *bytes = memfile_read(fd, &len);
    unsetenv(HANDOFF_ENV);
    close(fd);
    if (bytes == NULL)
        return false;
    s->listeners = listener_set_new(PROCESS_LISTENERS_MAX);
    str_t rest = str_make(bytes, len);
    for (size_t lines = 0; rest.n > 0 && lines < LINES_MAX && s->listeners != NULL; lines++) {
        const char *end = memchr(rest.p, '\n', rest.n);
        size_t n = end != NULL ? (size_t)(end - rest.p) : rest.n;
        take_line(s, str_make(rest.p, n));
        rest = str_from_offset(rest, n < rest.n ? n + 1 : n);
    }
    memfile_release(&bytes, len);
    return true;
}

void upgrade_notify_predecessor(supervisor_t *s)
{
    if (s->predecessor_fd < 0)
        return;
    if (write(s->predecessor_fd, "R", 1) < 0)
        process_log(NULL, "the previous process takes no message: %s", strerror(errno));
    close(s->predecessor_fd);
    s->predecessor_fd = -1;
}
