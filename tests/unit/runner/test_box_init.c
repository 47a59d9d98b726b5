/* The process above a box: it starts, freezes and stops a command, and leaves no process of it. Each test
 * runs twice: with a control group, and without the right to make one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "box_init.h"
#include "cgroup.h"
#include "clock.h"

#define PATIENCE_MS 20000

typedef struct box {
    box_init_t box_init;
    char output[4096];
    size_t len;
    bool is_silent; /* the output has ended */
} box_t;

static const privileges_t *user(void)
{
    static const privileges_t nobody = {.drop = true, .uid = 65534, .gid = 65534};
    static const privileges_t own = {.drop = false};
    return geteuid() == 0 ? &nobody : &own;
}

static void start(box_t *box, char **argv, const char *directory, uint32_t grace_ms)
{
    char *env[] = {(char *)"PATH=/usr/bin:/bin", NULL};
    const box_init_spec_t spec = {.id = "test",
                                  .argv = argv,
                                  .env = env,
                                  .directory = directory,
                                  .privileges = user(),
                                  .grace_ms = grace_ms};
    *box = (box_t){.len = 0};
    assert_true(box_init_start(&spec, &box->box_init));
}

static void start_script(box_t *box, const char *script, uint32_t grace_ms)
{
    char *argv[] = {(char *)"/bin/sh", (char *)"-c", (char *)(uintptr_t)script, NULL};
    start(box, argv, "/", grace_ms);
}

/* Waits for `fd`; the box's output meanwhile is kept. */
static void await(box_t *box, int fd)
{
    for (;;) {
        struct pollfd fds[2] = {{.fd = fd, .events = POLLIN},
                                {.fd = box->is_silent ? -1 : box->box_init.output_fd, .events = POLLIN}};
        assert_true(poll(fds, 2, PATIENCE_MS) > 0);
        if (fds[1].revents != 0) {
            ssize_t n =
                read(box->box_init.output_fd, box->output + box->len, sizeof(box->output) - 1 - box->len);
            if (n > 0)
                box->len += (size_t)n;
            box->is_silent = n == 0;
        }
        if (fds[0].revents != 0)
            return;
    }
}

static uint64_t expect(box_t *box, box_init_message_t type, const char *text)
{
    ipc_message_t message;
    await(box, box->box_init.fd);
    assert_int_equal(ipc_receive(box->box_init.fd, &message), IPC_OK);
    assert_int_equal(message.type, type);
    if (text != NULL) {
        message.bytes[message.len] = '\0';
        assert_string_equal(message.bytes, text);
    }
    return message.value;
}

static void expect_end(box_t *box, int status)
{
    assert_int_equal(expect(box, BOX_INIT_ENDED, NULL), status);
    assert_int_equal(waitpid(box->box_init.pid, NULL, 0), box->box_init.pid);
    ssize_t n;
    while ((n = read(box->box_init.output_fd, box->output + box->len, sizeof(box->output) - 1 - box->len)) >
           0)
        box->len += (size_t)n;
    assert_int_equal(n, 0); /* all writers are gone */
    close(box->box_init.output_fd);
    if (box->box_init.fd >= 0)
        close(box->box_init.fd);
}

/* Reads until the box has written that many lines. */
static void expect_lines(box_t *box, size_t lines)
{
    for (;;) {
        size_t count = 0;
        for (size_t i = 0; i < box->len; i++)
            count += box->output[i] == '\n';
        if (count >= lines)
            return;
        struct pollfd fd = {.fd = box->box_init.output_fd, .events = POLLIN};
        assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
        ssize_t n = read(fd.fd, box->output + box->len, sizeof(box->output) - 1 - box->len);
        assert_true(n > 0);
        box->len += (size_t)n;
    }
}

static void say(box_t *box, box_init_message_t type)
{
    assert_int_equal(ipc_send(box->box_init.fd, type, 0, STR(""), NULL, 0), IPC_OK);
}

static void runs_and_ends(void **state)
{
    (void)state;
    box_t box;
    start_script(&box, "echo $$; exit 3", 1000);
    uint64_t pid = expect(&box, BOX_INIT_STARTED, NULL);
    expect_end(&box, 3 << 8);
    assert_int_equal(strtol(box.output, NULL, 10), pid);
}

/* 0, 1, 2, and the descriptor by which ls reads; both write to the pipe; signals that are blocked or ignored
 * here are not so there. */
