/* Boxes pass from the runner of one edge to that of the next, or stay where they are. */
#include "boxes_message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "memfile.h"
#include "runner_world.h"
#include "taker.h"

static const char command[] = "echo begun; trap \"echo told; exit 0\" TERM; while :; do sleep 0.01; done";

#define PORT 2 /* nothing listens there */

typedef struct pair {
    loop_t *loop;
    runner_world_t old, next;
    int conf_fd;
    runner_status_t status; /* of the box, before */
    int pidfd;              /* of its command */
    size_t descriptors;     /* before */
} pair_t;

static size_t count_descriptors(void)
{
    size_t count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count;
}

/* An old runner whose box has written its first line. */
static int setup(void **state)
{
    pair_t *p = calloc(1, sizeof(*p));
    assert_non_null(p);
    p->loop = loop_new();
    loop_hold(p->loop);
    p->descriptors = count_descriptors();
    conf_t *conf = runner_world_conf(command, PORT, &p->conf_fd);
    runner_world_begin(&p->old, p->loop, conf, -1);
    p->status = runner_world_start(&p->old);
    p->pidfd = (int)syscall(SYS_pidfd_open, (pid_t)p->status.pid, 0);
    assert_true(p->pidfd >= 0);
    for (bool begun = false; !begun;) {
        size_t len;
        uint64_t end;
        char *text = runner_world_log(&p->old, &len, &end);
        begun = strstr(text, "begun\n") != NULL;
        memfile_release(&text, len);
    }
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    pair_t *p = *state;
    if (p->old.loop != NULL)
        runner_world_end(&p->old);
    if (p->next.loop != NULL)
        runner_world_end(&p->next);
    assert_true(runner_world_has_ended(p->pidfd, PATIENCE_MS)); /* without both runners */
    close(p->pidfd);
    close(p->conf_fd);
    loop_turn(p->loop, 0);
    assert_int_equal(count_descriptors(), p->descriptors);
    loop_free(&p->loop);
    free(p);
    return 0;
}

/* As the supervisor of the old edge does. Returns the taker's end. */
static int give(pair_t *p)
{
    int channel[2];
    assert_true(ipc_pair(channel));
    const int fds[] = {channel[0], p->conf_fd};
    assert_int_equal(ipc_send(p->old.supervisor, PROCESS_GIVE_BOXES, 0, STR(""), fds, 2), IPC_OK);
    close(channel[0]);
    return channel[1];
}

/* Starts the next runner with `fd`, and waits until it serves. */
static void begin_next(pair_t *p, const char *box_command, int fd)
{
    ipc_message_t message;
    runner_world_begin(&p->next, p->loop, runner_world_conf(box_command, PORT, NULL), fd);
    runner_world_hear(p->loop, p->next.supervisor, PROCESS_READY, &message);
}

static runner_status_t look(runner_world_t *w)
{
    ipc_message_t message;
    runner_status_t status;
    assert_int_equal(ipc_send(w->controller, RUNNER_LIST, 0, STR(""), NULL, 0), IPC_OK);
    runner_world_hear(w->loop, w->controller, RUNNER_BOX, &message);
    assert_true(runner_status_read(str_make(message.bytes, message.len), &status));
    runner_world_hear(w->loop, w->controller, RUNNER_LISTED, &message);
    assert_int_equal(message.value, 1);
    return status;
}

static void drain(runner_world_t *w, uint64_t how)
{
    assert_int_equal(ipc_send(w->supervisor, PROCESS_DRAIN, how, STR(""), NULL, 0), IPC_OK);
    while (!runner_is_over(w->runner))
        loop_turn(w->loop, 10);
    runner_world_end(w);
    w->loop = NULL;
}

static void turn(pair_t *p)
{
    for (int i = 0; i < 10; i++)
        loop_turn(p->loop, 0);
}

/* The box gets the expected stop: SIGTERM first. */
static void stop(runner_world_t *w, int pidfd)
{
    ipc_message_t message;
    size_t len;
    uint64_t end;
    assert_int_equal(ipc_send(w->controller, RUNNER_STOP, 7, STR("web"), NULL, 0), IPC_OK);
    do /* an open start is answered, too */
        runner_world_hear(w->loop, w->controller, RUNNER_DONE, &message);
    while (message.value != 7);
    assert_int_equal(message.bytes[0], RUNNER_OK);
    assert_true(runner_world_has_ended(pidfd, 0));
    char *text = runner_world_log(w, &len, &end);
    assert_non_null(strstr(text, "begun\n"));
    assert_non_null(strstr(text, "told\n"));
    memfile_release(&text, len);
}

static void assert_same(const runner_status_t *a, const runner_status_t *b)
{
    assert_string_equal(a->id, b->id);
    assert_int_equal(a->state, b->state);
    assert_int_equal(a->life, b->life);
    assert_int_equal(a->pid, b->pid);
}

