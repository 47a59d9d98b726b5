/* The controller's messages to the workers, none of which is lost. */
#include "worker_links.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "channel.h"
#include "ipc.h"
#include "process.h"

typedef struct world {
    loop_t *loop;
    worker_links_t *worker_links;
    unsigned heard_from;
    uint32_t heard_type;
} world_t;

static void hear(void *owner, unsigned index, ipc_message_t *message)
{
    world_t *w = owner;
    w->heard_from = index;
    w->heard_type = message->type;
}

static int setup(void **state)
{
    world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->loop = loop_new();
    w->worker_links = worker_links_new(w->loop, hear, w);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_t *w = *state;
    worker_links_free(&w->worker_links);
    assert_null(w->worker_links);
    worker_links_free(&w->worker_links);
    loop_turn(w->loop, 0);
    loop_free(&w->loop);
    free(w);
    return 0;
}

/* The worker's end of a new channel. */
static int connect_worker(world_t *w, unsigned index)
{
    int fds[2];
    assert_true(ipc_pair(fds));
    worker_links_take(w->worker_links, index, &fds[0]);
    assert_int_equal(fds[0], -1);
    return fds[1];
}

static void expect(int fd, const char *which, uint64_t below)
{
    ipc_message_t message;
    assert_int_equal(ipc_receive(fd, &message), IPC_OK);
    assert_int_equal(message.type, PROCESS_TUNNELS);
    assert_int_equal(message.value, below);
    assert_true(str_eq(str_make(message.bytes, message.len), str_from(which)));
}

static void expect_nothing(int fd)
{
    ipc_message_t message;
    assert_int_equal(ipc_receive(fd, &message), IPC_AGAIN);
}

/* Fills the worker's queue; returns the number of messages in it. */
static unsigned fill(int fd)
{
    unsigned count = 0;
    while (ipc_send(fd, 0, 0, STR("x"), NULL, 0) == IPC_OK)
        count++;
    return count;
}

static void everybody_is_told(void **state)
{
    world_t *w = *state;
    int first = connect_worker(w, 0), last = connect_worker(w, SHM_WORKERS_MAX - 1);
    worker_links_end_tunnels(w->worker_links, "preview a-1", 7);
    worker_links_end_tunnels(w->worker_links, "blocks", 0);
    for (int i = 0; i < 2; i++) {
        expect(i == 0 ? first : last, "preview a-1", 7);
        expect(i == 0 ? first : last, "blocks", 0);
        expect_nothing(i == 0 ? first : last);
    }
    close(first);
    close(last);
}

static void no_such_worker(void **state)
{
    world_t *w = *state;
    int fds[2], none = -1;
    assert_true(ipc_pair(fds));
    int fd = fds[0];
    worker_links_take(w->worker_links, SHM_WORKERS_MAX, &fds[0]);
    assert_int_equal(fds[0], fd); /* still the caller's */
    worker_links_take(w->worker_links, 0, &none);
    worker_links_end_tunnels(w->worker_links, "preview a-1", 7);
    close(fds[0]);
    close(fds[1]);
}

/* A worker that starts later checks all its tunnels, once. */
static void a_worker_that_was_not_there(void **state)
{
    world_t *w = *state;
    int other = connect_worker(w, 1);
    worker_links_end_tunnels(w->worker_links, "preview a-1", 7);
    int fd = connect_worker(w, 0);
    expect(fd, "previews", 0);
    worker_links_end_tunnels(w->worker_links, "preview b-1", 8);
    expect(fd, "preview b-1", 8);
    expect_nothing(fd);
    expect(other, "preview a-1", 7);
    expect(other, "preview b-1", 8);
    expect_nothing(other);
    close(fd);
    close(other);
}

static void blocks_are_not_made_up_for(void **state)
{
    world_t *w = *state;
    worker_links_end_tunnels(w->worker_links, "blocks", 0);
    int fd = connect_worker(w, 0);
    expect_nothing(fd);
    close(fd);
}

static void a_worker_that_died(void **state)
{
    world_t *w = *state;
    close(connect_worker(w, 0));
    worker_links_end_tunnels(w->worker_links, "preview a-1", 7); /* before the loop has noticed */
    loop_turn(w->loop, 0);
    worker_links_end_tunnels(w->worker_links, "preview a-2", 8);
    int fd = connect_worker(w, 0);
    expect(fd, "previews", 0);
    expect_nothing(fd);
    close(fd);
}

