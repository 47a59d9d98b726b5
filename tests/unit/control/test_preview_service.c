/* The controller's answers about previews, with the test in the workers' place: creation, deletion, refusals,
 * malformed calls, a store that is busy or full, and workers and a service that leave meanwhile. */
#include "store_gate.h"

#include <stddef.h>

#include "address.h"
#include "credentials.h"
#include "list.h"
#include "own_addresses.h"
#include "preview_message.h"
#include "preview_service.h"
#include "process.h"

#define NOW    1700000000u
#define WORKER 3

typedef struct world {
    fixture_t dirs;
    loop_t *loop;
    shm_t *shm;
    store_thread_t *thread;
    worker_links_t *worker_links;
    preview_service_t *desk;
    int worker; /* WORKER's end of its channel */
} world_t;

static void no_message(void *owner, unsigned index, ipc_message_t *message)
{
    (void)owner;
    (void)index;
    (void)message;
}

static int connect_worker(world_t *w, unsigned index)
{
    int fds[2];
    assert_true(ipc_pair(fds));
    worker_links_take(w->worker_links, index, &fds[0]);
    return fds[1];
}

/* `map_bytes` of the store. Files in `dirs` that are open belong to the thread from here on. */
static void start(world_t *w)
{
    static const uint8_t seed[16];
    w->loop = loop_new();
    w->shm = shm_new(seed);
    assert_non_null(w->shm);
    w->thread = store_thread_new(w->loop, w->dirs.store, w->shm);
    assert_non_null(w->thread);
    w->dirs.store = NULL;
    w->worker_links = worker_links_new(w->loop, no_message, w);
    w->desk = preview_service_new(w->thread, w->worker_links);
    w->worker = connect_worker(w, WORKER);
}

static world_t *make_world(uint64_t map_bytes)
{
    world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    fixture_make(&w->dirs);
    fixture_open(&w->dirs, map_bytes);
    return w;
}

static int setup(void **state)
{
    *state = make_world(FIXTURE_MAP_BYTES);
    return 0;
}

/* In the controller's order at its end: the service, the store thread's remaining jobs, the channels. */
static void stop(world_t *w)
{
    preview_service_free(&w->desk);
    assert_null(w->desk);
    preview_service_free(&w->desk);
    store_thread_free(&w->thread);
    worker_links_free(&w->worker_links);
    close(w->worker);
    loop_turn(w->loop, 0);
    loop_free(&w->loop);
    shm_free(&w->shm);
}

/* Stops, and opens the store for the test. */
static store_t *store_after(world_t *w)
{
    stop(w);
    fixture_open(&w->dirs, FIXTURE_MAP_BYTES);
    return w->dirs.store;
}

static int teardown(void **state)
{
    world_t *w = *state;
    fixture_remove(&w->dirs);
    free(w);
    return 0;
}

static preview_call_t call_of(preview_op_t op, const char *id, uint16_t port)
{
    preview_call_t call = {.op = op, .port = port, .deletions = UINT64_MAX};
    (void)snprintf(call.id, sizeof(call.id), "%s", id);
    return call;
}

static void take(world_t *w, uint64_t number, const preview_call_t *call)
{
    preview_service_take(w->desk, WORKER, number, str_make((const char *)call, sizeof(*call)), NOW);
}

/* The next message to a worker, within some seconds. */
static void receive(world_t *w, int worker, uint64_t number, preview_answer_t *answer)
{
    ipc_message_t message;
    ipc_result_t result = IPC_AGAIN;
    for (int i = 0; i < 2000 && (result = ipc_receive(worker, &message)) == IPC_AGAIN; i++)
        loop_turn(w->loop, 10);
    assert_int_equal(result, IPC_OK);
    assert_int_equal(message.type, PROCESS_PREVIEW_DONE);
    assert_int_equal(message.value, number);
    assert_true(preview_answer_read(str_make(message.bytes, message.len), answer));
}

static preview_answer_t answer_to(world_t *w, uint64_t number, const preview_call_t *call)
{
    preview_answer_t answer;
    take(w, number, call);
    receive(w, w->worker, number, &answer);
    return answer;
}