static void a_box_lives_on_in_the_next_runner(void **state)
{
    pair_t *p = *state;
    size_t len, len_before;
    uint64_t end, end_before;
    char *before = runner_world_log(&p->old, &len_before, &end_before);
    begin_next(p, command, give(p));
    runner_status_t status = look(&p->next);
    assert_same(&status, &p->status);
    char *text = runner_world_log(&p->next, &len, &end);
    assert_int_equal(end, end_before);
    assert_string_equal(text, before);
    memfile_release(&text, len);
    memfile_release(&before, len_before);
    drain(&p->old, PROCESS_DRAIN_OTHERS_ACCEPT);
    turn(p);
    assert_false(runner_world_has_ended(p->pidfd, 0));
    stop(&p->next, p->pidfd);
}

static void a_frozen_box_stays_frozen(void **state)
{
    pair_t *p = *state;
    assert_int_equal(ipc_send(p->old.controller, RUNNER_FREEZE, 3, STR("web"), NULL, 0), IPC_OK);
    (void)runner_world_await(&p->old, RUNNER_FROZEN);
    begin_next(p, command, give(p));
    assert_int_equal(look(&p->next).state, RUNNER_FROZEN);
    drain(&p->old, PROCESS_DRAIN_OTHERS_ACCEPT);
    (void)runner_world_start(&p->next);
    stop(&p->next, p->pidfd);
}

/* Its TERM was sent, and its end is noticed. */
static void a_stopping_box_ends(void **state)
{
    pair_t *p = *state;
    assert_int_equal(ipc_send(p->old.controller, RUNNER_STOP, 3, STR("web"), NULL, 0), IPC_OK);
    (void)runner_world_await(&p->old, RUNNER_STOPPING);
    begin_next(p, command, give(p));
    while (look(&p->next).state != RUNNER_STOPPED) {
    }
    assert_true(runner_world_has_ended(p->pidfd, PATIENCE_MS));
    (void)look(&p->next);
}

static void a_box_without_a_process_is_not_handed_on(void **state)
{
    pair_t *p = *state;
    stop(&p->old, p->pidfd);
    begin_next(p, command, give(p));
    assert_int_equal(look(&p->next).state, RUNNER_STOPPED);
    drain(&p->old, PROCESS_DRAIN_OTHERS_ACCEPT);
}

/* The next configuration has another command for it. */
static void a_changed_box_stops(void **state)
{
    pair_t *p = *state;
    begin_next(p, "sleep 1000", give(p));
    assert_true(runner_world_has_ended(p->pidfd, PATIENCE_MS));
    (void)runner_world_start(&p->next);
}

/* The upgrade fails immediately, or after the next runner had the box. */
static void the_old_runner_goes_on(void **state)
{
    pair_t *p = *state;
    for (int taken = 0; taken < 2; taken++) {
        int fd = give(p);
        if (taken == 1) {
            begin_next(p, command, fd);
            runner_world_end(&p->next); /* it is killed: its descriptors close */
            p->next.loop = NULL;
        } else {
            turn(p);
            close(fd);
            turn(p);
        }
        runner_world_link(&p->old); /* by a controller that is back */
        runner_status_t status = look(&p->old);
        assert_same(&status, &p->status);
    }
    stop(&p->old, p->pidfd);
}

/* The next edge ends while the old one still holds the boxes, in each way. */
static void the_end_of_the_next_edge_ends_no_box(void **state)
{
    pair_t *p = *state;
    begin_next(p, command, give(p));
    drain(&p->next, 0);
    begin_next(p, command, give(p));
    close(p->next.supervisor);
    p->next.supervisor = -1;
    while (!runner_is_over(p->next.runner))
        loop_turn(p->loop, 10);
    p->next.supervisor = dup(p->conf_fd); /* for the teardown */
    runner_world_end(&p->next);
    p->next.loop = NULL;
    assert_false(runner_world_has_ended(p->pidfd, 0));
    runner_world_link(&p->old);
    stop(&p->old, p->pidfd);
}

/* No other runner has them: the old edge ends them in order. */
static void an_old_edge_without_a_next_one_stops_its_boxes(void **state)
{
    pair_t *p = *state;
    begin_next(p, command, give(p));
    drain(&p->next, 0);
    turn(p);
    drain(&p->old, PROCESS_DRAIN_OTHERS_ACCEPT);
    assert_true(runner_world_has_ended(p->pidfd, 0));
}

/* The edge ends while the next one only loads: this is no hand-over. */
static void an_old_edge_that_ends_by_itself_stops_its_boxes(void **state)
{
    pair_t *p = *state;
    begin_next(p, command, give(p));
    drain(&p->old, 0);
    assert_true(runner_world_has_ended(p->pidfd, 0));
    while (look(&p->next).state != RUNNER_STOPPED) {
    }
}

