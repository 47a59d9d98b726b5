/* What the controller answers to those who were refused at a port: this process stands for the box. */
#include "waker_world.h"

#include "listening_message.h"

typedef struct desk_world {
    world_t *w;
    listening_desk_t *desk;
    runner_link_t *link;
    int runner; /* the runner's end; -1: there is none */
    uint64_t generation;
} desk_world_t;

static void tell_with_pid(desk_world_t *d, const char *id)
{
    world_t *w = d->w;
    provider_box_t box = box_at(id, BOX_RUNNING, "::ffff:127.0.0.1");
    box.pid = (uint32_t)getpid();
    box.ports[box.port_count++] = w->port;
    w->provider.handlers->box(w->boxes, &w->provider, &box);
    d->generation = boxes_find(w->boxes, str_from(id))->generation;
}

static int desk_setup(void **state)
{
    desk_world_t *d = calloc(1, sizeof(*d));
    assert_non_null(d);
    void *world;
    assert_int_equal(waker_world_setup(&world), 0);
    d->w = world;
    d->link = runner_link_new(d->w->loop);
    d->runner = -1;
    d->desk = listening_desk_new(d->w->loop, d->w->store, d->w->boxes, d->w->peers, d->link);
    tell_with_pid(d, "a");
    settle(d->w);
    *state = d;
    return 0;
}

static int desk_teardown(void **state)
{
    desk_world_t *d = *state;
    void *world = d->w;
    /* As the controller does: the runner and the store's thread go first, and its last jobs still answer. */
    runner_link_free(&d->link);
    if (d->runner >= 0)
        close(d->runner);
    boxes_stop(d->w->boxes);
    store_thread_free(&d->w->store);
    listening_desk_free(&d->desk);
    assert_null(d->desk);
    free(d);
    return waker_world_teardown(&world);
}

/* What worker `index` hears next; false: nothing within the turns. */
static bool heard(desk_world_t *d, unsigned index, listening_t *out, unsigned turns)
{
    ipc_message_t message;
    str_t name;
    for (unsigned i = 0; i <= turns; i++) {
        while (ipc_receive(d->w->workers[index], &message) == IPC_OK)
            if (message.type == PROCESS_LISTENS) {
                assert_true(listening_parse(str_make(message.bytes, message.len), &name, out));
                assert_true(str_eq(name, label(d->w, "a")));
                assert_int_equal(message.value, d->generation);
                return true;
            }
        if (i < turns)
            loop_turn(d->w->loop, 50);
    }
    return false;
}

static void one_look_for_all(void **state)
{
    desk_world_t *d = *state;
    listening_t got;
    for (unsigned worker = 0; worker < 3; worker++)
        listening_desk_ask(d->desk, worker, label(d->w, "a"), d->generation);
    for (unsigned worker = 0; worker < 3; worker++) {
        assert_true(heard(d, worker, &got, 200));
        assert_true(got.known && got.count == 1 && got.ports[0].port == d->w->port && got.ports[0].loopback);
    }
    /* Remembered, although nothing listens any more; and then not. */
    close(d->w->listener);
    d->w->listener = -1;
    listening_desk_ask(d->desk, 0, label(d->w, "a"), d->generation);
    assert_true(heard(d, 0, &got, 0) && got.count == 1);
    const store_box_t *box = boxes_find(d->w->boxes, STR("a"));
    assert_non_null(listening_desk_look(d->desk, box));
    loop_skip(d->w->loop, LISTENING_FRESH_MS);
    loop_turn(d->w->loop, 0);
    assert_null(listening_desk_look(d->desk, box)); /* being read */
    listening_desk_ask(d->desk, 0, label(d->w, "a"), d->generation);
    assert_true(heard(d, 0, &got, 200) && got.known && got.count == 0);
}

/* How often the runner was asked for the box's line; `*number` is that of the last question. */
static unsigned runner_asked(desk_world_t *d, uint64_t *number)
{
    ipc_message_t message;
    unsigned n = 0;
    while (ipc_receive(d->runner, &message) == IPC_OK) {
        assert_int_equal(message.type, RUNNER_LINE);
        assert_true(str_eq(str_make(message.bytes, message.len), STR("a")));
        *number = message.value;
        n++;
    }
    return n;
}

static void ask_of_process(desk_world_t *d, unsigned worker)
{
    listening_desk_ask(d->desk, worker, label(d->w, "a"), d->generation);
}

