/* The runner in the test's own process, with the test in the place of supervisor and controller. Its boxes
 * are real, the loop's clock is the test's. */
#include "runner.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bytes.h"
#include "cgroup.h"
#include "clock.h"
#include "memfile.h"
#include "runner_message.h"

#define PATIENCE_MS 20000
#define SWEEP_MS    20

typedef struct world {
    loop_t *loop;
    shm_t *shm;
    runner_t *runner;
    int supervisor, controller; /* their ends of the channels */
} world_t;

/* A box that leaves a process behind, which says its number, when it is killed. */
static const char conf_text[] =
    "preview_domain: preview.localhost\nstate_dir: /nonexistent\n"
    "listeners: [{address: \"127.0.0.1:1\", kind: tls}]\nuser: \"%s\"\n"
    "processes: [{id: web, command: 'setsid sh -c \"echo \\$\\$; exec sleep 1000\" & exec sleep 1000', "
    "directory: /, ports: [2]}]\n";

static conf_t *make_conf(void)
{
    char text[1024];
    int n = snprintf(text, sizeof(text), conf_text, geteuid() == 0 ? "nobody" : "");
    conf_errors_t *errors = conf_errors_new();
    conf_t *conf = conf_parse("test", str_make(text, (size_t)n), errors);
    if (conf == NULL)
        conf_errors_print(errors, stderr);
    conf_errors_free(&errors);
    assert_non_null(conf);
    return conf;
}

static int setup(void **state)
{
    static const uint8_t seed[16];
    int supervisor[2], controller[2];
    world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    (void)signal(SIGCHLD, SIG_IGN);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    w->loop = loop_new();
    loop_hold(w->loop);
    w->shm = shm_new(seed);
    assert_non_null(w->shm);
    assert_true(ipc_pair(supervisor) && ipc_pair(controller));
    const runner_args_t args = {.conf = make_conf(), .shm = w->shm, .supervisor_fd = supervisor[0]};
    w->runner = runner_new(w->loop, &args);
    w->supervisor = supervisor[1];
    w->controller = controller[1];
    assert_int_equal(ipc_send(w->supervisor, PROCESS_LINK, 0, STR(""), &controller[0], 1), IPC_OK);
    close(controller[0]);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_t *w = *state;
    runner_free(&w->runner);
    assert_null(w->runner);
    runner_free(&w->runner);
    loop_turn(w->loop, 0);
    loop_free(&w->loop);
    shm_free(&w->shm);
    close(w->supervisor);
    close(w->controller);
    free(w);
    return 0;
}

static void pass(world_t *w, uint64_t ms)
{
    loop_skip(w->loop, ms);
    loop_turn(w->loop, 0);
}

/* The next message of that type to the supervisor or the controller; others are dropped. */
static void hear(world_t *w, int fd, uint32_t type, ipc_message_t *message)
{
    uint64_t until = clock_now_ms() + PATIENCE_MS;
    ipc_result_t result;
    while ((result = ipc_receive(fd, message)) == IPC_OK ? message->type != type : clock_now_ms() < until) {
        assert_int_not_equal(result, IPC_CLOSED);
        if (result == IPC_OK)
            ipc_message_fini(message);
        else
            loop_turn(w->loop, 10);
    }
    assert_int_equal(result, IPC_OK);
}

static runner_status_t await_state(world_t *w, runner_state_t state)
{
    ipc_message_t message;
    runner_status_t status;
    do {
        hear(w, w->controller, RUNNER_BOX, &message);
        assert_true(runner_status_read(str_make(message.bytes, message.len), &status));
    } while (status.state != state);
    return status;
}

static runner_status_t start(world_t *w)
{
    assert_int_equal(ipc_send(w->controller, RUNNER_START, 1, STR("web"), NULL, 0), IPC_OK);
    return await_state(w, RUNNER_RUNNING);
}

/* The number that the process said which the box will leave behind. */
static pid_t await_stray(world_t *w)
{
    uint64_t until = clock_now_ms() + PATIENCE_MS;
    long pid = 0;
    while (pid == 0 && clock_now_ms() < until) {
        char question[RUNNER_LOG_HEAD_BYTES + 3];
        ipc_message_t message;
        size_t len;
        bytes_put64(question, 0);
        memcpy(question + RUNNER_LOG_HEAD_BYTES, "web", 3);
        assert_int_equal(
            ipc_send(w->controller, RUNNER_LOG, 2, str_make(question, sizeof(question)), NULL, 0), IPC_OK);
        hear(w, w->controller, RUNNER_TEXT, &message);
        char *text = memfile_read(message.fds[0], &len), *at = text;
        assert_non_null(text);
        for (char *end; pid == 0 && (end = memchr(at, '\n', len - (size_t)(at - text))) != NULL; at = end + 1)
            pid = strtol(at, NULL, 10); /* 0: a line of the runner's */
        memfile_release(&text, len);
        ipc_message_fini(&message);
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

static bool has_ended(int pidfd, int wait_ms)
{
    struct pollfd fd = {.fd = pidfd, .events = POLLIN};
    return poll(&fd, 1, wait_ms) == 1;
}

/* ---- tests ---- */

static void its_heart_beats(void **state)
{
    world_t *w = *state;
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

/* Whether boxes have control groups here: what has left its process group is found by nothing else. */
static bool has_groups(void)
{
    cgroup_t group;
    bool made = cgroup_make(&group, "test-runner-look");
    if (made)
        assert_true(cgroup_remove(&group));
    cgroup_close(&group);
    return made;
}

/* What a box init that was killed left behind is looked for after a moment, until nothing of it is there. */
static void what_a_box_init_left_is_swept(void **state)
{
    world_t *w = *state;
    if (!has_groups())
        skip();
    runner_status_t status = start(w);
    int stray = (int)syscall(SYS_pidfd_open, await_stray(w), 0);
    assert_true(stray >= 0);
    assert_int_equal(kill(parent_of((pid_t)status.pid), SIGKILL), 0);
    (void)await_state(w, RUNNER_STOPPED);
    pass(w, SWEEP_MS - 1);
    assert_false(has_ended(stray, 0));
    pass(w, 1);
    assert_true(has_ended(stray, PATIENCE_MS));
    for (int i = 0; i < 10; i++) /* its control group goes, too, where it had one */
        pass(w, SWEEP_MS);
    close(stray);
}

static void ends_with_its_boxes(void **state)
{
    world_t *w = *state;
    ipc_message_t message;
    (void)start(w);
    assert_int_equal(ipc_send(w->supervisor, PROCESS_DRAIN, 0, STR(""), NULL, 0), IPC_OK);
    hear(w, w->controller, RUNNER_DONE, &message); /* of the start */
    assert_int_equal(message.bytes[0], RUNNER_FAILED);
    assert_false(runner_is_over(w->runner));
    (void)await_state(w, RUNNER_STOPPED);
    assert_true(runner_is_over(w->runner));
    assert_int_equal(runner_status(w->runner), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(its_heart_beats),
        TEST(what_a_box_init_left_is_swept),
        TEST(ends_with_its_boxes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
