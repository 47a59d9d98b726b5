/* The filter of a worker's system calls: acts that it must refuse, and acts that a worker needs. Each test
 * runs in a child, since a filter stays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "system_acts.h"
#include "system_calls.h"

/* In memory that the test shares with its child. */
typedef struct report {
    char text[4096];
    _Atomic bool filtered;
} report_t;

static report_t *report;
static acts_world_t world;

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...)
{
    size_t used = strlen(report->text);
    va_list args;
    va_start(args, format);
    vsnprintf(report->text + used, sizeof(report->text) - used, format, args);
    va_end(args);
}

static void filter(void)
{
    char error[256] = "";
    if (!acts_open(&world, getppid()) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        say("the world: %s\n", strerror(errno));
    else if (!system_calls_restrict(error, sizeof(error)))
        say("no filter: %s\n", error);
    else
        atomic_store(&report->filtered, true);
}

static void try_forbidden(void)
{
    for (const forbidden_act_t *act = forbidden_acts; act->name != NULL; act++) {
        errno = 0;
        long got = act->call(&world);
        if (got != -1 || errno != EPERM)
            say("%s: %ld, %s\n", act->name, got, strerror(errno));
    }
    errno = 0;
    if (syscall(SYS_clone3, NULL, 0) != -1 || errno != ENOSYS)
        say("clone3: %s\n", strerror(errno));
}

static void do_forbidden(void)
{
    filter();
    if (atomic_load(&report->filtered))
        try_forbidden();
}

static void do_needed(void)
{
    filter();
    for (const needed_act_t *act = needed_acts; act->name != NULL; act++) {
        errno = 0;
        if (!act->works(&world))
            say("%s: %s\n", act->name, strerror(errno));
    }
}

static pthread_barrier_t after_filter;

static void *older_thread(void *arg)
{
    (void)pthread_barrier_wait(&after_filter);
    try_forbidden();
    return arg;
}

static void acts_of_an_older_thread(void)
{
    pthread_t thread;
    pthread_barrier_init(&after_filter, NULL, 2);
    if (pthread_create(&thread, NULL, older_thread, NULL) != 0)
        say("no thread\n");
    filter();
    (void)pthread_barrier_wait(&after_filter);
    (void)pthread_join(thread, NULL);
}

static void abort_after_filter(void)
{
    filter();
    abort();
}

/* A kernel without filters, from this process's view. */
static void without_filters(void)
{
    struct sock_filter refuse[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_seccomp, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = sizeof(refuse) / sizeof(refuse[0]), .filter = refuse};
    char error[256] = "";
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        say("the world: %s\n", strerror(errno));
    if (system_calls_restrict(error, sizeof(error)))
        say("filtered\n");
    if (error[0] == '\0')
        say("no sentence\n");
    if (socket(AF_UNIX, SOCK_STREAM, 0) < 0)
        say("half a filter\n");
}

/* Runs `body` in a child, and expects no report and this exit. */
static void expect_child(void (*body)(void), int signal)
{
#ifndef BOXEDGE_SECCOMP
    skip();
#endif
    memset(report->text, 0, sizeof(report->text));
    atomic_store(&report->filtered, false);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        body();
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_string_equal(report->text, "");
    assert_int_equal(WIFSIGNALED(status) ? WTERMSIG(status) : 0, signal);
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
}

static void what_a_worker_never_does_is_refused(void **state)
{
    (void)state;
    expect_child(do_forbidden, 0);
    assert_true(atomic_load(&report->filtered));
}

static void what_a_worker_needs_works(void **state)
{
    (void)state;
    expect_child(do_needed, 0);
}

static void threads_from_before_are_filtered_too(void **state)
{
    (void)state;
    expect_child(acts_of_an_older_thread, 0);
}

static void a_failed_assertion_ends_by_its_signal(void **state)
{
    (void)state;
    expect_child(abort_after_filter, SIGABRT);
}

static void without_filters_in_the_kernel_it_says_so(void **state)
{
    (void)state;
    expect_child(without_filters, 0);
}

static int share_report(void **state)
{
    (void)state;
    report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return report != MAP_FAILED ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_worker_never_does_is_refused),
        cmocka_unit_test(what_a_worker_needs_works),
        cmocka_unit_test(threads_from_before_are_filtered_too),
        cmocka_unit_test(a_failed_assertion_ends_by_its_signal),
        cmocka_unit_test(without_filters_in_the_kernel_it_says_so),
    };
    return cmocka_run_group_tests(tests, share_report, NULL);
}
