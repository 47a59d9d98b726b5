/* The runner and its boxes. */
#include "runner_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cgroup.h"
#include "clock.h"
#include "memfile.h"
#include "said.h"

#define SWEEP_MS 20
#define PORT     2 /* nothing listens there */

/* A box that leaves a process behind when it is killed, and reports that process's number. */
static const char command[] = "setsid sh -c \"echo \\$\\$; exec sleep 1000\" & exec sleep 1000";

static int setup(void **state)
{
    runner_world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    loop_t *loop = loop_new();
    loop_hold(loop);
    runner_world_begin(w, loop, runner_world_conf(command, PORT, NULL), -1);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    runner_world_t *w = *state;
    runner_world_end(w);
    loop_turn(w->loop, 0);
    loop_free(&w->loop);
    free(w);
    return 0;
}

static void pass(runner_world_t *w, uint64_t ms)
{
    loop_skip(w->loop, ms);
    loop_turn(w->loop, 0);
}

/* The number that the process reported which the box will leave behind. */
static pid_t await_stray(runner_world_t *w)
{
    uint64_t until = clock_now_ms() + PATIENCE_MS;
    long pid = 0;
    while (pid == 0 && clock_now_ms() < until) {
        size_t len;
        uint64_t log_end;
        char *text = runner_world_log(w, &len, &log_end), *at = text;
        for (char *end; pid == 0 && (end = memchr(at, '\n', len - (size_t)(at - text))) != NULL; at = end + 1)
            pid = strtol(at, NULL, 10); /* 0: a line of the runner's */
        memfile_release(&text, len);
        loop_turn(w->loop, 10);
    }
    assert_true(pid > 0);
    return (pid_t)pid;
}

static pid_t parent_of(pid_t pid)
{
    char path[64];
    int parent = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*d (%*[^)]) %*c %d", &parent), 1);
    fclose(file);
    return parent;
}

/* ---- tests ---- */

static void its_heart_beats(void **state)
{
    runner_world_t *w = *state;
    shm_child_t *role = shm_runner(w->shm);
    assert_int_equal(atomic_load(&role->state), SHM_READY);
    for (int i = 0; i < 2; i++) {
        assert_true(atomic_load(&role->heartbeat_ms) > 0);
        atomic_store(&role->heartbeat_ms, 0);
        pass(w, PROCESS_HEARTBEAT_MS - 1);
        assert_int_equal(atomic_load(&role->heartbeat_ms), 0);
        pass(w, 1);
    }
}

/* Whether boxes have control groups here: nothing else finds processes that left their process group. */
static bool has_groups(void)
{
    cgroup_t group;
    bool made = cgroup_make(&group, "test-runner-look");
    if (made)
        assert_true(cgroup_remove(&group));
    cgroup_close(&group);
    return made;
}

/* A box init was killed: a later look finds its remaining processes, until none is left. */
static void what_a_box_init_left_is_swept(void **state)
{
    runner_world_t *w = *state;
    if (!has_groups())
        skip();
    runner_status_t status = runner_world_start(w);
    int stray = (int)syscall(SYS_pidfd_open, await_stray(w), 0);
    assert_true(stray >= 0);
    assert_int_equal(kill(parent_of((pid_t)status.pid), SIGKILL), 0);
    (void)runner_world_await(w, RUNNER_STOPPED);
    pass(w, SWEEP_MS - 1);
    assert_false(runner_world_has_ended(stray, 0));
    pass(w, 1);
    assert_true(runner_world_has_ended(stray, PATIENCE_MS));
    for (int i = 0; i < 10; i++) /* its control group is removed, too, if it had one */
        pass(w, SWEEP_MS);
    close(stray);
}

static void ends_with_its_boxes(void **state)
{
    runner_world_t *w = *state;
    ipc_message_t message;
    (void)runner_world_start(w);
    assert_int_equal(ipc_send(w->supervisor, PROCESS_DRAIN, 0, STR(""), NULL, 0), IPC_OK);
    runner_world_hear(w->loop, w->controller, RUNNER_DONE, &message); /* of the start */
    assert_int_equal(message.bytes[0], RUNNER_FAILED);
    assert_false(runner_is_over(w->runner));
    (void)runner_world_await(w, RUNNER_STOPPED);
    assert_true(runner_is_over(w->runner));
    assert_int_equal(runner_status(w->runner), 0);
}

/* At a drain the controller ends first: a message for it fails before its end of the channel is seen. */
static void does_not_miss_the_controller_at_the_end(void **state)
{
    runner_world_t *w = *state;
    said_t said;
    char text[1024];
    (void)runner_world_start(w);
    assert_int_equal(ipc_send(w->supervisor, PROCESS_DRAIN, 0, STR(""), NULL, 0), IPC_OK);
    assert_int_equal(shutdown(w->controller, SHUT_RD), 0);
    said_begin(&said);
    while (!runner_is_over(w->runner))
        loop_turn(w->loop, 10);
    said_end(&said, text, sizeof(text));
    assert_string_equal(text, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(its_heart_beats),
        TEST(what_a_box_init_left_is_swept),
        TEST(ends_with_its_boxes),
        TEST(does_not_miss_the_controller_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
