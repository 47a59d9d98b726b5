/* The reserve of descriptors, and messages that come without theirs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "channel.h"
#include "descriptors.h"
#include "process.h"

static void the_parts_of_a_limit(void **state)
{
    (void)state;
    assert_int_equal(descriptors_usable(1024), 1024 - DESCRIPTORS_RESERVE);
    assert_int_equal(descriptors_usable(100), 75);
    assert_int_equal(descriptors_for_clients(1000, 16), 16);
    assert_int_equal(descriptors_for_clients(1000, 750), 750);
    assert_int_equal(descriptors_for_clients(1000, 751), 750);
    assert_true(descriptors_ran_out(EMFILE) && descriptors_ran_out(ENFILE) &&
                !descriptors_ran_out(ECONNREFUSED));
}

typedef struct world {
    loop_t *loop;
    int pair[2];
    channel_t *channel;
    unsigned messages, lost;
    uint32_t type;
    uint64_t value;
    int filler[256];
    size_t filled;
} world_t;

static void on_message(void *owner, ipc_message_t *message)
{
    world_t *w = owner;
    w->messages++;
    w->type = message->type;
    assert_int_equal(message->fd_count, 1);
    assert_true(fcntl(message->fds[0], F_GETFD) >= 0);
}

static void on_closed(void *owner)
{
    (void)owner;
    fail();
}

static void on_lost(void *owner, uint32_t type, uint64_t value)
{
    world_t *w = owner;
    w->lost++;
    w->type = type;
    w->value = value;
}

/* Opens descriptors until none are left. */
static void fill(world_t *w)
{
    int fd;
    while ((fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0) {
        assert_true(w->filled < 256);
        w->filler[w->filled++] = fd;
    }
    assert_int_equal(errno, EMFILE);
}

static void run(world_t *w, bool reserve)
{
    static const channel_handlers_t handlers = {.message = on_message, .closed = on_closed, .lost = on_lost};
    struct rlimit before, few = {.rlim_cur = 120};
    w->loop = loop_new();
    assert_true(ipc_pair(w->pair));
    w->channel = channel_new(w->loop, w->pair[0], &handlers, w);
    if (reserve)
        channel_use_reserve(w->channel);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few.rlim_max = before.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    fill(w);
    assert_int_equal(ipc_send(w->pair[1], PROCESS_LOG, 42, STR(""), &w->filler[0], 1), IPC_OK);
    loop_turn(w->loop, 1000);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    while (w->filled > 0)
        close(w->filler[--w->filled]);
    channel_free(&w->channel);
    close(w->pair[1]);
    loop_turn(w->loop, 0);
    loop_free(&w->loop);
}

/* Without the reserve, the message's type and value are delivered, and so are the next messages. */
static void a_message_without_its_descriptor(void **state)
{
    (void)state;
    world_t w = {.filled = 0};
    run(&w, false);
    assert_int_equal(w.messages, 0);
    assert_int_equal(w.lost, 1);
    assert_int_equal(w.type, PROCESS_LOG);
    assert_int_equal(w.value, 42);
}

static void a_message_with_the_reserve(void **state)
{
    (void)state;
    world_t w = {.filled = 0};
    run(&w, true);
    assert_int_equal(w.lost, 0);
    assert_int_equal(w.messages, 1);
    assert_int_equal(w.type, PROCESS_LOG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_parts_of_a_limit),
        cmocka_unit_test(a_message_without_its_descriptor),
        cmocka_unit_test(a_message_with_the_reserve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