/* The next message of a worker that reads, waiting for it. */
static void expect_soon(world_t *w, int fd, const char *which, uint64_t below)
{
    ipc_message_t message;
    ipc_result_t got = ipc_receive(fd, &message);
    for (int turn = 0; turn < 100 && got == IPC_AGAIN; turn++) {
        loop_turn(w->loop, 1000);
        got = ipc_receive(fd, &message);
    }
    assert_int_equal(got, IPC_OK);
    assert_true(str_eq(str_make(message.bytes, message.len), str_from(which)));
    assert_int_equal(message.value, below);
}

/* Messages to it are queued in order, up to a bound; above the bound, one message replaces them all. */
static void a_worker_that_does_not_read(void **state)
{
    world_t *w = *state;
    int fds[2];
    ipc_message_t message;
    assert_true(ipc_pair(fds));
    unsigned held = fill(fds[0]);
    worker_links_take(w->worker_links, 0, &fds[0]);
    for (uint64_t i = 0; i < CHANNEL_QUEUE_MAX + 100; i++)
        worker_links_end_tunnels(w->worker_links, "preview a-1", i);
    loop_turn(w->loop, 1000); /* the timer: still no room */
    for (unsigned i = 0; i < held; i++) {
        assert_int_equal(ipc_receive(fds[1], &message), IPC_OK);
        assert_int_equal(message.type, 0);
    }
    for (uint64_t i = 0; i < CHANNEL_QUEUE_MAX; i++)
        expect_soon(w, fds[1], "preview a-1", i);
    expect_soon(w, fds[1], "previews", 0);
    expect_nothing(fds[1]);
    /* It has caught up. */
    worker_links_end_tunnels(w->worker_links, "preview a-1", 200);
    expect(fds[1], "preview a-1", 200);
    expect_nothing(fds[1]);
    close(fds[1]);
}

static void a_worker_speaks(void **state)
{
    world_t *w = *state;
    int fd = connect_worker(w, 3);
    assert_int_equal(ipc_send(fd, PROCESS_WAKE, 0, STR("a-1"), NULL, 0), IPC_OK);
    loop_turn(w->loop, 1000);
    assert_int_equal(w->heard_from, 3);
    assert_int_equal(w->heard_type, PROCESS_WAKE);
    worker_links_notify(w->worker_links, 3, PROCESS_WOKEN, 1, STR("b"));
    worker_links_notify_all(w->worker_links, PROCESS_BOXES, 0, STR(""));
    ipc_message_t message;
    assert_int_equal(ipc_receive(fd, &message), IPC_OK);
    assert_int_equal(message.type, PROCESS_WOKEN);
    assert_int_equal(ipc_receive(fd, &message), IPC_OK);
    assert_int_equal(message.type, PROCESS_BOXES);
    close(fd);
}

/* The controller ends: it accepts the messages sent before and answers them; later messages fail at the
 * worker. */
static void the_last_messages_are_taken(void **state)
{
    world_t *w = *state;
    int fd = connect_worker(w, 3);
    ipc_message_t message;
    assert_int_equal(ipc_send(fd, PROCESS_PREVIEW, 1, STR("a"), NULL, 0), IPC_OK);
    assert_int_equal(ipc_send(fd, PROCESS_WAKE, 1, STR("a-1"), NULL, 0), IPC_OK);
    worker_links_stop_receiving(w->worker_links);
    assert_int_not_equal(ipc_send(fd, PROCESS_PREVIEW, 2, STR("b"), NULL, 0), IPC_OK);
    assert_false(worker_links_received(w->worker_links));
    while (!worker_links_received(w->worker_links))
        loop_turn(w->loop, 1000);
    assert_int_equal(w->heard_type, PROCESS_WAKE);
    worker_links_notify(w->worker_links, 3, PROCESS_PREVIEW_DONE, 1, STR("b"));
    assert_int_equal(ipc_receive(fd, &message), IPC_OK);
    assert_int_equal(message.type, PROCESS_PREVIEW_DONE);
    assert_int_equal(ipc_receive(fd, &message), IPC_AGAIN); /* it lives until it has answered */
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(everybody_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(no_such_worker, setup, teardown),
        cmocka_unit_test_setup_teardown(a_worker_that_was_not_there, setup, teardown),
        cmocka_unit_test_setup_teardown(blocks_are_not_made_up_for, setup, teardown),
        cmocka_unit_test_setup_teardown(a_worker_that_died, setup, teardown),
        cmocka_unit_test_setup_teardown(a_worker_that_does_not_read, setup, teardown),
        cmocka_unit_test_setup_teardown(a_worker_speaks, setup, teardown),
        cmocka_unit_test_setup_teardown(the_last_messages_are_taken, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
