/* Questions to workers: their answers, the workers without one, and the bounds. */
#include "traffic_service.h"

#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "ipc.h"
#include "process.h"

typedef struct world {
    loop_t *loop;
    shm_t *shm;
    worker_links_t *links;
    traffic_service_t *service;
    unsigned numbers[2]; /* slots of the workers */
    int workers[2];      /* their ends of the channels */
    unsigned parts, done;
    size_t missing;
    int missing_pid;
} world_t;

static void hear(void *owner, unsigned index, ipc_message_t *message)
{
    world_t *w = owner;
    if (message->type == PROCESS_TRAFFIC)
        traffic_service_take(w->service, index, message->value, str_make(message->bytes, message->len));
}

static void on_part(void *owner, unsigned number, str_t bytes)
{
    (void)number;
    (void)bytes;
    ((world_t *)owner)->parts++;
}

static void on_done(void *owner, const traffic_missing_t *missing, size_t count)
{
    world_t *w = owner;
    w->done++;
    w->missing = count;
    w->missing_pid = count != 0 ? missing[0].pid : 0;
}

static const traffic_handlers_t handlers = {on_part, on_done};
static const traffic_question_t question = {.op = TRAFFIC_LIST, .limit = 1};

static int setup(void **state)
{
    static const uint8_t seed[16];
    world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->loop = loop_new();
    w->shm = shm_new(seed);
    w->links = worker_links_new(w->loop, hear, w);
    w->service = traffic_service_new(w->loop, w->shm, w->links);
    for (unsigned i = 0; i < 2; i++) {
        int fds[2];
        assert_true(shm_worker_take(w->shm, i, &w->numbers[i]));
        atomic_store(&shm_worker(w->shm, w->numbers[i])->pid, getpid());
        atomic_store(&shm_worker(w->shm, w->numbers[i])->state, SHM_READY);
        assert_true(ipc_pair(fds));
        worker_links_take(w->links, w->numbers[i], &fds[0]);
        w->workers[i] = fds[1];
    }
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_t *w = *state;
    for (unsigned i = 0; i < 2; i++)
        if (w->workers[i] >= 0)
            close(w->workers[i]);
    traffic_service_free(&w->service);
    worker_links_free(&w->links);
    loop_turn(w->loop, 0);
    loop_free(&w->loop);
    shm_free(&w->shm);
    free(w);
    return 0;
}

/* The worker takes the question and answers with parts of these kinds. */
static uint64_t answer(world_t *w, unsigned worker, const char *parts)
{
    ipc_message_t message;
    traffic_question_t got;
    assert_int_equal(ipc_receive(w->workers[worker], &message), IPC_OK);
    assert_int_equal(message.type, PROCESS_TRAFFIC_ASK);
    assert_true(traffic_question_read(str_make(message.bytes, message.len), &got));
    for (; *parts != '\0'; parts++)
        assert_int_equal(
            ipc_send(w->workers[worker], PROCESS_TRAFFIC, message.value, str_make(parts, 1), NULL, 0),
            IPC_OK);
    return message.value;
}

static void turn_until_done(world_t *w, unsigned done)
{
    for (int i = 0; i < 1000 && w->done < done; i++)
        loop_turn(w->loop, 10);
    assert_int_equal(w->done, done);
}

static void all_answer(void **state)
{
    world_t *w = *state;
    assert_non_null(traffic_service_ask(w->service, &question, &handlers, w));
    uint64_t number = answer(w, 0, "\1\1\2");
    answer(w, 1, "\2");
    turn_until_done(w, 1);
    assert_int_equal(w->parts, 4);
    assert_int_equal(w->missing, 0);
    /* Too late. */
    traffic_service_take(w->service, w->numbers[0], number, STR("\2"));
    assert_int_equal(w->parts, 4);
}

static void an_answer_that_goes_on_after_its_end(void **state)
{
    world_t *w = *state;
    assert_non_null(traffic_service_ask(w->service, &question, &handlers, w));
    answer(w, 0, "\2\1\2");
    for (int i = 0; i < 5; i++)
        loop_turn(w->loop, 1);
    assert_int_equal(w->done, 0);
    answer(w, 1, "\2");
    turn_until_done(w, 1);
    assert_int_equal(w->parts, 2);
}

static void a_worker_that_hangs(void **state)
{
    world_t *w = *state;
    assert_non_null(traffic_service_ask(w->service, &question, &handlers, w));
    answer(w, 0, "\2");
    turn_until_done(w, 1);
    assert_int_equal(w->missing, 1);
    assert_int_equal(w->missing_pid, getpid());
}

/* Its requests ended with it, so nothing is missing. */
static void a_worker_that_dies(void **state)
{
    world_t *w = *state;
    assert_non_null(traffic_service_ask(w->service, &question, &handlers, w));
    answer(w, 0, "\2");
    atomic_store(&shm_worker(w->shm, w->numbers[1])->pid, 0);
    turn_until_done(w, 1);
    assert_int_equal(w->missing, 0);
}

static void a_worker_without_a_channel(void **state)
{
    world_t *w = *state;
    close(w->workers[1]);
    w->workers[1] = -1;
    for (int i = 0; i < 5; i++)
        loop_turn(w->loop, 1);
    assert_non_null(traffic_service_ask(w->service, &question, &handlers, w));
    answer(w, 0, "\2");
    turn_until_done(w, 1);
    assert_int_equal(w->missing, 1);
}

static void a_worker_that_starts_has_none(void **state)
{
    world_t *w = *state;
    atomic_store(&shm_worker(w->shm, w->numbers[1])->state, SHM_STARTING);
    assert_non_null(traffic_service_ask(w->service, &question, &handlers, w));
    answer(w, 0, "\2");
    turn_until_done(w, 1);
    assert_int_equal(w->missing, 0);
}

static void at_most_so_many_questions(void **state)
{
    world_t *w = *state;
    traffic_asked_t *first = traffic_service_ask(w->service, &question, &handlers, w);
    for (unsigned i = 1; i < TRAFFIC_QUESTIONS_MAX; i++)
        assert_non_null(traffic_service_ask(w->service, &question, &handlers, w));
    assert_null(traffic_service_ask(w->service, &question, &handlers, w));
    traffic_asked_cancel(&first);
    assert_null(first);
    assert_non_null(traffic_service_ask(w->service, &question, &handlers, w));
    assert_int_equal(w->done, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(all_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(an_answer_that_goes_on_after_its_end, setup, teardown),
        cmocka_unit_test_setup_teardown(a_worker_that_hangs, setup, teardown),
        cmocka_unit_test_setup_teardown(a_worker_that_dies, setup, teardown),
        cmocka_unit_test_setup_teardown(a_worker_without_a_channel, setup, teardown),
        cmocka_unit_test_setup_teardown(a_worker_that_starts_has_none, setup, teardown),
        cmocka_unit_test_setup_teardown(at_most_so_many_questions, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
