/* The queue of requests for a slot at an upstream, over two workers that share memory: order, bound, requests
 * that leave, and slots that become free in this worker, in another one, or without a message. */
#include "worker_fixture.h"

#include "exchange.h"
#include "ipc.h"
#include "process.h"
#include "upstream_queue.h"

#define LOOK_MS 100
#define LAST    (BALANCE_UPSTREAMS_MAX - 1)

typedef struct world world_t;

/* A worker; the test holds the controller's end of its channel. */
typedef struct side {
    world_t *world;
    context_fixture_t *fixture;
    channel_t *channel;
    int controller;
} side_t;

/* A request that takes a free slot, or waits for one. */
typedef struct guest {
    side_t *side;
    exchange_t *ex;
    upstream_waiter_t waiter;
    unsigned upstream;
    unsigned tries;
    unsigned seated;      /* its position among those that got a slot, from 1; 0: no slot yet */
    bool refused;         /* the queue was full */
    struct guest *throws; /* leaves the queue when this one gets its slot */
} guest_t;

struct world {
    shm_t *shm;
    side_t a, b;
    unsigned free[BALANCE_UPSTREAMS_MAX]; /* slots */
    unsigned seated;
    uint32_t most;
};

/* ---- a client that does nothing ---- */

static void no_informational(exchange_t *ex, int status, const fields_t *fields)
{
    (void)ex;
    (void)status;
    (void)fields;
}

static void nothing(exchange_t *ex)
{
    (void)ex;
}

static void no_body(exchange_t *ex, str_t data)
{
    (void)ex;
    (void)data;
}

static size_t much_room(const exchange_t *ex)
{
    (void)ex;
    return EXCHANGE_BODY_BYTES;
}

static const client_ops_t ops = {
    .send_informational = no_informational,
    .send_head = nothing,
    .room = much_room,
    .send_body = no_body,
    .send_end = nothing,
    .flush = nothing,
    .cut = nothing,
    .resume_request = nothing,
};

/* ---- the step ---- */

static upstream_queue_t *places_of(const guest_t *guest)
{
    return worker_of(guest->side->fixture->context)->upstream_queue;
}

static void leave_line(exchange_t *ex, await_end_t how)
{
    guest_t *guest = ex->codec;
    if (how == AWAIT_RESUMED)
        upstream_queue_turn(&guest->waiter);
    else
        upstream_queue_leave(places_of(guest), &guest->waiter);
}

static const await_source_t line_source = {.name = "line", .leave = leave_line};

static step_result_t take_place(exchange_t *ex)
{
    guest_t *guest = ex->codec;
    world_t *w = guest->side->world;
    guest->tries++;
    if (w->free[guest->upstream] > 0) {
        w->free[guest->upstream]--;
        guest->seated = ++w->seated;
        upstream_queue_leave(places_of(guest), &guest->waiter);
        if (guest->throws != NULL)
            await_leave(guest->throws->ex);
        exchange_reply(ex, 200, STR("text/plain"), NULL, STR("ok"));
        return STEP_DONE;
    }
    if (guest->waiter.ex != NULL) {
        upstream_queue_wait_on(places_of(guest), &guest->waiter);
        await_begin(ex, &line_source);
        return STEP_WAIT;
    }
    if (upstream_queue_wait(places_of(guest), &guest->waiter, ex, guest->upstream, w->most)) {
        await_begin(ex, &line_source);
        return STEP_WAIT;
    }
    guest->refused = true;
    exchange_reply(ex, 503, STR("text/plain"), NULL, STR("busy"));
    return STEP_DONE;
}

static const exchange_step_t steps[] = {{"place", take_place}, {NULL, NULL}};

/* ---- the world ---- */

static void no_message(void *owner, ipc_message_t *message)
{
    (void)owner;
    (void)message;
}

