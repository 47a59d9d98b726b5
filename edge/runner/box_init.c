#include "box_init.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "box_init_exec.h"
#include "cgroup.h"
#include "children.h"
#include "clock.h"

/* Delay between checks for remaining processes of an ended box: the first, doubling, and the
 * longest. */
#define SWEEP_FIRST_MS 1
#define SWEEP_LAST_MS  200
/* Maximum tries to remove an empty group: the kernel releases it a moment after its last process
 * was reaped. */
#define REMOVE_TRIES 50

typedef enum box_init_state {
    BOX_INIT_RUNS,
    BOX_INIT_STOPS,  /* SIGTERM was sent; SIGKILL follows at due_ms */
    BOX_INIT_KILLS,  /* SIGKILL was sent */
    BOX_INIT_SWEEPS, /* the command was reaped; its remaining processes are killed */
} box_init_state_t;

typedef struct box_init_process {
    const box_init_spec_t *spec;
    box_init_state_t state;
    cgroup_t group;
    int runner_fd; /* -1: the runner is gone */
    int signal_fd;
    int report_fd;   /* of the child, until the command runs; -1: the command runs, or never will */
    pid_t command;   /* leader of its group; 0: reaped */
    int status;      /* of the command */
    uint64_t due_ms; /* BOX_INIT_STOPS */
    int sweep_ms;    /* BOX_INIT_SWEEPS: until the next check */
} box_init_process_t;

static void set_state(box_init_process_t *init, box_init_state_t state)
{
    assert(state >= init->state);
    init->state = state;
}

static void send_message(const box_init_process_t *init, box_init_message_t type, uint64_t value, str_t bytes)
{
    if (init->runner_fd >= 0 && ipc_send(init->runner_fd, type, value, bytes, NULL, 0) != IPC_OK) {
        /* The runner is gone: the next read finds the end of the channel. */
    }
}

/* ---- signals to the box ---- */

/* The group has the command's number, which no other group can get before the command is reaped. */
static void signal_group(const box_init_process_t *init, int number)
{
    if (init->command != 0)
        (void)kill(-init->command, number);
}

static void kill_all(box_init_process_t *init)
{
    signal_group(init, SIGKILL);
    if (init->command != 0)
        (void)kill(init->command, SIGKILL); /* it may not lead its group yet */
    if (init->group.fd >= 0)
        cgroup_kill(&init->group); /* without a group, the sweep finds them */
    if (init->state < BOX_INIT_KILLS)
        set_state(init, BOX_INIT_KILLS);
}

static void freeze(const box_init_process_t *init, bool frozen)
{
    if (init->group.fd < 0 || !cgroup_freeze(&init->group, frozen))
        signal_group(init, frozen ? SIGSTOP : SIGCONT);
}

static void stop(box_init_process_t *init)
{
    if (init->state != BOX_INIT_RUNS)
        return;
    if (init->report_fd >= 0) { /* still our own code, which has nothing to finish and ignores SIGTERM */
        kill_all(init);
        return;
    }
    set_state(init, BOX_INIT_STOPS);
    init->due_ms = clock_now_ms() + init->spec->grace_ms;
    signal_group(init, SIGTERM);
    freeze(init, false); /* so that the processes can handle SIGTERM */
}

/* ---- messages ---- */

static void take_orders(box_init_process_t *init)
{
    ipc_message_t message;
    ipc_result_t result;
    while ((result = ipc_receive(init->runner_fd, &message)) == IPC_OK) {
        if (message.type == BOX_INIT_STOP)
            stop(init);
        else if (message.type == BOX_INIT_FREEZE && init->state == BOX_INIT_RUNS)
            freeze(init, true);
        else if (message.type == BOX_INIT_THAW && init->state == BOX_INIT_RUNS)
            freeze(init, false);
        ipc_message_fini(&message);
    }
    if (result != IPC_CLOSED)
        return;
    close(init->runner_fd);
    init->runner_fd = -1;
    kill_all(init);
}