static void has_nothing_of_ours(void **state)
{
    (void)state;
    box_t box;
    sigset_t set, old;
    int spare = dup(1);
    assert_true(spare >= 0);
    (void)signal(SIGTERM, SIG_IGN);
    sigfillset(&set);
    sigprocmask(SIG_SETMASK, &set, &old);
    start_script(&box,
                 "ls /proc/self/fd | tr '\\n' ' '; readlink /proc/self/fd/0 | cut -d: -f1; id -u >&2; "
                 "grep -E '^(SigBlk|SigIgn|CapEff|NoNewPrivs)' /proc/self/status | cut -f2; ulimit -n; env",
                 1000);
    sigprocmask(SIG_SETMASK, &old, NULL);
    (void)signal(SIGTERM, SIG_DFL);
    close(spare);
    expect(&box, BOX_INIT_STARTED, NULL);
    expect_end(&box, 0);
    box.output[box.len] = '\0';
    char want[512];
    int n = snprintf(want, sizeof(want),
                     "0 1 2 3 pipe\n%u\n0000000000000000\n0000000000000000\n0000000000000000\n1\n1024\n",
                     geteuid() == 0 ? 65534u : (unsigned)geteuid());
    assert_true(n > 0 && (size_t)n < box.len);
    assert_memory_equal(box.output, want, (size_t)n);
    const char *env = box.output + n;
    assert_non_null(strstr(env, "PATH=/usr/bin:/bin\n"));
    assert_null(strstr(env, "HOME="));
}

static void says_why_it_cannot(void **state)
{
    (void)state;
    box_t box;
    char *missing[] = {(char *)"/no/such/program", NULL}, *by_name[] = {(char *)"no-such-program", NULL};
    char *fine[] = {(char *)"true", NULL};
    start(&box, missing, "/", 1000);
    expect(&box, BOX_INIT_FAILED, "/no/such/program: No such file or directory");
    expect_end(&box, 127 << 8);
    start(&box, by_name, "/", 1000);
    expect(&box, BOX_INIT_FAILED, "no-such-program: No such file or directory");
    expect_end(&box, 127 << 8);
    start(&box, fine, "/no/such/dir", 1000);
    expect(&box, BOX_INIT_FAILED, "its directory /no/such/dir cannot be entered: No such file or directory");
    expect_end(&box, 127 << 8);
}

static void stops_when_asked(void **state)
{
    (void)state;
    box_t box;
    start_script(&box, "trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.05; done", PATIENCE_MS);
    expect(&box, BOX_INIT_STARTED, NULL);
    expect_lines(&box, 1);
    say(&box, BOX_INIT_STOP);
    expect_end(&box, 7 << 8);
    box.output[box.len] = '\0';
    assert_non_null(strstr(box.output, "bye"));
}

static void is_killed_when_it_does_not_stop(void **state)
{
    (void)state;
    box_t box;
    start_script(&box, "trap '' TERM; echo up; while :; do sleep 1000; done", 0);
    expect(&box, BOX_INIT_STARTED, NULL);
    expect_lines(&box, 1);
    say(&box, BOX_INIT_STOP);
    expect_end(&box, SIGKILL);
}

/* The descriptor of a process that ends when it does. */
static int watch(long pid)
{
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
    assert_true(fd >= 0);
    return fd;
}

/* Starts a command with a child in its group, one that left for a separate session, and one that was orphaned
 * there; `pidfds` get the three. */
static void start_family(box_t *box, int pidfds[3])
{
    start_script(box,
                 "sh -c 'trap \"\" TERM; echo $$; exec sleep 1000' & "
                 "setsid sh -c 'trap \"\" TERM; echo $$; exec sleep 1000' & "
                 "sh -c 'setsid sh -c \"echo \\$\\$; exec sleep 1000\" & exit' & "
                 "while :; do sleep 0.05; done",
                 0);
    expect(box, BOX_INIT_STARTED, NULL);
    expect_lines(box, 3);
    char *rest = box->output;
    for (int i = 0; i < 3; i++)
        pidfds[i] = watch(strtol(rest, &rest, 10));
}

static void expect_gone(const int pidfds[3])
{
    for (int i = 0; i < 3; i++) {
        struct pollfd fd = {.fd = pidfds[i], .events = POLLIN};
        assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
        close(pidfds[i]);
    }
}

static void nothing_is_left_after_a_stop(void **state)
{
    (void)state;
    box_t box;
    int pidfds[3];
    start_family(&box, pidfds);
    say(&box, BOX_INIT_STOP);
    expect(&box, BOX_INIT_ENDED, NULL);
    for (int i = 0; i < 3; i++) { /* already, not soon */
        struct pollfd fd = {.fd = pidfds[i], .events = POLLIN};
        assert_int_equal(poll(&fd, 1, 0), 1);
    }
    expect_gone(pidfds);
    assert_int_equal(waitpid(box.box_init.pid, NULL, 0), box.box_init.pid);
    close(box.box_init.fd);
    close(box.box_init.output_fd);
}

