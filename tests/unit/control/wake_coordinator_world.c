#include "wake_coordinator_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "list.h"

static void provider_resume(provider_t *provider, str_t id)
{
    world_t *w = CONTAINER_OF(world_t, provider, provider);
    w->resumes++;
    snprintf(w->resumed_id, sizeof w->resumed_id, "%.*s", STR_ARG(id));
}

static void provider_pause(provider_t *provider, str_t id)
{
    (void)id;
    CONTAINER_OF(world_t, provider, provider)->pauses++;
}

void ignore_id(provider_t *provider, str_t id)
{
    (void)provider;
    (void)id;
}

void ignore_conf(provider_t *provider, const conf_t *conf)
{
    (void)provider;
    (void)conf;
}

static void hear(void *owner, unsigned index, ipc_message_t *message)
{
    (void)owner;
    (void)index;
    (void)message;
}

int make_port(uint16_t *port, bool listening)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port = ntohs(address.sin_port);
    if (listening)
        assert_int_equal(listen(fd, 8), 0);
    return fd; /* bound: no other process takes the port */
}

int wake_coordinator_world_setup(void **state)
{
    static const uint8_t seed[16];
    world_t *w = calloc(1, sizeof *w);
    assert_non_null(w);
    fixture_make(&w->dirs);
    fixture_open(&w->dirs, 16 * MIB);
    w->loop = loop_new();
    w->shm = shm_new(seed);
    conf_errors_t *errors = conf_errors_new();
    w->conf = conf_parse("test.yaml", STR(CONF), errors);
    conf_errors_free(&errors);
    assert_non_null(w->conf);
    w->conf->wake.timeout = 5000;
    w->store = store_thread_new(w->loop, w->dirs.store, w->shm);
    w->dirs.store = NULL;
    w->worker_links = worker_links_new(w->loop, hear, w);
    for (unsigned i = 0; i < 3; i++) {
        int fds[2];
        assert_true(ipc_pair(fds));
        worker_links_take(w->worker_links, i, &fds[0]);
        w->workers[i] = fds[1];
    }
    w->boxes = boxes_new(w->loop, w->conf, w->store, w->worker_links, NULL, 0, 1000);
    w->coordinator =
        wake_coordinator_new(w->loop, w->conf, w->boxes, w->worker_links, NULL, shm_wakes(w->shm));
    w->provider = (provider_t){.kind = PROVIDER_PROCESS,
                               .handlers = &boxes_provider_handlers,
                               .owner = w->boxes,
                               .resume = provider_resume,
                               .pause = provider_pause,
                               .look = ignore_id};
    boxes_set_provider(w->boxes, PROVIDER_PROCESS, &w->provider);
    w->listener = make_port(&w->port, true);
    *state = w;
    return 0;
}

int wake_coordinator_world_teardown(void **state)
{
    world_t *w = *state;
    boxes_stop(w->boxes);
    store_thread_free(&w->store);
    wake_coordinator_free(&w->coordinator);
    boxes_free(&w->boxes);
    worker_links_free(&w->worker_links);
    for (unsigned i = 0; i < 3; i++)
        close(w->workers[i]);
    close(w->listener);
    loop_turn(w->loop, 0);
    loop_free(&w->loop);
    conf_release(&w->conf);
    shm_free(&w->shm);
    fixture_remove(&w->dirs);
    free(w);
    return 0;
}

/* ---- the tests' actions ---- */

provider_box_t box_at(const char *id, box_state_t state, const char *address)
{
    provider_box_t box = {.state = state};
    snprintf(box.id, sizeof box.id, "%s", id);
    if (address != NULL)
        assert_int_equal(inet_pton(AF_INET6, address, &box.address), 1);
    return box;
}

void tell(world_t *w, const char *id, box_state_t state, const char *address)
{
    provider_box_t box = box_at(id, state, address);
    w->provider.handlers->box(w->boxes, &w->provider, &box);
}

void answer(world_t *w, provider_result_t result, const char *sentence)
{
    w->provider.handlers->resumed(w->boxes, &w->provider, str_from(w->resumed_id), result, sentence);
}

str_t label(world_t *w, const char *id)
{
    static char text[80];
    snprintf(text, sizeof text, "%s-%u", id, w->port);
    return str_from(text);
}

wake_result_t ended(world_t *w, unsigned index, wake_answer_t *out, unsigned turns)
{
    ipc_message_t message;
    for (unsigned i = 0; i <= turns; i++) {
        while (ipc_receive(w->workers[index], &message) == IPC_OK)
            if (message.type == PROCESS_WOKEN) {
                assert_true(wake_answer_read(str_make(message.bytes, message.len), out));
                return (wake_result_t)message.value;
            }
        if (i < turns)
            loop_turn(w->loop, 50);
    }
    return (wake_result_t)0;
}

void settling_run(store_job_t *job, store_t *store)
{
    (void)job;
    (void)store;
}

void settling_done(store_job_t *job)
{
    CONTAINER_OF(settling_t, job, job)->done = true;
}

void settle(world_t *w)
{
    for (int i = 0; i < 5; i++) {
        settling_t settling = {.job = {.run = settling_run, .done = settling_done}};
        assert_true(store_thread_add(w->store, &settling.job));
        while (!settling.done)
            loop_turn(w->loop, 100);
        loop_turn(w->loop, 1);
    }
}

void wake_coordinator_world_pass(world_t *w, uint64_t ms)
{
    const uint64_t step = 50;
    for (uint64_t gone = 0; gone < ms; gone += step) {
        loop_skip(w->loop, ms - gone < step ? ms - gone : step);
        for (int i = 0; i < 3; i++)
            loop_turn(w->loop, 0);
    }
}

const store_box_t *known(world_t *w, const char *id)
{
    const store_box_t *box = boxes_find(w->boxes, str_from(id));
    assert_non_null(box);
    return box;
}