static void send_failure(box_init_process_t *init, const box_init_report_t *report)
{
    char text[512];
    const char *why = strerror(report->error);
    switch ((box_init_stage_t)report->stage) {
    case STAGE_RIGHTS:
        (void)snprintf(text, sizeof(text), "the rights of its user cannot be taken on: %s", why);
        break;
    case STAGE_DIRECTORY:
        (void)snprintf(text, sizeof(text), "its directory %.300s cannot be entered: %s",
                       init->spec->directory, why);
        break;
    case STAGE_COMMAND:
        (void)snprintf(text, sizeof(text), "%.300s: %s", init->spec->argv[0], why);
        break;
    default:
        (void)snprintf(text, sizeof(text), "the system is short of something: %s", why);
    }
    send_message(init, BOX_INIT_FAILED, 0, str_from(text));
}

/* Takes the child's report of a failure before the command, or the end of the pipe once the command
 * runs. */
static void take_report(box_init_process_t *init)
{
    box_init_report_t report;
    ssize_t n = read(init->report_fd, &report, sizeof(report));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n == (ssize_t)sizeof(report))
        send_failure(init, &report);
    else if (init->command != 0)
        send_message(init, BOX_INIT_STARTED, (uint64_t)init->command, STR(""));
    close(init->report_fd);
    init->report_fd = -1;
}

/* ---- ends ---- */

/* Reaps ended children. Returns false once no child is left. */
static bool reap(box_init_process_t *init)
{
    for (;;) {
        siginfo_t info = {.si_pid = 0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0)
            return errno != ECHILD;
        if (info.si_pid == 0)
            return true;
        if (info.si_pid == init->command)
            signal_group(init, SIGKILL); /* the last moment at which the group's number is certain */
        int status;
        if (waitpid(info.si_pid, &status, 0) == info.si_pid && info.si_pid == init->command) {
            init->status = status;
            init->command = 0;
            kill_all(init);
            set_state(init, BOX_INIT_SWEEPS);
        }
    }
}

/* All processes have ended. */
static _Noreturn void end(box_init_process_t *init)
{
    for (int i = 0; i < REMOVE_TRIES && !cgroup_remove(&init->group); i++)
        (void)poll(NULL, 0, 2);
    send_message(init, BOX_INIT_ENDED, (uint64_t)(unsigned)init->status, STR(""));
    _exit(0);
}

/* Kills remaining children. Checks less and less often for a process that the kernel does not
 * release. */
static void sweep(box_init_process_t *init)
{
    (void)children_kill(NULL, 0);
    init->sweep_ms = init->sweep_ms == 0 ? SWEEP_FIRST_MS : init->sweep_ms * 2;
    if (init->sweep_ms > SWEEP_LAST_MS)
        init->sweep_ms = SWEEP_LAST_MS;
}

static int timeout_of(const box_init_process_t *init)
{
    if (init->state == BOX_INIT_SWEEPS)
        return init->sweep_ms;
    if (init->state != BOX_INIT_STOPS)
        return -1;
    uint64_t now = clock_now_ms();
    return init->due_ms > now ? (int)(init->due_ms - now) : 0;
}

static _Noreturn void run_init(box_init_process_t *init)
{
    for (;;) {
        struct signalfd_siginfo info;
        struct pollfd fds[3] = {{.fd = init->signal_fd, .events = POLLIN},
                                {.fd = init->runner_fd, .events = POLLIN},
                                {.fd = init->report_fd, .events = POLLIN}};
        (void)poll(fds, 3, timeout_of(init));
        if (fds[0].revents != 0 && read(init->signal_fd, &info, sizeof(info)) < 0) {
            /* An earlier turn took it: every turn reaps. */
        }
        /* Before the command is reaped, so that the reason of a failure is reported first. */
        if (init->report_fd >= 0 && fds[2].revents != 0)
            take_report(init);
        if (init->runner_fd >= 0 && fds[1].revents != 0)
            take_orders(init);
        if (init->state == BOX_INIT_STOPS && clock_now_ms() >= init->due_ms)
            kill_all(init);
        if (!reap(init))
            end(init);
        if (init->state == BOX_INIT_SWEEPS)
            sweep(init);
    }
}