static void expect_nothing(int worker)
{
    ipc_message_t message;
    assert_int_equal(ipc_receive(worker, &message), IPC_AGAIN);
}

/* All earlier requests are done, and none of them answered: the next request's answer comes next. */
static void expect_no_answer_before_this(world_t *w)
{
    preview_call_t call = call_of(PREVIEW_DELETE, "nobody", 1);
    assert_int_equal(answer_to(w, 999, &call).status, 404);
    expect_nothing(w->worker);
}

static size_t previews_of(store_t *store, const char *id)
{
    size_t count = 0;
    store_preview_t preview;
    for (uint32_t port = 1; port <= 6000; port++)
        count += store_get_preview(store, str_from(id), (uint16_t)port, &preview) == STORE_OK;
    return count;
}

static void put(world_t *w, const char *id, uint16_t first, size_t count)
{
    store_change_t *changes = calloc(count, sizeof(*changes));
    assert_non_null(changes);
    for (size_t i = 0; i < count; i++)
        changes[i].preview = fixture_preview(id, (uint16_t)(first + i));
    assert_int_equal(store_apply(w->dirs.store, changes, count), STORE_OK);
    free(changes);
}

/* All jobs added before it are done. */
static void turn_until_passed(world_t *w, const store_gate_t *gate)
{
    for (int i = 0; i < 2000 && !gate->passed; i++)
        loop_turn(w->loop, 10);
    assert_true(gate->passed);
}

/* A box that is recorded while the thread owns the store. */
typedef struct box_job {
    store_job_t job;
    store_box_t box;
    bool done;
} box_job_t;

static void put_box(store_job_t *job, store_t *store)
{
    box_job_t *work = CONTAINER_OF(box_job_t, job, job);
    assert_int_equal(store_put_box(store, &work->box), STORE_OK);
}

static void box_done(store_job_t *job)
{
    CONTAINER_OF(box_job_t, job, job)->done = true;
}

/* ---- creation and deletion ---- */

static void a_preview_is_made(void **state)
{
    world_t *w = *state;
    start(w);
    preview_call_t call = call_of(PREVIEW_CREATE, "box", 3000);
    call.bearer = call.basic = true;
    uint64_t epoch = atomic_load(shm_epoch(w->shm));
    preview_answer_t answer = answer_to(w, 7, &call);
    assert_int_equal(answer.status, 200);
    assert_true(atomic_load(shm_epoch(w->shm)) > epoch);
    assert_int_equal(strlen(answer.secrets.token), SECRET_TEXT_LEN);
    assert_int_equal(strlen(answer.secrets.password), SECRET_TEXT_LEN);
    store_preview_t made;
    assert_int_equal(store_get_preview(store_after(w), STR("box"), 3000, &made), STORE_OK);
    assert_true(made.bearer && made.basic);
    assert_int_equal(made.created_at, NOW);
    static const uint8_t none[32];
    assert_memory_not_equal(made.bearer_sha256, none, 32);
    assert_memory_not_equal(made.basic_sha256, none, 32);
}

/* Created anew, it has other secrets, or none. */
static void a_preview_is_replaced(void **state)
{
    world_t *w = *state;
    start(w);
    preview_call_t call = call_of(PREVIEW_CREATE, "box", 65535);
    call.bearer = true;
    preview_answer_t first = answer_to(w, 1, &call), second = answer_to(w, 2, &call);
    assert_string_not_equal(first.secrets.token, second.secrets.token);
    assert_string_equal(first.secrets.password, "");
    call.bearer = false;
    preview_answer_t open = answer_to(w, 3, &call);
    assert_int_equal(open.status, 200);
    assert_string_equal(open.secrets.token, "");
    store_preview_t made;
    assert_int_equal(store_get_preview(store_after(w), STR("box"), 65535, &made), STORE_OK);
    assert_false(made.bearer || made.basic);
}