static void nothing_is_left_without_the_runner(void **state)
{
    (void)state;
    box_t box;
    int pidfds[3];
    start_family(&box, pidfds);
    close(box.box_init.fd);
    expect_gone(pidfds);
    assert_int_equal(waitpid(box.box_init.pid, NULL, 0), box.box_init.pid);
    close(box.box_init.output_fd);
}

static void nothing_is_left_when_the_command_ends(void **state)
{
    (void)state;
    box_t box;
    start_script(&box, "trap 'exit 0' USR1; setsid sh -c 'echo up; exec sleep 1000' & wait", PATIENCE_MS);
    pid_t pid = (pid_t)expect(&box, BOX_INIT_STARTED, NULL);
    expect_lines(&box, 1);
    assert_int_equal(kill(pid, SIGUSR1), 0);
    expect_end(&box, 0);
}

static void read_file(const char *path, char *out, size_t len)
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    out[fread(out, 1, len - 1, file)] = '\0';
    fclose(file);
}

static void read_proc(pid_t pid, const char *name, char *out, size_t len)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
    read_file(path, out, len);
}

/* Stopped by a signal, or with its group. */
static bool is_frozen(pid_t pid)
{
    static char mountinfo[65536];
    char text[4096], dir[2048], path[2080];
    read_proc(pid, "status", text, sizeof(text));
    if (strstr(text, "\nState:\tT") != NULL)
        return true;
    read_proc(getpid(), "mountinfo", mountinfo, sizeof(mountinfo));
    read_proc(pid, "cgroup", text, sizeof(text));
    if (strstr(text, "/boxedge.") == NULL ||
        !cgroup_locate(str_from(mountinfo), str_from(text), dir, sizeof(dir)))
        return false;
    snprintf(path, sizeof(path), "%s/cgroup.events", dir);
    read_file(path, text, sizeof(text));
    return strstr(text, "frozen 1") != NULL;
}

/* The box init does not report it. */
static void await_frozen(pid_t pid)
{
    uint64_t until = clock_now_ms() + PATIENCE_MS;
    while (!is_frozen(pid) && clock_now_ms() < until)
        (void)poll(NULL, 0, 1);
    assert_true(is_frozen(pid));
}

/* Whether the signal waits for the process to continue. */
static bool has_pending(pid_t pid, int number)
{
    char text[4096];
    read_proc(pid, "status", text, sizeof(text));
    const char *bits = strstr(text, "\nShdPnd:\t");
    assert_non_null(bits);
    return (strtoull(bits + 9, NULL, 16) >> (number - 1) & 1) != 0;
}

static void frozen_it_does_nothing(void **state)
{
    (void)state;
    box_t box;
    start_script(
        &box,
        "trap 'echo usr1' USR1; trap 'echo bye; exit 0' TERM; sleep 1000 & echo up; while :; do wait; done",
        PATIENCE_MS);
    pid_t pid = (pid_t)expect(&box, BOX_INIT_STARTED, NULL);
    expect_lines(&box, 1);
    say(&box, BOX_INIT_FREEZE);
    await_frozen(pid);
    assert_int_equal(kill(pid, SIGUSR1), 0);
    assert_true(has_pending(pid, SIGUSR1));
    say(&box, BOX_INIT_THAW);
    expect_lines(&box, 2);
    say(&box, BOX_INIT_FREEZE);
    say(&box, BOX_INIT_STOP); /* received in spite of it */
    expect_end(&box, 0);
    box.output[box.len] = '\0';
    assert_non_null(strstr(box.output, "bye\n"));
}

static int run_all(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_and_ends),
        cmocka_unit_test(has_nothing_of_ours),
        cmocka_unit_test(says_why_it_cannot),
        cmocka_unit_test(stops_when_asked),
        cmocka_unit_test(is_killed_when_it_does_not_stop),
        cmocka_unit_test(nothing_is_left_after_a_stop),
        cmocka_unit_test(nothing_is_left_without_the_runner),
        cmocka_unit_test(nothing_is_left_when_the_command_ends),
        cmocka_unit_test(frozen_it_does_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    int status = 0;
    if (geteuid() == 0) {
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0)
            _exit(setgroups(0, NULL) == 0 && setresgid(65534, 65534, 65534) == 0 &&
                          setresuid(65534, 65534, 65534) == 0
                      ? run_all()
                      : 99);
        if (waitpid(pid, &status, 0) != pid || status != 0) {
            fprintf(stderr, "without a control group: status %x\n", (unsigned)status);
            return 1;
        }
    }
    return run_all();
}
