/* A box in the runner: questions that cross each other, and its timers. Its processes are real; the test
 * moves the loop's clock. test_box_init covers the environment of a process. */
#include "runner_box.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "runner_world.h"

#define PATIENCE_MS 20000
#define ANSWERS_MAX 32

typedef struct world {
    loop_t *loop;
    conf_t *conf;
    runner_box_t *box;
    int listener;  /* on 127.0.0.1, whose port is the box's */
    int listener6; /* on ::1 and the same port; -1: not there */
    unsigned port;
    struct {
        uint64_t question;
        runner_result_t result;
        char sentence[RUNNER_SENTENCE_MAX + 1];
    } answers[ANSWERS_MAX];
    size_t answered;
    size_t stopped;
    unsigned states; /* its states so far, as bits */
} world_t;

static void on_changed(void *owner, runner_box_t *box)
{
    world_t *w = owner;
    runner_status_t status;
    runner_box_status(box, &status);
    w->states |= 1u << status.state;
}

static void on_answered(void *owner, uint64_t question, runner_result_t result, const char *sentence)
{
    world_t *w = owner;
    assert_true(w->answered < ANSWERS_MAX);
    w->answers[w->answered].question = question;
    w->answers[w->answered].result = result;
    snprintf(w->answers[w->answered++].sentence, sizeof(w->answers[0].sentence), "%s",
             sentence != NULL ? sentence : "");
}

static void on_orphaned(void *owner)
{
    (void)owner;
    fail_msg("a box init died");
}

static void on_stopped(void *owner, runner_box_t *box)
{
    world_t *w = owner;
    (void)box;
    w->stopped++;
}

static const runner_box_handlers_t handlers = {
    .changed = on_changed, .answered = on_answered, .orphaned = on_orphaned, .stopped = on_stopped};

static void make_box(world_t *w, const char *command)
{
    w->conf = runner_world_conf(command, w->port, NULL);
    w->box = runner_box_new(w->loop, w->conf, &w->conf->processes[0], &handlers, w);
}

static int setup(void **state)
{
    world_t *w = calloc(1, sizeof(*w));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    assert_non_null(w);
    w->listener6 = -1;
    w->loop = loop_new();
    loop_hold(w->loop);
    w->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(w->listener, (struct sockaddr *)&address, len),
                     0); /* listens when a test requests it */
    assert_int_equal(getsockname(w->listener, (struct sockaddr *)&address, &len), 0);
    w->port = ntohs(address.sin_port);
    (void)signal(SIGCHLD, SIG_IGN);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_t *w = *state;
    runner_box_free(&w->box);
    assert_null(w->box);
    runner_box_free(&w->box);
    loop_turn(w->loop, 0);
    loop_free(&w->loop);
    close(w->listener);
    if (w->listener6 >= 0)
        close(w->listener6);
    conf_release(&w->conf);
    free(w);
    return 0;
}

static void await_answers(world_t *w, size_t count)
{
    uint64_t until = clock_now_ms() + PATIENCE_MS;
    while (w->answered < count && clock_now_ms() < until)
        loop_turn(w->loop, 100);
    assert_int_equal(w->answered, count);
}

static void pass(world_t *w, uint64_t ms)
{
    loop_skip(w->loop, ms);
    loop_turn(w->loop, 0);
}

static runner_status_t status_of(const world_t *w)
{
    runner_status_t status;
    runner_box_status(w->box, &status);
    return status;
}

static void await_state(world_t *w, runner_state_t state)
{
    uint64_t until = clock_now_ms() + PATIENCE_MS;
    while (status_of(w).state != state && clock_now_ms() < until)
        loop_turn(w->loop, 100);
    assert_int_equal(status_of(w).state, state);
}

static void expect(const world_t *w, size_t index, uint64_t question, runner_result_t result,
                   const char *sentence)
{
    assert_int_equal(w->answers[index].question, question);
    assert_int_equal(w->answers[index].result, result);
    assert_string_equal(w->answers[index].sentence, sentence);
}

