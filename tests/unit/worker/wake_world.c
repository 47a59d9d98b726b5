#include "wake_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const exchange_step_t wake_world_steps[] = {{"wake", step_wake}, {"box", world_step}, {NULL, NULL}};

static void wake_world_no_message(void *owner, ipc_message_t *message)
{
    (void)owner;
    (void)message;
}

static void wake_world_closed(void *owner)
{
    (void)owner;
}

void wake_world_prepare(exchange_t *ex)
{
    (void)snprintf(test_preview(ex)->id, sizeof(test_preview(ex)->id), "box");
    test_preview(ex)->port = 3000;
    test_preview(ex)->version = 7;
    ex->box.provider = PROVIDER_DOCKER;
    ex->box.state = BOX_PAUSED;
    ex->request.authority = STR("box-3000.preview.test");
}

wake_world_t *wake_world_new(void)
{
    static const channel_handlers_t handlers = {.message = wake_world_no_message,
                                                .closed = wake_world_closed};
    static const uint8_t seed[16];
    int fds[2];
    wake_world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    w->world = worker_world_new();
    w->worker = worker_of(w->world->fixture->context);
    w->world->fixture->client.steps = wake_world_steps;
    w->worker->context.shm = shm_new(seed);
    w->worker->wake_client = wake_client_new(w->worker);
    w->worker->access = access_new(NULL, &w->epoch, NULL);
    assert_true(ipc_pair(fds));
    w->channel = channel_new(w->worker->context.loop, fds[0], &handlers, w);
    w->controller = fds[1];
    wake_client_set_channel(w->worker->wake_client, w->channel);
    wake_world_prepare(w->world->ex);
    return w;
}

exchange_t *wake_world_next(wake_world_t *w)
{
    exchange_world_t *world = w->world;
    exchange_end(&world->ex, EXCHANGE_END_COMPLETE);
    world->staged_count = world->out_n = 0;
    world->heads = world->ends = world->cuts = world->cancels = world->origin_ends = 0;
    world->room = EXCHANGE_BODY_BYTES;
    world->ex = exchange_new(&world->fixture->client, &world_client_ops, world);
    world->ex->request.version = HTTP_1_1;
    world->ex->request.method = STR("GET");
    world->ex->request.target = STR("/");
    wake_world_prepare(world->ex);
    return world->ex;
}

void wake_world_free(wake_world_t *w)
{
    exchange_world_t *world = w->world;
    worker_t *worker = w->worker;
    exchange_end(&world->ex, EXCHANGE_END_CLIENT_GONE);
    assert_int_equal(worker->context.counters->wake_waiters, 0);
    assert_int_equal(shm_waiters(worker->context.shm), 0);
    assert_int_equal(worker->wake_streams, 0);
    wake_client_set_channel(worker->wake_client, NULL);
    wake_client_free(&worker->wake_client);
    access_free(&worker->access);
    channel_free(&w->channel);
    close(w->controller);
    shm_t *shm = worker->context.shm;
    worker->context.shm = NULL;
    world->ex = exchange_new(&world->fixture->client, &world_client_ops, world);
    exchange_world_free(world);
    shm_free(&shm);
    free(w);
}

int wake_world_asked(wake_world_t *w)
{
    ipc_message_t message;
    int last = -1;
    while (ipc_receive(w->controller, &message) == IPC_OK) {
        assert_int_equal(message.type, PROCESS_WAKE);
        assert_true(str_eq(str_make(message.bytes, message.len), STR("box-3000")));
        last = (int)wake_wish_of(message.value);
    }
    return last;
}

void wake_world_stage(wake_world_t *w, wake_stage_t stage, uint64_t elapsed_ms)
{
    ipc_message_t message = {.type = PROCESS_WAKE_STAGE, .value = wake_stage_pack(stage, elapsed_ms)};
    memcpy(message.bytes, "box-3000", 8);
    message.len = 8;
    wake_client_message(w->worker->wake_client, &message);
}

void wake_world_ends(wake_world_t *w, wake_result_t result, const wake_answer_t *answer)
{
    char bytes[WAKE_ANSWER_BYTES];
    wake_answer_t of_box = answer != NULL ? *answer : (wake_answer_t){.resume_ms = 0};
    (void)snprintf(of_box.label, sizeof(of_box.label), "box-3000");
    ipc_message_t message = {.type = PROCESS_WOKEN, .value = result};
    message.len = wake_answer_write(&of_box, bytes);
    memcpy(message.bytes, bytes, message.len);
    wake_client_message(w->worker->wake_client, &message);
}

void wake_world_runs(wake_world_t *w, const wake_answer_t *answer)
{
    if (w->world->ex != NULL)
        w->world->ex->box.state = BOX_RUNNING;
    wake_world_ends(w, WAKE_OK, answer);
    loop_turn(w->worker->context.loop, 0); /* those that waited resume by a timer */
    loop_turn(w->worker->context.loop, 1);
}

void wake_world_skip(wake_world_t *w, uint64_t ms)
{
    loop_skip(w->worker->context.loop, ms);
    loop_turn(w->worker->context.loop, 0);
    loop_turn(w->worker->context.loop, 0); /* the deferred ones */
}

void wake_world_field(exchange_t *ex, const char *name, const char *value)
{
    str_t n = str_from(name);
    fields_add(&ex->arena, &ex->request.fields, field_lookup(n), n, str_from(value));
}

str_t wake_world_got(const exchange_t *ex, const char *name)
{
    const fields_t *fields = &ex->response.fields;
    for (uint32_t i = 0; i < fields->count; i++)
        if (str_ieq(fields->at[i].name, str_from(name)))
            return fields->at[i].value;
    return str_make(NULL, 0);
}

bool wake_world_body_has(const wake_world_t *w, const char *text)
{
    return memmem(w->world->out, w->world->out_n, text, strlen(text)) != NULL;
}