/* ---- start ---- */

#define NAME_BYTES 128

static void name_group(pid_t box_init, const char *id, char out[NAME_BYTES])
{
    (void)snprintf(out, NAME_BYTES, "%d.%s", (int)box_init, id);
}

bool box_init_clean_up(pid_t box_init, const char *id)
{
    char name[NAME_BYTES];
    name_group(box_init, id, name);
    return cgroup_discard(name);
}

static int watch_children(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    (void)signal(SIGCHLD, SIG_DFL);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -1;
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

/* Keeps only the descriptors that this process needs; *a and *b become 3 and 4. */
static bool take_descriptors(int *a, int *b)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    int first = fcntl(*a, F_DUPFD_CLOEXEC, 10), second = fcntl(*b, F_DUPFD_CLOEXEC, 10);
    if (null_fd < 0 || first < 0 || second < 0)
        return false;
    for (int i = 0; i <= STDERR_FILENO; i++)
        if (dup2(null_fd, i) < 0)
            return false;
    if (dup3(first, 3, O_CLOEXEC) < 0 || dup3(second, 4, O_CLOEXEC) < 0)
        return false;
    *a = 3;
    *b = 4;
    return close_range(5, ~0u, 0) == 0;
}

/* Starts the command. After a failure here, the runner sees the end of the channel without
 * BOX_INIT_ENDED. */
static _Noreturn void run(const box_init_spec_t *spec, int runner_fd, int output_fd)
{
    char name[NAME_BYTES];
    /* No process writes to `input`, and this process keeps its other end open until the box has
     * ended. Dev servers treat the end of their input as the end of their session. */
    int report[2], input[2];
    box_init_process_t init = {.spec = spec, .group = {.fd = -1}};
    pid_t self = getpid();

    (void)prctl(PR_SET_NAME, "box-init", 0, 0, 0);
    (void)setsid();
    if (!take_descriptors(&runner_fd, &output_fd) || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ||
        (init.signal_fd = watch_children()) < 0 || pipe2(report, O_CLOEXEC) < 0 ||
        pipe2(input, O_CLOEXEC) < 0)
        _exit(1);
    name_group(self, spec->id, name);
    init.command = cgroup_make(&init.group, name) ? cgroup_fork(&init.group) : -1;
    if (init.command < 0) { /* run it without a group */
        if (!cgroup_remove(&init.group))
            cgroup_close(&init.group);
        init.command = fork();
    }
    if (init.command == 0)
        box_init_exec(spec, self, &(box_init_ends_t){.input_fd = input[0], .output_fd = output_fd},
                      report[1]);
    close(input[0]);
    close(output_fd);
    close(report[1]);
    init.runner_fd = runner_fd;
    init.report_fd = report[0];
    if (init.command < 0) {
        const box_init_report_t why = {.error = errno};
        init.command = 0;
        send_failure(&init, &why);
    }
    run_init(&init);
}

bool box_init_start(const box_init_spec_t *spec, box_init_t *out)
{
    int channel[2] = {-1, -1}, output[2] = {-1, -1};
    pid_t pid = -1;
    if (ipc_pair(channel) && pipe2(output, O_CLOEXEC) == 0 && fcntl(output[0], F_SETFL, O_NONBLOCK) == 0)
        pid = fork();
    if (pid == 0)
        run(spec, channel[1], output[1]);
    int saved = errno;
    const int theirs[] = {channel[1], output[1], pid < 0 ? channel[0] : -1, pid < 0 ? output[0] : -1};
    for (size_t i = 0; i < sizeof(theirs) / sizeof(theirs[0]); i++)
        if (theirs[i] >= 0)
            close(theirs[i]);
    *out = (box_init_t){.pid = pid, .fd = channel[0], .output_fd = output[0]};
    errno = saved;
    return pid > 0;
}