/* The runner says the line of a process box, once for all; one that is silent leaves the ports. */
static void a_line_of_the_log(void **state)
{
    desk_world_t *d = *state;
    uint64_t number = 0;
    listening_t got;
    int fds[2];
    assert_true(ipc_pair(fds));
    runner_link_take(d->link, &fds[0]);
    d->runner = fds[1];
    ask_of_process(d, 0);
    ask_of_process(d, 1);
    assert_int_equal(runner_asked(d, &number), 1);
    settle(d->w);
    assert_false(heard(d, 0, &got, 0)); /* the table alone is no answer */
    assert_int_equal(ipc_send(d->runner, RUNNER_DONE, number, str_make("\0Error: boom", 12), NULL, 0),
                     IPC_OK);
    for (unsigned worker = 0; worker < 2; worker++) {
        assert_true(heard(d, worker, &got, 200));
        assert_true(got.known && got.count == 1);
        assert_string_equal(got.line, "Error: boom");
    }
    loop_skip(d->w->loop, LISTENING_FRESH_MS);
    ask_of_process(d, 0);
    assert_int_equal(runner_asked(d, &number), 1);
    settle(d->w);
    assert_false(heard(d, 0, &got, 0));
    loop_skip(d->w->loop, LISTENING_LINE_MS);
    assert_true(heard(d, 0, &got, 200) && got.known && got.line[0] == '\0');
    loop_skip(d->w->loop, LISTENING_FRESH_MS);
    ask_of_process(d, 0); /* waits at the end */
}

/* Its log is there, under the generation that was asked about; of its ports nothing is known. */
static void a_process_that_has_ended(void **state)
{
    desk_world_t *d = *state;
    uint64_t number = 0;
    listening_t got;
    int fds[2];
    assert_true(ipc_pair(fds));
    runner_link_take(d->link, &fds[0]);
    d->runner = fds[1];
    tell(d->w, "a", BOX_PAUSED, "::ffff:127.0.0.1");
    settle(d->w);
    ask_of_process(d, 0);
    assert_int_equal(runner_asked(d, &number), 1);
    assert_int_equal(ipc_send(d->runner, RUNNER_DONE, number, str_make("\0boom", 5), NULL, 0), IPC_OK);
    assert_true(heard(d, 0, &got, 200) && !got.known && got.count == 0);
    assert_string_equal(got.line, "boom");
}

static void what_is_not_known(void **state)
{
    desk_world_t *d = *state;
    listening_t got;
    d->generation += 7; /* of another life of the box */
    listening_desk_ask(d->desk, 0, label(d->w, "a"), d->generation);
    assert_true(heard(d, 0, &got, 0) && !got.known);
    listening_desk_ask(d->desk, 0, STR("nonsense"), 1);
    listening_desk_ask(d->desk, SHM_WORKERS_MAX, label(d->w, "a"), d->generation);
    assert_false(heard(d, 0, &got, 2));
}

static void bounds(void **state)
{
    desk_world_t *d = *state;
    listening_t got;
    char id[16], text[32];
    unsigned unknown = 0;
    /* No answer comes before the loop turns, so all of these are being read. */
    for (unsigned i = 0; i < LISTENING_BOXES_MAX; i++) {
        (void)snprintf(id, sizeof(id), "b%u", i);
        tell_with_pid(d, id);
        (void)snprintf(text, sizeof(text), "%s-%u", id, d->w->port);
        listening_desk_ask(d->desk, 1, str_from(text), d->generation);
    }
    d->generation = boxes_find(d->w->boxes, STR("a"))->generation;
    listening_desk_ask(d->desk, 0, label(d->w, "a"), d->generation);
    assert_true(heard(d, 0, &got, 0) && !got.known);
    d->generation = boxes_find(d->w->boxes, STR("b0"))->generation;
    (void)snprintf(text, sizeof(text), "b0-%u", d->w->port);
    for (unsigned i = 0; i < LISTENING_QUESTIONS_MAX; i++)
        listening_desk_ask(d->desk, 2, str_from(text), d->generation);
    ipc_message_t message;
    while (ipc_receive(d->w->workers[2], &message) == IPC_OK)
        unknown += message.type == PROCESS_LISTENS;
    assert_int_equal(unknown, LISTENING_BOXES_MAX); /* which the others had taken */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, desk_setup, desk_teardown)
    const struct CMUnitTest tests[] = {TEST(one_look_for_all), TEST(a_line_of_the_log),
                                       TEST(a_process_that_has_ended), TEST(what_is_not_known), TEST(bounds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
