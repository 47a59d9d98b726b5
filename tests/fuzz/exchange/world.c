/* The worker of fuzzed exchanges, and its invariants. */
#include "fuzz_world.h"

#include "access.h"
#include "blocks.h"
#include "origin_pool.h"
#include "routes.h"
#include "tunnel.h"

fuzz_world_t fuzz_world;

void fuzz_turn(void)
{
    for (int i = 0; i < 3; i++) {
        loop_turn(fuzz_world.worker->context.loop, 0);
        if (blocks_changed(fuzz_world.worker->blocks))
            tunnels_close_blocked(&fuzz_world.worker->context);
        activity_turn(fuzz_world.worker->activity, loop_now(fuzz_world.worker->context.loop));
    }
    ipc_message_t message;
    while (ipc_receive(fuzz_world.controller, &message) == IPC_OK)
        continue;
}

/* ---- the store ---- */

void fuzz_put_box(box_state_t state, unsigned more)
{
    store_box_t box = fixture_box("box", state);
    box.generation = fuzz_world.generation += more & 1;
    box.provider = (more & 2) != 0 ? PROVIDER_PROCESS : PROVIDER_DOCKER;
    box.pid = (more & 2) != 0 ? 1 : 0;
    box.doubted = more == 4;
    box.start_ms = more == 5 ? 3000 : 0;
    store_result_t result = store_put_box(fuzz_world.store.store, &box);
    assert(result == STORE_OK);
}

void fuzz_put_preview(bool bearer)
{
    store_preview_t preview = fixture_preview("box", 3000);
    preview.bearer = bearer;
    store_result_t result = store_put_preview(fuzz_world.store.store, &preview);
    assert(result == STORE_OK);
}

void fuzz_set_block(store_block_kind_t kind, const char *text, bool on)
{
    store_block_t block = {.kind = kind, .created_at = 1};
    (void)snprintf(block.text, sizeof(block.text), "%s", text);
    store_result_t result = on ? store_put_block(fuzz_world.store.store, &block)
                               : store_delete_block(fuzz_world.store.store, kind, str_from(text));
    assert(result == STORE_OK || result == STORE_NOT_FOUND);
}

/* ---- invariants ---- */

static void check_call(const fuzz_call_t *call)
{
    const exchange_t *ex = call->ex;
    if (ex == NULL)
        return;
    const await_source_t *source = await_source(ex);
    assert(call->staged_count == 0);
    assert(ex->state != EXCHANGE_STEPS || source != NULL);
    assert(source == NULL || ex->state == EXCHANGE_STEPS || source->go_on != NULL);
    assert(ex->state < EXCHANGE_RESPONSE || call->heads + call->cuts != 0);
    assert(ex->state >= EXCHANGE_RESPONSE || call->heads + call->cuts + call->ends == 0);
    assert(ex->state != EXCHANGE_DONE || call->ends + call->cuts == 1 ||
           (ex->response.tunnel && call->cuts == 1));
    assert(ex->state != EXCHANGE_ORIGIN || ex->origin_ops != NULL || source != NULL);
    assert((call->subrequest != NULL) == (source == &fuzz_subrequest_source));
}

void fuzz_check(void)
{
    uint64_t open = 0;
    for (size_t i = 0; i < FUZZ_CALLS; i++) {
        check_call(&fuzz_world.calls[i]);
        open += (fuzz_world.calls[i].ex != NULL) + (fuzz_world.calls[i].subrequest != NULL);
    }
    assert(fuzz_world.fixture->counters.exchanges_open == open);
}

/* ---- beginning and end ---- */

void fuzz_end_call(fuzz_call_t *call, exchange_end_t how)
{
    if (call->ex != NULL)
        exchange_end(&call->ex, how);
    assert(call->subrequest == NULL && call->place.ex == NULL);
}

static void no_message(void *owner, ipc_message_t *message)
{
    (void)owner;
    (void)message;
}

static void log_nothing(bool readable, const char *sentence)
{
    (void)readable;
    (void)sentence;
}

static void remove_store(void)
{
    fixture_remove(&fuzz_world.store);
}