static void boxes_that_take_no_such_preview(void **state)
{
    world_t *w = *state;
    store_box_t box = fixture_box("short", BOX_RUNNING);
    box.ephemeral = true;
    assert_int_equal(store_put_box(w->dirs.store, &box), STORE_OK);
    box = fixture_box("narrow", BOX_RUNNING);
    box.ports[0] = 3000;
    box.port_count = 1;
    assert_int_equal(store_put_box(w->dirs.store, &box), STORE_OK);
    start(w);
    preview_call_t call = call_of(PREVIEW_CREATE, "short", 3000);
    preview_answer_t answer = answer_to(w, 1, &call);
    assert_int_equal(answer.status, 400);
    assert_string_equal(answer.code, "box_ephemeral");
    assert_int_not_equal(strlen(answer.sentence), 0);
    call = call_of(PREVIEW_CREATE, "narrow", 3001);
    call.bearer = true;
    answer = answer_to(w, 2, &call);
    assert_int_equal(answer.status, 400);
    assert_string_equal(answer.code, "port_not_exposed");
    assert_string_equal(answer.secrets.token, "");
    call.port = 3000;
    assert_int_equal(answer_to(w, 3, &call).status, 200);
    store_t *store = store_after(w);
    assert_int_equal(previews_of(store, "short") + previews_of(store, "narrow"), 1);
}

/* A call for port 3000 of a static box at `address`; the code of the refusal, "" for none. */
static const char *code_at(world_t *w, const char *address, uint16_t fixed_port, uint16_t declared)
{
    static uint64_t calls;
    static preview_answer_t answer;
    store_box_t box = fixture_box("machine", BOX_RUNNING);
    assert_true(address_parse(address, &box.address));
    box.fixed_port = fixed_port;
    box.ports[0] = declared;
    box.port_count = declared != 0;
    box_job_t job = {.job = {.run = put_box, .done = box_done}, .box = box};
    assert_true(store_thread_add(w->thread, &job.job));
    while (!job.done)
        loop_turn(w->loop, 10);
    preview_call_t call = call_of(PREVIEW_CREATE, "machine", 3000);
    answer = answer_to(w, ++calls, &call);
    assert_int_equal(answer.status, answer.code[0] == '\0' ? 200 : 403);
    return answer.code;
}

/* The same when the address became this machine's only after the configuration was read. */
static void a_machine_without_declared_ports(void **state)
{
    world_t *w = *state;
    start(w);
    char own[INET6_ADDRSTRLEN] = "127.0.0.1";
    for (size_t i = 0; i == 0 || own_fixture(i - 1, own); i++) {
        assert_string_equal(code_at(w, own, 0, 0), "port_not_exposed");
        assert_string_equal(code_at(w, own, 8080, 0), "");
        assert_string_equal(code_at(w, own, 0, 3000), "");
    }
    assert_string_equal(code_at(w, "203.0.113.7", 0, 0), ""); /* an address of no machine */
    (void)store_after(w);
}

static void a_preview_is_deleted_once(void **state)
{
    world_t *w = *state;
    put(w, "box", 3000, 2);
    start(w);
    preview_call_t call = call_of(PREVIEW_DELETE, "box", 3000);
    assert_int_equal(answer_to(w, 1, &call).status, 200);
    uint64_t epoch = atomic_load(shm_epoch(w->shm));
    preview_answer_t answer = answer_to(w, 2, &call);
    assert_int_equal(answer.status, 404);
    assert_string_equal(answer.code, "preview_not_found");
    assert_int_equal(atomic_load(shm_epoch(w->shm)), epoch);
    assert_int_equal(previews_of(store_after(w), "box"), 1);
}

/* ---- a box under deletion ---- */

static void a_box_that_is_being_deleted_takes_none(void **state)
{
    world_t *w = *state;
    store_deletion_t deletion = {.id = "box", .call = 1};
    assert_int_equal(store_put_deletions(w->dirs.store, &deletion, 1), STORE_OK);
    start(w);
    preview_call_t call = call_of(PREVIEW_CREATE, "box", 3000);
    preview_answer_t answer = answer_to(w, 1, &call);
    assert_int_equal(answer.status, 409);
    assert_string_equal(answer.code, "box_being_deleted");
    assert_int_equal(previews_of(store_after(w), "box"), 0);
}