/* A second runner of the next edge, after the death of the first. */
static void boxes_are_given_once_more(void **state)
{
    pair_t *p = *state;
    begin_next(p, command, give(p));
    runner_world_end(&p->next);
    begin_next(p, command, give(p));
    drain(&p->old, PROCESS_DRAIN_OTHERS_ACCEPT);
    stop(&p->next, p->pidfd);
}

static void an_old_runner_that_is_silent_is_not_awaited(void **state)
{
    pair_t *p = *state;
    int channel[2];
    ipc_message_t message;
    assert_true(ipc_pair(channel));
    runner_world_begin(&p->next, p->loop, runner_world_conf(command, PORT, NULL), channel[0]);
    runner_world_hear(p->loop, channel[1], BOXES_NEXT, &message);
    loop_skip(p->loop, TAKER_MS - 1);
    turn(p);
    assert_int_equal(ipc_receive(channel[1], &message), IPC_AGAIN);
    loop_skip(p->loop, 1);
    runner_world_hear(p->loop, p->next.supervisor, PROCESS_READY, &message);
    assert_int_equal(ipc_receive(channel[1], &message), IPC_CLOSED);
    assert_int_equal(look(&p->next).state, RUNNER_STOPPED);
    close(channel[1]);
}

/* Such as an edge without process boxes, or of an earlier version. */
static void an_old_edge_may_have_no_boxes(void **state)
{
    pair_t *p = *state;
    int channel[2];
    assert_true(ipc_pair(channel));
    close(channel[1]);
    begin_next(p, command, channel[0]);
    assert_int_equal(look(&p->next).state, RUNNER_STOPPED);
    assert_false(runner_world_has_ended(p->pidfd, 0));
}

/* A new configuration and a second controller arrive during the hand-over. */
static void orders_wait_for_the_boxes(void **state)
{
    pair_t *p = *state;
    int channel[2], conf_fd;
    ipc_message_t message;
    conf_t *changed = runner_world_conf("sleep 1000", PORT, &conf_fd);
    conf_release(&changed);
    assert_true(ipc_pair(channel));
    runner_world_begin(&p->next, p->loop, runner_world_conf(command, PORT, NULL), channel[0]);
    runner_world_link(&p->next);
    assert_int_equal(ipc_send(p->next.supervisor, PROCESS_CONF, 9, STR(""), &conf_fd, 1), IPC_OK);
    runner_world_hear(p->loop, p->next.supervisor, PROCESS_CONF_DONE, &message);
    const int fds[] = {channel[1], p->conf_fd};
    assert_int_equal(ipc_send(p->old.supervisor, PROCESS_GIVE_BOXES, 0, STR(""), fds, 2), IPC_OK);
    close(channel[1]);
    close(conf_fd);
    runner_world_hear(p->loop, p->next.supervisor, PROCESS_READY, &message);
    assert_true(runner_world_has_ended(p->pidfd, PATIENCE_MS)); /* it has another command now */
    while (look(&p->next).state != RUNNER_STOPPED) {
    }
}

/* The next runner has no descriptor for a box: the old one keeps it. */
static void a_lack_of_descriptors_leaves_the_boxes(void **state)
{
    pair_t *p = *state;
    struct rlimit before, few;
    ipc_message_t message;
    int fd = give(p), conf_fd = dup(p->conf_fd), channel[2];
    assert_true(conf_fd >= 0 && ipc_pair(channel));
    close(fd);
    turn(p);
    runner_world_begin(&p->next, p->loop, runner_world_conf(command, PORT, NULL), channel[0]);
    runner_world_hear(p->loop, channel[1], BOXES_NEXT, &message);
    assert_int_equal(ipc_send(channel[1], BOXES_CONF, 0, STR(""), &conf_fd, 1), IPC_OK);
    close(conf_fd);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    turn(p);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    runner_world_hear(p->loop, p->next.supervisor, PROCESS_READY, &message);
    assert_int_equal(ipc_receive(channel[1], &message), IPC_CLOSED);
    close(channel[1]);
    assert_int_equal(look(&p->next).state, RUNNER_STOPPED);
    runner_world_link(&p->old);
    assert_int_equal(look(&p->old).state, RUNNER_RUNNING);
}