static void side_init(side_t *side, world_t *w, unsigned index)
{
    static const channel_handlers_t handlers = {.message = no_message, .closed = NULL};
    int fds[2];
    *side = (side_t){.world = w, .fixture = worker_fixture_new()};
    worker_t *worker = worker_of(side->fixture->context);
    worker->context.index = index;
    worker->context.shm = w->shm;
    side->fixture->client.steps = steps;
    worker->upstream_queue = upstream_queue_new(worker);
    assert_true(ipc_pair(fds));
    side->channel = channel_new(worker->context.loop, fds[0], &handlers, side);
    side->controller = fds[1];
    upstream_queue_set_channel(worker->upstream_queue, side->channel);
}

static void side_fini(side_t *side)
{
    worker_t *worker = worker_of(side->fixture->context);
    upstream_queue_free(&worker->upstream_queue);
    assert_null(worker->upstream_queue);
    upstream_queue_free(&worker->upstream_queue);
    channel_free(&side->channel);
    close(side->controller);
    worker->context.shm = NULL;
    context_fixture_free(side->fixture);
}

static int setup(void **state)
{
    static const uint8_t seed[16];
    world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->shm = shm_new(seed);
    assert_non_null(w->shm);
    w->most = 100;
    side_init(&w->a, w, 0);
    side_init(&w->b, w, 1);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_t *w = *state;
    for (unsigned i = 0; i < BALANCE_UPSTREAMS_MAX; i++)
        assert_int_equal(balance_waiters(shm_balance(w->shm), i), 0);
    side_fini(&w->a);
    side_fini(&w->b);
    shm_free(&w->shm);
    free(w);
    return 0;
}

static void come(guest_t *guest, side_t *side, unsigned upstream)
{
    *guest = (guest_t){.side = side, .upstream = upstream};
    guest->ex = exchange_new(&side->fixture->client, &ops, guest);
    guest->ex->request.version = HTTP_1_1;
    guest->ex->request.method = STR("GET");
    guest->ex->request.target = STR("/");
    exchange_start(guest->ex);
}

static void leave(guest_t *guest)
{
    exchange_end(&guest->ex, EXCHANGE_END_CLIENT_GONE);
}

static void turn(side_t *side)
{
    loop_turn(side->fixture->context->loop, 0);
}

/* `count` slots become free, and that worker is notified. */
static void come_free(side_t *side, unsigned upstream, unsigned count)
{
    side->world->free[upstream] += count;
    upstream_queue_freed(worker_of(side->fixture->context)->upstream_queue, upstream);
}

static uint32_t waiting(const world_t *w, unsigned upstream)
{
    return balance_waiters(shm_balance(w->shm), upstream);
}

/* The upstream that a worker reported to the controller; -1: none. */
static int told(const side_t *side)
{
    ipc_message_t message;
    if (ipc_receive(side->controller, &message) != IPC_OK)
        return -1;
    assert_int_equal(message.type, PROCESS_UPSTREAM_SLOT);
    return (int)message.value;
}

/* ---- the queue ---- */

static void first_come_first_served(void **state)
{
    world_t *w = *state;
    guest_t guests[4];
    for (size_t i = 0; i < 4; i++)
        come(&guests[i], &w->a, 0);
    assert_int_equal(waiting(w, 0), 4);
    assert_true(upstream_queue_waiting(worker_of(w->a.fixture->context)->upstream_queue, 0));
    come_free(&w->a, 0, 2);
    assert_int_equal(w->seated, 0); /* not within that call */
    turn(&w->a);
    assert_int_equal(guests[0].seated, 1);
    assert_int_equal(guests[1].seated, 2);
    assert_int_equal(guests[2].seated + guests[3].seated, 0);
    assert_int_equal(guests[3].tries, 1); /* no slot for the one before it */
    assert_int_equal(waiting(w, 0), 2);
    come_free(&w->a, 0, 1);
    come_free(&w->a, 0, 1); /* both before the turn ends */
    turn(&w->a);
    assert_int_equal(guests[2].seated, 3);
    assert_int_equal(guests[3].seated, 4);
    assert_int_equal(waiting(w, 0), 0);
    assert_false(upstream_queue_waiting(worker_of(w->a.fixture->context)->upstream_queue, 0));
    for (size_t i = 0; i < 4; i++)
        leave(&guests[i]);
}

