/* Channels from the workers of old edges, by number: which edges, and which numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#include "handover.h"
#include "ipc.h"
#include "process.h"
#include "supervisor_internal.h"

typedef struct world {
    supervisor_t *s;
    int controller; /* the controller's end of its channel */
    int elders[2];  /* their ends */
    unsigned own;   /* the number of our worker */
} world_t;

static void pair_make(int *ours, int *theirs)
{
    int pair[2];
    assert_true(ipc_pair(pair));
    *ours = pair[0];
    *theirs = pair[1];
}

static int set_up(void **state)
{
    static const uint8_t seed[16];
    world_t *w = calloc(1, sizeof(*w));
    supervisor_t *s = w->s = calloc(1, sizeof(*s));
    s->shm = shm_new(seed);
    s->shares = true;
    s->predecessor_fd = -1;
    child_init(&s->controller, s->shm, CHILD_CONTROLLER, 0);
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        child_init(&s->workers[i], s->shm, CHILD_WORKER, i);
    assert_true(child_take_number(&s->workers[0]));
    w->own = s->workers[0].number;
    pair_make(&s->controller.fd, &w->controller);
    for (size_t i = 0; i < 2; i++) {
        int fd;
        pair_make(&fd, &w->elders[i]);
        assert_true(elders_add(s, fd, false));
    }
    elders_set_apart(s, s->elders[0].fd);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    world_t *w = *state;
    elders_leave(w->s);
    close(w->s->controller.fd);
    close(w->controller);
    for (size_t i = 0; i < 2; i++)
        close(w->elders[i]);
    shm_free(&w->s->shm);
    free(w->s);
    free(w);
    return 0;
}

/* The next message to this end, which has one; its value. */
static uint64_t next(int fd, uint32_t type)
{
    ipc_message_t message;
    assert_int_equal(ipc_receive(fd, &message), IPC_OK);
    assert_int_equal(message.type, type);
    uint64_t value = message.value;
    ipc_message_fini(&message);
    return value;
}

static void nothing_more(int fd)
{
    ipc_message_t message;
    assert_int_equal(ipc_receive(fd, &message), IPC_AGAIN);
}

static void links_and_deaths(world_t *w, size_t elder, uint64_t number)
{
    int fd = dup(w->controller);
    assert_int_equal(ipc_send(w->elders[elder], HANDOVER_LINK, number, STR(""), &fd, 1), IPC_OK);
    assert_int_equal(ipc_send(w->elders[elder], HANDOVER_DIED, number, STR(""), NULL, 0), IPC_OK);
    close(fd);
    elders_receive(w->s, elder);
}

static void only_those_that_share_are_asked(void **state)
{
    world_t *w = *state;
    elders_join(w->s);
    (void)next(w->elders[1], HANDOVER_JOIN);
    nothing_more(w->elders[1]);
    nothing_more(w->elders[0]);
    w->s->shares = false;
    elders_join(w->s);
    nothing_more(w->elders[1]);
}

static void numbers_of_another_segment_mean_nothing(void **state)
{
    world_t *w = *state;
    links_and_deaths(w, 1, w->own + 1);
    assert_int_equal(next(w->controller, PROCESS_LINK), w->own + 1);
    assert_int_equal(next(w->controller, PROCESS_WORKER_DIED), w->own + 1);
    links_and_deaths(w, 0, w->own + 1);
    nothing_more(w->controller);
}

static void no_elder_has_a_worker_of_ours(void **state)
{
    world_t *w = *state;
    links_and_deaths(w, 1, w->own);
    links_and_deaths(w, 1, SHM_WORKERS_MAX);
    links_and_deaths(w, 1, UINT64_MAX);
    nothing_more(w->controller);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(only_those_that_share_are_asked),
        TEST(numbers_of_another_segment_mean_nothing),
        TEST(no_elder_has_a_worker_of_ours),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