void fuzz_world_new(void)
{
    static const channel_handlers_t handlers = {.message = no_message,
                                                .closed = (void (*)(void *))no_message};
    static const uint8_t seed[16];
    int fds[2];
    setenv("CMOCKA_TEST_ABORT", "1", 1); /* the fixtures' assertions */
    fuzz_world.fixture = worker_fixture_new();
    worker_t *worker = fuzz_world.worker = worker_of(fuzz_world.fixture->context);
    conf_errors_t *errors = conf_errors_new();
    fuzz_world.confs[0] = worker->context.conf;
    fuzz_world.confs[1] = conf_parse("other.yaml", STR(FIXTURE_CONF), errors);
    conf_errors_free(&errors);
    fuzz_world.fixture->client.steps = fuzz_steps;
    fuzz_world.fixture->client.local = false;
    fixture_make(&fuzz_world.store);
    fixture_open(&fuzz_world.store, FIXTURE_MAP_BYTES);
    atexit(remove_store);
    worker->context.shm = shm_new(seed);
    worker->store = fuzz_world.store.store;
    const _Atomic uint64_t *epoch = shm_epoch(worker->context.shm);
    worker->routes =
        routes_new(fuzz_world.store.store, str_from(worker->context.conf->preview_domain), epoch);
    worker->blocks = blocks_new(fuzz_world.store.store, epoch, log_nothing);
    worker->access = access_new(fuzz_world.store.store, epoch, shm_lockout(worker->context.shm));
    worker->context.origins = origin_pool_new(worker->context.loop, 8);
    bool made = ipc_pair(fds);
    assert(made);
    fuzz_world.channel = channel_new(worker->context.loop, fds[0], &handlers, NULL);
    fuzz_world.controller = fds[1];
    fuzz_world.changed = true;
    loop_hold(worker->context.loop);
}

void fuzz_begin(void)
{
    worker_t *worker = fuzz_world.worker;
    for (size_t i = 0; i < 2; i++) {
        conf_t *conf = fuzz_world.confs[i];
        conf->limits.memory_bytes = 256u << 20;
        conf->limits.origin_connections_per_client = 3;
        conf->limits.origin_connections_per_box = 2;
        conf->limits.origin_queue = 2;
        conf->timeouts.origin_queue = i == 0 ? FUZZ_WAIT_MS : FUZZ_WAIT_MS / 2;
        conf->wake.page_after = 2000;
    }
    worker->context.conf = fuzz_world.confs[0];
    worker->context.draining = false;
    worker->context.client_faults =
        (fault_log_t){.window_ms = loop_now(worker->context.loop), .lines = FAULT_LINES};
    worker->context.slots = slots_new(&worker->context);
    worker->upstream_queue = upstream_queue_new(worker);
    worker->wake_client = wake_client_new(worker);
    wake_client_set_channel(worker->wake_client, fuzz_world.channel);
    worker->activity = activity_new(worker, fuzz_world.store.store);
    activity_set_channel(worker->activity, fuzz_world.channel);
    fuzz_world.line_open = false;
    if (!fuzz_world.changed)
        return;
    fuzz_world.changed = false;
    fuzz_put_box(BOX_RUNNING, 1);
    fuzz_put_preview(false);
    fuzz_set_block(BLOCK_BOX, "box", false);
    fuzz_set_block(BLOCK_CIDR, "192.0.2.2/32", false);
    shm_epoch_bump(worker->context.shm);
}

void fuzz_end(void)
{
    worker_t *worker = fuzz_world.worker;
    for (size_t i = 0; i < FUZZ_CALLS; i++)
        fuzz_end_call(&fuzz_world.calls[i], EXCHANGE_END_CLIENT_GONE);
    loop_turn(worker->context.loop, 0);
    assert(fuzz_world.taken_count == 0 && slots_waiting(worker->context.slots) == 0);
    assert(worker->context.memory.held == 0 && fuzz_world.fixture->counters.exchanges_open == 0);
    assert(fuzz_world.fixture->counters.wake_waiters == 0 && shm_waiters(worker->context.shm) == 0);
    assert(balance_waiters(shm_balance(worker->context.shm), 0) == 0);
    assert(worker->wake_streams == 0 && fuzz_world.fixture->counters.tunnels_open == 0);
    upstream_queue_free(&worker->upstream_queue);
    slots_free(&worker->context.slots);
    wake_client_free(&worker->wake_client);
    activity_free(&worker->activity);
    loop_skip(worker->context.loop, 2 * FUZZ_ROUNDS * FUZZ_ROUND_MS);
    loop_turn(worker->context.loop, 0); /* a timer of freed memory would show */
}