static void each_upstream_has_its_line(void **state)
{
    world_t *w = *state;
    guest_t first, last;
    come(&first, &w->a, 0);
    come(&last, &w->a, LAST);
    assert_false(upstream_queue_waiting(worker_of(w->a.fixture->context)->upstream_queue, 1));
    turn(&w->a);
    come_free(&w->a, LAST, 2); /* one more than may wait */
    turn(&w->a);
    assert_int_equal(last.seated, 1);
    assert_int_equal(waiting(w, LAST), 0);
    assert_int_equal(first.seated, 0);
    assert_int_equal(waiting(w, 0), 1);
    leave(&first);
    leave(&last);
}

/* The bound holds over all workers, so it does not depend on their number. */
static void the_line_is_bounded(void **state)
{
    world_t *w = *state;
    guest_t guests[5];
    w->most = 3;
    come(&guests[0], &w->a, 0);
    come(&guests[1], &w->b, 0);
    come(&guests[2], &w->a, 0);
    assert_int_equal(waiting(w, 0), 3);
    come(&guests[3], &w->a, 0);
    come(&guests[4], &w->b, 0);
    assert_true(guests[3].refused && guests[4].refused);
    assert_false(guests[0].refused || guests[1].refused || guests[2].refused);
    assert_int_equal(waiting(w, 0), 3); /* a refused request does not count */
    for (size_t i = 3; i < 5; i++)
        leave(&guests[i]);
    leave(&guests[0]);
    come(&guests[3], &w->b, 0); /* in place of the one that left */
    assert_false(guests[3].refused);
    come(&guests[4], &w->a, LAST); /* another queue */
    assert_false(guests[4].refused);
    for (size_t i = 1; i < 5; i++)
        leave(&guests[i]);
}

static void no_line_at_all(void **state)
{
    world_t *w = *state;
    guest_t guest;
    w->most = 0;
    come(&guest, &w->a, 0);
    assert_true(guest.refused);
    assert_int_equal(waiting(w, 0), 0);
    leave(&guest);
}

/* ---- requests that leave ---- */

static void the_next_one_is_first_when_the_first_leaves(void **state)
{
    world_t *w = *state;
    guest_t guests[3];
    for (size_t i = 0; i < 3; i++)
        come(&guests[i], &w->a, 0);
    leave(&guests[0]);
    leave(&guests[1]);
    assert_int_equal(waiting(w, 0), 1);
    come_free(&w->a, 0, 1);
    turn(&w->a);
    assert_int_equal(guests[2].seated, 1);
    leave(&guests[2]);
}

static void one_that_does_not_wait_may_leave(void **state)
{
    world_t *w = *state;
    upstream_waiter_t waiter = {.ex = NULL};
    guest_t guest;
    upstream_queue_leave(worker_of(w->a.fixture->context)->upstream_queue, &waiter);
    come(&guest, &w->a, 0);
    upstream_queue_leave(places_of(&guest), &guest.waiter);
    upstream_queue_leave(places_of(&guest), &guest.waiter);
    assert_int_equal(waiting(w, 0), 0);
    leave(&guest);
}

/* The slot was theirs, but they leave before the turn that would notify them ends. */
static void all_leave_before_they_hear_of_the_place(void **state)
{
    world_t *w = *state;
    guest_t guests[2];
    for (size_t i = 0; i < 2; i++)
        come(&guests[i], &w->a, 0);
    come_free(&w->a, 0, 1);
    leave(&guests[0]);
    leave(&guests[1]);
    turn(&w->a);
    assert_int_equal(w->seated, 0);
    come(&guests[0], &w->a, 0); /* and the slot goes to the next one */
    assert_int_equal(guests[0].seated, 1);
    leave(&guests[0]);
}

/* The queue changes while it is served. */
static void one_that_is_served_takes_another_out_of_the_line(void **state)
{
    world_t *w = *state;
    guest_t guests[3];
    for (size_t i = 0; i < 3; i++)
        come(&guests[i], &w->a, 0);
    guests[0].throws = &guests[1];
    come_free(&w->a, 0, 3);
    turn(&w->a);
    assert_int_equal(guests[0].seated, 1);
    assert_int_equal(guests[1].seated, 0);
    assert_int_equal(guests[2].seated, 2);
    assert_int_equal(waiting(w, 0), 0);
    for (size_t i = 0; i < 3; i++)
        leave(&guests[i]);
}