/* The test's listener plays the app's. */
static void start(world_t *w, uint64_t question)
{
    size_t answered = w->answered;
    runner_box_start(w->box, question);
    await_state(w, RUNNER_RUNNING);
    assert_int_equal(listen(w->listener, 5), 0);
    pass(w, RUNNER_BOX_SETTLE_MS / 2);
    assert_int_equal(w->answered, answered + 1);
    expect(w, w->answered - 1, question, RUNNER_OK, "");
}

static void started_when_its_port_listens(void **state)
{
    world_t *w = *state;
    make_box(w, "exec sleep 1000");
    assert_true(runner_box_is_stopped(w->box));
    runner_box_start(w->box, 1);
    assert_int_equal(w->answered, 0);
    await_state(w, RUNNER_RUNNING);
    runner_box_start(w->box, 2);
    pass(w, 1);
    assert_int_equal(w->answered, 0);
    assert_int_equal(listen(w->listener, 5), 0);
    pass(w, 1); /* not only when it has settled */
    assert_int_equal(w->answered, 2);
    expect(w, 0, 1, RUNNER_OK, "");
    expect(w, 1, 2, RUNNER_OK, "");
    runner_box_start(w->box, 3); /* immediately */
    expect(w, 2, 3, RUNNER_OK, "");
    runner_status_t first = status_of(w);
    assert_true(first.pid > 0 && first.life > 0 && runner_box_box_init(w->box) > 0);
    runner_box_stop(w->box, 4);
    assert_int_equal(status_of(w).state, RUNNER_STOPPING);
    await_answers(w, 4);
    expect(w, 3, 4, RUNNER_OK, "");
    assert_int_equal(w->stopped, 1);
    assert_int_equal(status_of(w).pid, 0);
}

static void started_after_a_while_without_a_port(void **state)
{
    world_t *w = *state;
    make_box(w, "exec sleep 1000");
    runner_box_start(w->box, 1);
    await_state(w, RUNNER_RUNNING);
    pass(w, RUNNER_BOX_SETTLE_MS - 1);
    assert_int_equal(w->answered, 0);
    pass(w, RUNNER_BOX_SETTLE_MS / 8); /* the next look */
    assert_int_equal(w->answered, 1);
    expect(w, 0, 1, RUNNER_OK, "");
}

static void something_else_keeps_its_port(void **state)
{
    world_t *w = *state;
    char sentence[128];
    make_box(w, "exec sleep 1000");
    assert_int_equal(listen(w->listener, 128), 0);
    runner_box_start(w->box, 1);
    for (unsigned gone = 0; gone < RUNNER_BOX_PORT_MS; gone += 100) {
        assert_int_equal(status_of(w).state, RUNNER_WAITING);
        assert_int_equal(w->answered, 0);
        pass(w, 100);
    }
    assert_int_equal(status_of(w).state, RUNNER_STOPPED);
    snprintf(sentence, sizeof(sentence),
             "The box cannot be started: another program on this machine listens on its port %u.", w->port);
    expect(w, 0, 1, RUNNER_FAILED, sentence);
    assert_int_equal(w->stopped, 1);
}

/* Listens like a box's app that binds to ::1 only; false if this machine has no such address. */
static bool listen6(world_t *w)
{
    struct sockaddr_in6 address = {
        .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT, .sin6_port = htons((uint16_t)w->port)};
    w->listener6 = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return w->listener6 >= 0 && bind(w->listener6, (struct sockaddr *)&address, sizeof(address)) == 0 &&
           listen(w->listener6, 5) == 0;
}