/* The right to the box may predate its deletion. */
static void a_call_from_before_a_deletion_makes_none(void **state)
{
    world_t *w = *state;
    store_deletion_t deletion = {.id = "box", .call = 1};
    uint64_t before = store_deletions_version(w->dirs.store);
    assert_int_equal(store_put_deletions(w->dirs.store, &deletion, 1), STORE_OK);
    assert_int_equal(store_end_deletions(w->dirs.store, STR("box"), NULL, NULL), STORE_OK);
    uint64_t after = store_deletions_version(w->dirs.store);
    start(w);
    preview_call_t call = call_of(PREVIEW_CREATE, "box", 3000);
    call.deletions = before;
    preview_answer_t answer = answer_to(w, 1, &call);
    assert_int_equal(answer.status, 409);
    assert_string_equal(answer.code, "box_being_deleted");
    call.deletions = after;
    assert_int_equal(answer_to(w, 2, &call).status, 200);
    assert_int_equal(previews_of(store_after(w), "box"), 1);
}

/* ---- malformed calls ---- */

static void what_is_no_call_is_passed_over(void **state)
{
    world_t *w = *state;
    put(w, "box", 3000, 1);
    start(w);
    preview_call_t good = call_of(PREVIEW_DELETE, "box", 3000);
    char bytes[sizeof(good) + 1] = {0};
    memcpy(bytes, &good, sizeof(good));
    static const size_t sizes[] = {0, 1, sizeof(good) - 1, sizeof(good) + 1};
    for (size_t i = 0; i < 4; i++)
        preview_service_take(w->desk, WORKER, i, str_make(bytes, sizes[i]), NOW);
    preview_call_t calls[] = {
        call_of(PREVIEW_DELETE, "", 3000),     call_of(PREVIEW_DELETE, "box", 0),
        call_of(PREVIEW_CREATE, "box", 0),     call_of(PREVIEW_DELETE, "BOX", 3000),
        call_of(PREVIEW_DELETE, "box-", 3000), call_of(PREVIEW_CREATE, "../x", 3000),
        call_of(PREVIEW_DELETE, "box", 3000),  call_of(PREVIEW_DELETE, "box", 3000),
        call_of(PREVIEW_DELETE, "box", 3000),  call_of(PREVIEW_DELETE, "box", 3000),
    };
    size_t count = sizeof(calls) / sizeof(calls[0]);
    calls[count - 4].op = 0;
    calls[count - 3].op = PREVIEW_DELETE + 1;
    calls[count - 2].op = UINT32_MAX;
    memset(calls[count - 1].id, 'a', sizeof(calls[0].id)); /* it has no end */
    for (size_t i = 0; i < count; i++)
        take(w, i, &calls[i]);
    expect_no_answer_before_this(w);
    assert_int_equal(previews_of(store_after(w), "box"), 1);
}

/* A value that is neither true nor false cannot be read as either one. */
static void flags_that_are_none(void **state)
{
    world_t *w = *state;
    start(w);
    static const size_t flags[] = {offsetof(preview_call_t, bearer), offsetof(preview_call_t, basic)};
    for (size_t i = 0; i < 4; i++) {
        preview_call_t call = call_of(PREVIEW_CREATE, "box", 3000);
        char bytes[sizeof(call)];
        memcpy(bytes, &call, sizeof(call));
        bytes[flags[i % 2]] = i < 2 ? 2 : (char)0xff;
        preview_service_take(w->desk, WORKER, i, str_make(bytes, sizeof(bytes)), NOW);
    }
    expect_no_answer_before_this(w);
    assert_int_equal(previews_of(store_after(w), "box"), 0);
}

/* ---- a store that refuses changes ---- */

static void a_store_with_too_much_to_do(void **state)
{
    world_t *w = *state;
    put(w, "box", 3000, 1);
    start(w);
    store_gate_t gate;
    store_gate_shut(w->thread, &gate);
    preview_call_t call = call_of(PREVIEW_DELETE, "box", 3000);
    for (size_t i = 1; i < STORE_JOBS_MAX; i++)
        take(w, i, &call);
    expect_nothing(w->worker);
    preview_answer_t answer = answer_to(w, STORE_JOBS_MAX, &call); /* immediately */
    assert_int_equal(answer.status, 503);
    assert_string_equal(answer.code, "store_busy");
    store_gate_open(&gate);
    for (size_t i = 1; i < STORE_JOBS_MAX; i++) {
        receive(w, w->worker, i, &answer);
        assert_int_equal(answer.status, i == 1 ? 200 : 404);
    }
    assert_int_equal(answer_to(w, 1, &call).status, 404); /* the store has room again */
    stop(w);
}