/* Malformed messages, which no runner sends: the next one serves without boxes. */
static void bad_messages_are_refused(void **state)
{
    static const struct bad {
        uint32_t type;
        bool conf_first;
        const char *bytes;
        size_t len, fds;
    } bad[] = {
        {BOXES_CONF, false, "", 0, 0}, /* no descriptor */
        {BOXES_CONF, false, "", 0, 1}, /* not a configuration */
        {BOXES_BOX, false, "", 0, 1},  /* before the configuration */
        {BOXES_BOX, true, "", 0, 3},   {BOXES_BOX, true, "\0\0\0", 3, 1},
    };
    pair_t *p = *state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int channel[2], null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
        const int fds[] = {null_fd, null_fd, null_fd};
        ipc_message_t message;
        assert_true(ipc_pair(channel) && null_fd >= 0);
        runner_world_begin(&p->next, p->loop, runner_world_conf(command, PORT, NULL), channel[0]);
        if (bad[i].conf_first)
            assert_int_equal(ipc_send(channel[1], BOXES_CONF, 0, STR(""), &p->conf_fd, 1), IPC_OK);
        assert_int_equal(
            ipc_send(channel[1], bad[i].type, 0, str_make(bad[i].bytes, bad[i].len), fds, bad[i].fds),
            IPC_OK);
        runner_world_hear(p->loop, p->next.supervisor, PROCESS_READY, &message);
        assert_int_equal(look(&p->next).state, RUNNER_STOPPED);
        runner_world_end(&p->next);
        p->next.loop = NULL;
        close(channel[1]);
        close(null_fd);
    }
}

/* ---- handed_box_read ---- */

static void a_message_is_read_as_it_was_written(void **state)
{
    char bytes[HANDED_BOX_BYTES];
    (void)state;
    for (unsigned mask = 0; mask < 8; mask++) {
        handed_box_t box = {.status = {.id = "web", .state = RUNNER_FROZEN, .life = 1, .pid = 2},
                            .settled = (mask & 1) != 0,
                            .since_ms = UINT64_MAX,
                            .box_init = INT32_MAX,
                            .log_end = 3,
                            .channel_fd = 100,
                            .output_fd = (mask & 2) != 0 ? 101 : -1,
                            .log_fd = (mask & 4) != 0 ? 102 : -1};
        int fds[3] = {box.channel_fd, -1, -1};
        size_t count = 1, len = handed_box_write(&box, bytes);
        if (box.output_fd >= 0)
            fds[count++] = box.output_fd;
        if (box.log_fd >= 0)
            fds[count++] = box.log_fd;
        handed_box_t read;
        for (size_t n = 0; n < len - 3; n++) /* cut before the id */
            assert_false(handed_box_read(str_make(bytes, n), fds, count, &read));
        assert_false(handed_box_read(str_make(bytes, len), fds, count - 1, &read));
        assert_false(handed_box_read(str_make(bytes, len), fds, count + 1, &read));
        assert_int_equal(fds[0], 100);
        assert_true(handed_box_read(str_make(bytes, len), fds, count, &read));
        assert_int_equal(fds[0], -1);
        assert_true(read.settled == box.settled && read.since_ms == box.since_ms &&
                    read.box_init == box.box_init && read.log_end == 3 && read.channel_fd == 100 &&
                    read.output_fd == box.output_fd && read.log_fd == box.log_fd);
        assert_same(&read.status, &box.status);
    }
}

static void states_and_process_ids_are_judged(void **state)
{
    static const runner_state_t states[] = {RUNNER_STOPPED, RUNNER_WAITING};
    char bytes[HANDED_BOX_BYTES];
    int fd = 100;
    handed_box_t read, box = {.status = {.id = "web"}, .box_init = 1, .output_fd = -1, .log_fd = -1};
    (void)state;
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        box.status.state = states[i];
        size_t len = handed_box_write(&box, bytes);
        assert_false(handed_box_read(str_make(bytes, len), &fd, 1, &read));
    }
    box.status.state = RUNNER_RUNNING;
    for (pid_t pid = -1; pid < 2; pid++) {
        box.box_init = pid;
        size_t len = handed_box_write(&box, bytes);
        assert_true(handed_box_read(str_make(bytes, len), &fd, 1, &read) == (pid == 1));
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_box_lives_on_in_the_next_runner),
        TEST(a_frozen_box_stays_frozen),
        TEST(a_stopping_box_ends),
        TEST(a_box_without_a_process_is_not_handed_on),
        TEST(a_changed_box_stops),
        TEST(the_old_runner_goes_on),
        TEST(the_end_of_the_next_edge_ends_no_box),
        TEST(an_old_edge_without_a_next_one_stops_its_boxes),
        TEST(an_old_edge_that_ends_by_itself_stops_its_boxes),
        TEST(boxes_are_given_once_more),
        TEST(an_old_runner_that_is_silent_is_not_awaited),
        TEST(an_old_edge_may_have_no_boxes),
        TEST(orders_wait_for_the_boxes),
        TEST(a_lack_of_descriptors_leaves_the_boxes),
        TEST(bad_messages_are_refused),
        cmocka_unit_test(a_message_is_read_as_it_was_written),
        cmocka_unit_test(states_and_process_ids_are_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