/* The runner keeps looking for an app that is slow to listen, but not forever. */
static void where_it_listens_is_looked_for_later(void **state)
{
    world_t *w = *state;
    make_box(w, "exec sleep 1000");
    for (unsigned late = 0; late < 2; late++) {
        runner_box_start(w->box, 1);
        await_state(w, RUNNER_RUNNING);
        for (unsigned gone = 0; gone < (late ? 61000 : 59000); gone += 250)
            pass(w, 250);
        assert_int_equal(w->answered, 2 * late + 1);
        assert_false(status_of(w).loopback6);
        if (!listen6(w))
            skip();
        pass(w, 250);
        assert_int_equal(status_of(w).loopback6, !late);
        close(w->listener6);
        w->listener6 = -1;
        runner_box_stop(w->box, 2);
        await_answers(w, 2 * late + 2);
    }
}

/* Endless output of a box is read in portions, with pauses between them. */
static void output_is_taken_in_portions(void **state)
{
    enum { REST_MS = 10, PORTION = 65536 + 16384 };
    world_t *w = *state;
    make_box(w, "exec cat /dev/zero");
    runner_box_start(w->box, 1);
    await_state(w, RUNNER_RUNNING);
    const box_log_t *log = runner_box_log(w->box);
    for (unsigned i = 0; i < 20; i++) {
        uint64_t before = box_log_end(log), until = clock_now_ms() + PATIENCE_MS;
        loop_skip(w->loop, REST_MS);
        while (box_log_end(log) == before && clock_now_ms() < until)
            loop_turn(w->loop, 100);
        assert_in_range(box_log_end(log) - before, 1, PORTION);
    }
}

static void questions_are_bounded(void **state)
{
    world_t *w = *state;
    make_box(w, "exec sleep 1000");
    for (uint64_t i = 1; i <= RUNNER_BOX_QUESTIONS_MAX; i++)
        runner_box_start(w->box, i);
    assert_int_equal(w->answered, 0);
    runner_box_start(w->box, 100);
    expect(w, 0, 100, RUNNER_BUSY, "");
    runner_box_start(w->box, 0); /* nobody waits: always */
    assert_int_equal(w->answered, 1);
    runner_box_stop(w->box, 101);
    /* All starts failed, which leaves room. */
    assert_int_equal(w->answered, 1 + RUNNER_BOX_QUESTIONS_MAX);
    expect(w, 1, 1, RUNNER_FAILED, "The box was stopped while it started.");
    await_answers(w, 2 + RUNNER_BOX_QUESTIONS_MAX);
    expect(w, 1 + RUNNER_BOX_QUESTIONS_MAX, 101, RUNNER_OK, "");
}

static void started_again_right_after_it_was_stopped(void **state)
{
    world_t *w = *state;
    make_box(w, "exec sleep 1000");
    start(w, 1);
    uint64_t life = status_of(w).life;
    runner_box_stop(w->box, 2);
    runner_box_start(w->box, 3);
    runner_box_start(w->box, 4);
    assert_int_equal(w->answered, 1);
    w->states = 0;
    /* Its port still listens, as with a child that holds on to it: the start waits for that. */
    await_answers(w, 2);
    expect(w, 1, 2, RUNNER_OK, "");
    await_state(w, RUNNER_WAITING);
    int taken = w->listener;
    w->listener = dup(taken);
    assert_int_equal(shutdown(taken, SHUT_RD), 0);
    close(taken);
    pass(w, 50);
    await_state(w, RUNNER_RUNNING);
    assert_int_equal(w->answered, 2);
    pass(w, RUNNER_BOX_SETTLE_MS);
    assert_int_equal(w->answered, 4);
    expect(w, 2, 3, RUNNER_OK, "");
    expect(w, 3, 4, RUNNER_OK, "");
    assert_true(status_of(w).life > life);
    assert_int_equal(w->states & 1u << RUNNER_STOPPED, 1u << RUNNER_STOPPED);
    assert_int_equal(w->stopped, 0);
}

static void stopped_while_it_waits_for_its_port(void **state)
{
    world_t *w = *state;
    make_box(w, "exec sleep 1000");
    assert_int_equal(listen(w->listener, 5), 0);
    runner_box_start(w->box, 1);
    assert_int_equal(status_of(w).state, RUNNER_WAITING);
    runner_box_stop(w->box, 2);
    assert_int_equal(status_of(w).state, RUNNER_STOPPED);
    expect(w, 0, 1, RUNNER_FAILED, "The box was stopped while it started.");
    expect(w, 1, 2, RUNNER_OK, "");
}