static void a_full_store(void **state)
{
    world_t *w = make_world(1u << 20);
    (void)state;
    store_preview_t preview = fixture_preview("box", 1);
    while (store_put_preview(w->dirs.store, &preview) == STORE_OK)
        assert_true(++preview.port < 60000);
    start(w);
    preview_call_t call = call_of(PREVIEW_CREATE, "box", preview.port);
    preview_answer_t answer = answer_to(w, 1, &call);
    assert_int_equal(answer.status, 507);
    assert_string_equal(answer.code, "store_full");
    call = call_of(PREVIEW_DELETE, "box", 1);
    assert_int_equal(answer_to(w, 1, &call).status, 200);
    stop(w);
    fixture_remove(&w->dirs);
    free(w);
}

/* ---- workers and a service that leave ---- */

static void a_worker_that_has_gone(void **state)
{
    world_t *w = *state;
    start(w);
    store_gate_t first, last;
    store_gate_shut(w->thread, &first);
    preview_call_t call = call_of(PREVIEW_CREATE, "box", 3000);
    take(w, 1, &call);
    store_gate_shut(w->thread, &last);
    close(w->worker);
    loop_turn(w->loop, 10); /* its end is seen */
    int other = connect_worker(w, WORKER + 1);
    store_gate_open(&first);
    store_gate_open(&last);
    turn_until_passed(w, &last);
    w->worker = connect_worker(w, WORKER); /* its successor */
    expect_no_answer_before_this(w);
    expect_nothing(other);
    close(other);
    assert_int_equal(previews_of(store_after(w), "box"), 1);
}

static void answers_go_to_the_worker_that_asked(void **state)
{
    world_t *w = *state;
    start(w);
    int other = connect_worker(w, 0);
    preview_call_t call = call_of(PREVIEW_CREATE, "box", 3000);
    preview_answer_t answer;
    take(w, 1, &call);
    call.port = 0xffff;
    preview_service_take(w->desk, 0, UINT64_MAX, str_make((const char *)&call, sizeof(call)), NOW);
    receive(w, other, UINT64_MAX, &answer);
    receive(w, w->worker, 1, &answer);
    expect_nothing(other);
    expect_nothing(w->worker);
    close(other);
    stop(w);
}

/* The service leaves first, then the store's thread, which still has its jobs. */
static void a_desk_that_goes_with_jobs_under_way(void **state)
{
    world_t *w = *state;
    start(w);
    store_gate_t first, last;
    store_gate_shut(w->thread, &first);
    preview_call_t call = call_of(PREVIEW_CREATE, "box", 3000);
    call.bearer = true;
    for (uint16_t i = 0; i < 3; i++, call.port++)
        take(w, i + 1u, &call);
    store_gate_shut(w->thread, &last);
    preview_service_free(&w->desk);
    store_gate_open(&first);
    store_gate_open(&last);
    turn_until_passed(w, &last);
    expect_nothing(w->worker);
    assert_int_equal(previews_of(store_after(w), "box"),
                     3); /* the caller got no answer, yet the work was done */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_preview_is_made),
        TEST(a_preview_is_replaced),
        TEST(boxes_that_take_no_such_preview),
        TEST(a_machine_without_declared_ports),
        TEST(a_preview_is_deleted_once),
        TEST(a_box_that_is_being_deleted_takes_none),
        TEST(a_call_from_before_a_deletion_makes_none),
        TEST(what_is_no_call_is_passed_over),
        TEST(flags_that_are_none),
        TEST(a_store_with_too_much_to_do),
        cmocka_unit_test(a_full_store),
        TEST(a_worker_that_has_gone),
        TEST(answers_go_to_the_worker_that_asked),
        TEST(a_desk_that_goes_with_jobs_under_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
