#include "box_init_exec.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define DESCRIPTORS_SOFT 1024
#define DESCRIPTORS_HARD 524288

static _Noreturn void give_up(int fd, box_init_stage_t stage)
{
    const box_init_report_t what = {.stage = (int32_t)stage, .error = errno};
    if (write(fd, &what, sizeof(what)) < 0) {
        /* No reader is left; the exit status reports the same. */
    }
    _exit(127);
}

/* Ignored and blocked signals would stay so over exec. */
static void reset_signals(void)
{
    sigset_t none;
    for (int i = 1; i < NSIG; i++)
        (void)signal(i, SIG_DFL); /* SIGKILL, SIGSTOP and the C library's own refuse */
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void limit_descriptors(void)
{
    struct rlimit now;
    if (getrlimit(RLIMIT_NOFILE, &now) < 0)
        return;
    rlim_t hard = now.rlim_max < DESCRIPTORS_HARD ? now.rlim_max : DESCRIPTORS_HARD;
    const struct rlimit lower = {hard < DESCRIPTORS_SOFT ? hard : DESCRIPTORS_SOFT, hard};
    (void)setrlimit(RLIMIT_NOFILE, &lower);
}

/* Keeps 0, 1, 2 and the report at 3, which exec closes. */
static bool take_descriptors(const box_init_ends_t *ends, int *report_fd)
{
    /* Above the descriptors that are about to be replaced. */
    int input = fcntl(ends->input_fd, F_DUPFD_CLOEXEC, 10);
    int output = fcntl(ends->output_fd, F_DUPFD_CLOEXEC, 10);
    int status = fcntl(*report_fd, F_DUPFD_CLOEXEC, 10);
    if (input < 0 || output < 0 || status < 0)
        return false;
    if (dup2(input, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
        return false;
    if (dup3(status, 3, O_CLOEXEC) < 0)
        return false;
    *report_fd = 3;
    return close_range(4, ~0u, 0) == 0;
}

/* The rights of its user, which is never root. */
static bool takes_rights(const box_init_spec_t *spec, pid_t box_init)
{
    errno = EPERM;
    return (geteuid() != 0 || spec->privileges->drop) && privileges_drop(spec->privileges, box_init);
}

static bool dies_with(pid_t box_init)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        return false;
    errno = ESRCH;
    return getppid() == box_init;
}

_Noreturn void box_init_exec(const box_init_spec_t *spec, pid_t box_init, const box_init_ends_t *ends,
                             int report_fd)
{
    if (setsid() < 0)
        give_up(report_fd, STAGE_SESSION);
    reset_signals();
    if (!spec->as_caller) {
        limit_descriptors();
        umask(022);
    }
    box_init_ends_t given = *ends;
    if (spec->terminal != NULL) /* the first terminal that the leader of a session opens is its own */
        given.input_fd = given.output_fd = open(spec->terminal, O_RDWR | O_CLOEXEC);
    if (!take_descriptors(&given, &report_fd))
        give_up(report_fd, STAGE_SESSION);
    if (!(spec->as_caller ? dies_with(box_init) : takes_rights(spec, box_init)))
        give_up(report_fd, STAGE_RIGHTS);
    /* With the user's rights, so that the user must be allowed to enter. */
    if (chdir(spec->directory) < 0)
        give_up(report_fd, STAGE_DIRECTORY);
    environ = spec->env; /* execvp searches the PATH of this environment */
    execvp(spec->argv[0], spec->argv);
    give_up(report_fd, STAGE_COMMAND);
}