/* ---- slots that other workers free ---- */

static void others_are_told_where_nobody_waits_here(void **state)
{
    world_t *w = *state;
    guest_t here, there;
    come_free(&w->a, LAST, 0);
    assert_int_equal(told(&w->a), -1); /* no request waits in any worker */
    come(&there, &w->b, LAST);
    turn(&w->b);
    come_free(&w->a, LAST, 1);
    assert_int_equal(told(&w->a), LAST);
    upstream_queue_message(worker_of(w->b.fixture->context)->upstream_queue, LAST);
    assert_int_equal(there.seated, 0); /* not within that call */
    turn(&w->b);
    assert_int_equal(there.seated, 1);
    leave(&there);
    come(&here, &w->a, LAST);
    come(&there, &w->b, LAST);
    come_free(&w->a, LAST, 1);
    assert_int_equal(told(&w->a), -1); /* the slot goes to the request that waits here */
    turn(&w->a);
    assert_int_equal(here.seated, 2);
    leave(&here);
    leave(&there);
}

static void word_of_no_place(void **state)
{
    world_t *w = *state;
    static const uint64_t wrong[] = {BALANCE_UPSTREAMS_MAX, UINT64_C(1) << 32, UINT64_MAX, 1};
    guest_t guest;
    come(&guest, &w->a, 0);
    turn(&w->a);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        upstream_queue_message(worker_of(w->a.fixture->context)->upstream_queue, wrong[i]);
    turn(&w->a);
    assert_int_equal(guest.seated, 0);
    upstream_queue_message(worker_of(w->a.fixture->context)->upstream_queue,
                           0); /* a vain message: another worker was faster */
    turn(&w->a);
    assert_int_equal(guest.seated, 0);
    assert_int_equal(waiting(w, 0), 1);
    leave(&guest);
}

/* Another worker freed the slot without a message, since nobody waited yet. */
static void a_place_that_came_free_just_before_the_wait(void **state)
{
    world_t *w = *state;
    guest_t guest;
    come(&guest, &w->a, 0);
    w->free[0] = 1;
    turn(&w->a);
    assert_int_equal(guest.seated, 1);
    leave(&guest);
}

/* Without the controller, a timer looks for a slot again and again. */
static void a_place_of_which_nobody_hears(void **state)
{
    world_t *w = *state;
    guest_t guests[2];
    upstream_queue_set_channel(worker_of(w->a.fixture->context)->upstream_queue, NULL);
    upstream_queue_set_channel(worker_of(w->b.fixture->context)->upstream_queue, NULL);
    for (unsigned i = 0; i < 2; i++) {
        come(&guests[i], &w->b, i);
        turn(&w->b);
    }
    for (unsigned i = 0; i < 2; i++) {
        come_free(&w->a, i, 1);
        assert_int_equal(told(&w->a), -1);
        loop_skip(w->b.fixture->context->loop, LOOK_MS);
        turn(&w->b);
        assert_int_equal(guests[i].seated, i + 1);
        leave(&guests[i]);
    }
    loop_skip(w->b.fixture->context->loop, LOOK_MS);
    turn(&w->b);
    come(&guests[0], &w->b, 0); /* the timer had stopped: no request waited any more */
    turn(&w->b);
    w->free[0] = 1;
    loop_skip(w->b.fixture->context->loop, LOOK_MS);
    turn(&w->b);
    assert_int_equal(guests[0].seated, 3);
    leave(&guests[0]);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(first_come_first_served),
        TEST(each_upstream_has_its_line),
        TEST(the_line_is_bounded),
        TEST(no_line_at_all),
        TEST(the_next_one_is_first_when_the_first_leaves),
        TEST(one_that_does_not_wait_may_leave),
        TEST(all_leave_before_they_hear_of_the_place),
        TEST(one_that_is_served_takes_another_out_of_the_line),
        TEST(others_are_told_where_nobody_waits_here),
        TEST(word_of_no_place),
        TEST(a_place_that_came_free_just_before_the_wait),
        TEST(a_place_of_which_nobody_hears),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