static void frozen_and_thawed(void **state)
{
    world_t *w = *state;
    make_box(w, "exec sleep 1000");
    runner_box_freeze(w->box, 1); /* it does not run */
    expect(w, 0, 1, RUNNER_OK, "");
    start(w, 2);
    runner_status_t before = status_of(w);
    runner_box_freeze(w->box, 3);
    expect(w, 2, 3, RUNNER_OK, "");
    assert_int_equal(status_of(w).state, RUNNER_FROZEN);
    runner_box_start(w->box, 4);
    expect(w, 3, 4, RUNNER_OK, "");
    assert_int_equal(status_of(w).state, RUNNER_RUNNING);
    assert_true(status_of(w).life == before.life && status_of(w).pid == before.pid);
    runner_box_freeze(w->box, 0);
    runner_box_stop(w->box, 5);
    await_answers(w, 5);
    expect(w, 4, 5, RUNNER_OK, "");
}

static void another_configuration(void **state)
{
    world_t *w = *state;
    make_box(w, "exec sleep 1000");
    start(w, 1);
    runner_status_t before = status_of(w);
    conf_t *same = runner_world_conf("exec sleep 1000", w->port, NULL),
           *other = runner_world_conf("echo other; exec sleep 1000", w->port, NULL);
    runner_box_set_conf(w->box, same, &same->processes[0]);
    assert_int_equal(status_of(w).state, RUNNER_RUNNING);
    runner_box_set_conf(w->box, other, &other->processes[0]);
    assert_int_equal(status_of(w).state, RUNNER_STOPPING);
    conf_release(&same);
    conf_release(&other);
    assert_int_equal(close(w->listener), 0);
    w->listener = dup(STDIN_FILENO);
    runner_box_start(w->box, 2);
    await_state(w, RUNNER_RUNNING);
    pass(w, RUNNER_BOX_SETTLE_MS);
    assert_int_equal(w->answered, 2);
    expect(w, 1, 2, RUNNER_OK, "");
    assert_true(status_of(w).life > before.life);
    char words[64] = "";
    uint64_t until = clock_now_ms() + PATIENCE_MS;
    while (words[0] == '\0' && clock_now_ms() < until) {
        loop_turn(w->loop, 100);
        runner_box_last_line(w->box, words, sizeof(words));
    }
    assert_string_equal(words, "other");
}

/* The reason of an end is read completely, even if it is long. */
static void why_it_ended(void **state)
{
    world_t *w = *state;
    make_box(w, "seq 1 30000; echo why; exit 5");
    runner_box_start(w->box, 1);
    uint64_t seen = 0, until = clock_now_ms() + PATIENCE_MS;
    while (w->answered == 0 && clock_now_ms() < until) {
        if (box_log_end(runner_box_log(w->box)) != seen)
            loop_skip(w->loop, 10); /* it may pause; at most once for each 4 KiB, so for half a second */
        seen = box_log_end(runner_box_log(w->box));
        loop_turn(w->loop, 100);
    }
    assert_int_equal(w->answered, 1);
    expect(w, 0, 1, RUNNER_FAILED,
           "The box's process ended within a second of its start: exit status 5.\nIts last line: why.");
    assert_int_equal(w->stopped, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(started_when_its_port_listens),
        TEST(started_after_a_while_without_a_port),
        TEST(something_else_keeps_its_port),
        TEST(where_it_listens_is_looked_for_later),
        TEST(output_is_taken_in_portions),
        TEST(questions_are_bounded),
        TEST(started_again_right_after_it_was_stopped),
        TEST(stopped_while_it_waits_for_its_port),
        TEST(frozen_and_thawed),
        TEST(another_configuration),
        TEST(why_it_ended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
