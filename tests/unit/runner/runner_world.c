#include "runner_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "bytes.h"
#include "clock.h"
#include "memfile.h"

static const char conf_text[] = "preview_domain: preview.localhost\nstate_dir: /nonexistent\n"
                                "listeners: [{address: \"127.0.0.1:1\", kind: tls}]\nuser: \"%s\"\n"
                                "processes: [{id: web, command: '%s', directory: /, ports: [%u]}]\n";

conf_t *runner_world_conf(const char *command, unsigned port, int *fd)
{
    char text[1024];
    int n = snprintf(text, sizeof(text), conf_text, geteuid() == 0 ? "nobody" : "", command, port);
    conf_errors_t *errors = conf_errors_new();
    conf_t *conf = conf_parse("test", str_make(text, (size_t)n), errors);
    if (conf == NULL)
        conf_errors_print(errors, stderr);
    conf_errors_free(&errors);
    assert_non_null(conf);
    if (fd != NULL)
        assert_true((*fd = process_conf_write("test", str_make(text, (size_t)n))) >= 0);
    return conf;
}

void runner_world_begin(runner_world_t *w, loop_t *loop, conf_t *conf, int predecessor_fd)
{
    static const uint8_t seed[16];
    int supervisor[2];
    (void)signal(SIGCHLD, SIG_IGN);
    assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    *w = (runner_world_t){.loop = loop, .shm = shm_new(seed), .controller = -1};
    assert_non_null(w->shm);
    assert_true(ipc_pair(supervisor));
    const runner_args_t args = {
        .conf = conf, .shm = w->shm, .supervisor_fd = supervisor[0], .predecessor_fd = predecessor_fd};
    w->runner = runner_new(loop, &args);
    w->supervisor = supervisor[1];
    runner_world_link(w);
}

void runner_world_link(runner_world_t *w)
{
    int controller[2];
    assert_true(ipc_pair(controller));
    assert_int_equal(ipc_send(w->supervisor, PROCESS_LINK, 0, STR(""), &controller[0], 1), IPC_OK);
    close(controller[0]);
    if (w->controller >= 0)
        close(w->controller);
    w->controller = controller[1];
}

void runner_world_end(runner_world_t *w)
{
    runner_free(&w->runner);
    assert_null(w->runner);
    runner_free(&w->runner);
    shm_free(&w->shm);
    close(w->supervisor);
    close(w->controller);
}

void runner_world_hear(loop_t *loop, int fd, uint32_t type, ipc_message_t *message)
{
    uint64_t until = clock_now_ms() + PATIENCE_MS;
    ipc_result_t result;
    while ((result = ipc_receive(fd, message)) == IPC_OK ? message->type != type : clock_now_ms() < until) {
        assert_int_not_equal(result, IPC_CLOSED);
        if (result == IPC_OK)
            ipc_message_fini(message);
        else
            loop_turn(loop, 10);
    }
    assert_int_equal(result, IPC_OK);
}

runner_status_t runner_world_await(runner_world_t *w, runner_state_t state)
{
    ipc_message_t message;
    runner_status_t status;
    do {
        runner_world_hear(w->loop, w->controller, RUNNER_BOX, &message);
        assert_true(runner_status_read(str_make(message.bytes, message.len), &status));
    } while (status.state != state);
    return status;
}

runner_status_t runner_world_start(runner_world_t *w)
{
    assert_int_equal(ipc_send(w->controller, RUNNER_START, 1, STR("web"), NULL, 0), IPC_OK);
    return runner_world_await(w, RUNNER_RUNNING);
}

char *runner_world_log(runner_world_t *w, size_t *len, uint64_t *end)
{
    char question[RUNNER_LOG_HEAD_BYTES + 3];
    ipc_message_t message;
    bytes_put64(question, 0);
    memcpy(question + RUNNER_LOG_HEAD_BYTES, "web", 3);
    assert_int_equal(ipc_send(w->controller, RUNNER_LOG, 2, str_make(question, sizeof(question)), NULL, 0),
                     IPC_OK);
    runner_world_hear(w->loop, w->controller, RUNNER_TEXT, &message);
    *end = bytes_get64(message.bytes);
    char *text = memfile_read(message.fds[0], len);
    assert_non_null(text);
    ipc_message_fini(&message);
    return text;
}

bool runner_world_has_ended(int pidfd, int wait_ms)
{
    struct pollfd fd = {.fd = pidfd, .events = POLLIN};
    return poll(&fd, 1, wait_ms) == 1;
}
