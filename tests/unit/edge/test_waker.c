/* Boxes and their waking in the controller: one resume however many ask, probing, failures that are
 * remembered, and boxes that go or come back while somebody waits. The provider is the test's; ports and the
 * store are real. */
#include "../routing/store_fixture.h"

#include <arpa/inet.h>

#include "conf.h"
#include "process.h"
#include "waker.h"

#define MIB (UINT64_C(1) << 20)
#define CONF                                                                                                 \
    "preview_domain: preview.test\nnode: here\npublic_port: 443\n"                                           \
    "listeners:\n  - {address: \"127.0.0.1:8080\", kind: plain}\n"

typedef struct world {
    fixture_t dirs;
    loop_t *loop;
    shm_t *shm;
    conf_t *conf;
    store_thread_t *store;
    peers_t *peers;
    boxes_t *boxes;
    waker_t *waker;
    provider_t provider;
    unsigned resumes;
    char resumed_id[BOX_ID_MAX + 1];
    int workers[3]; /* the workers' ends */
    int listener;   /* -1: none */
    uint16_t port;  /* of the listener, or one where nothing listens */
} world_t;

static void provider_resume(provider_t *provider, str_t id)
{
    world_t *w = H2O_STRUCT_FROM_MEMBER(world_t, provider, provider);
    w->resumes++;
    snprintf(w->resumed_id, sizeof w->resumed_id, "%.*s", STR_ARG(id));
}

static void ignore_id(provider_t *provider, str_t id)
{
    (void)provider;
    (void)id;
}

static void ignore_conf(provider_t *provider, const conf_t *conf)
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

static int make_port(uint16_t *port, bool listening)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *port = ntohs(address.sin_port);
    if (listening)
        assert_int_equal(listen(fd, 8), 0);
    return fd; /* bound: nobody else takes the port */
}

static int setup(void **state)
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
    w->peers = peers_new(w->loop, hear, w);
    for (unsigned i = 0; i < 3; i++) {
        int fds[2];
        assert_true(ipc_pair(fds));
        peers_take(w->peers, i, &fds[0]);
        w->workers[i] = fds[1];
    }
    w->boxes = boxes_new(w->loop, w->conf, w->store, w->peers, NULL, 0, 1000);
    w->waker = waker_new(w->loop, w->conf, w->boxes, w->peers, shm_wakes(w->shm));
    w->provider = (provider_t){.kind = PROVIDER_PROCESS,
                               .handlers = &boxes_provider_handlers,
                               .owner = w->boxes,
                               .resume = provider_resume,
                               .pause = ignore_id,
                               .look = ignore_id};
    boxes_set_provider(w->boxes, PROVIDER_PROCESS, &w->provider);
    w->listener = make_port(&w->port, true);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_t *w = *state;
    boxes_stop(w->boxes);
    store_thread_free(&w->store);
    waker_free(&w->waker);
    boxes_free(&w->boxes);
    peers_free(&w->peers);
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

/* ---- what the tests do ---- */

static provider_box_t box_at(const char *id, box_state_t state, const char *address)
{
    provider_box_t box = {.state = state};
    snprintf(box.id, sizeof box.id, "%s", id);
    if (address != NULL)
        assert_int_equal(inet_pton(AF_INET6, address, &box.address), 1);
    return box;
}

static void tell(world_t *w, const char *id, box_state_t state, const char *address)
{
    provider_box_t box = box_at(id, state, address);
    w->provider.handlers->box(w->boxes, &w->provider, &box);
}

/* The provider's answer to the last resume. */
static void answer(world_t *w, provider_result_t result, const char *sentence)
{
    w->provider.handlers->resumed(w->boxes, &w->provider, str_from(w->resumed_id), result, sentence);
}

static str_t label(world_t *w, const char *id)
{
    static char text[80];
    snprintf(text, sizeof text, "%s-%u", id, w->port);
    return str_from(text);
}

/* What worker `index` is told next that ends a wake; 0: nothing within the turns. */
static wake_result_t ended(world_t *w, unsigned index, wake_answer_t *out, unsigned turns)
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

static void settle(world_t *w)
{
    for (int i = 0; i < 20; i++)
        loop_turn(w->loop, 2);
}

/* `ms` go by in steps in which probes and their answers have their turns. */
static void pass(world_t *w, uint64_t ms)
{
    const uint64_t step = 50;
    for (uint64_t gone = 0; gone < ms; gone += step) {
        loop_skip(w->loop, ms - gone < step ? ms - gone : step);
        for (int i = 0; i < 3; i++)
            loop_turn(w->loop, 0);
    }
}

static const store_box_t *known(world_t *w, const char *id)
{
    const store_box_t *box = boxes_find(w->boxes, str_from(id));
    assert_non_null(box);
    return box;
}

/* ---- tests ---- */

static void one_resume_for_all(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    tell(w, "a", BOX_PAUSED, NULL);
    for (int i = 0; i < 5; i++)
        for (unsigned worker = 0; worker < 2; worker++)
            waker_ask(w->waker, worker, label(w, "a"), WAKE_WISH_WAKE);
    settle(w);
    assert_int_equal(w->resumes, 1);
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    answer(w, PROVIDER_OK, NULL);
    assert_int_equal(ended(w, 0, &got, 200), WAKE_OK);
    assert_string_equal(got.label, label(w, "a").p);
    assert_int_equal(ended(w, 1, &got, 200), WAKE_OK);
    assert_int_equal(ended(w, 2, &got, 0), 0); /* did not ask */
    assert_int_equal(known(w, "a")->state, BOX_RUNNING);
    assert_int_equal(known(w, "a")->listening[0], w->port);
    /* Asked again it is answered from what is known. */
    waker_ask(w->waker, 2, label(w, "a"), WAKE_WISH_WAKE);
    assert_int_equal(ended(w, 2, &got, 0), WAKE_OK);
    assert_int_equal(w->resumes, 1);
    assert_int_equal(atomic_load(&shm_wakes(w->shm)->resumes), 1);
}

/* How far the wake is, as worker `index` was told last; 0: it was not. */
static uint64_t stage_told(world_t *w, unsigned index)
{
    ipc_message_t message;
    uint64_t last = 0;
    while (ipc_receive(w->workers[index], &message) == IPC_OK)
        if (message.type == PROCESS_WAKE_STAGE)
            last = message.value;
    return last;
}

/* Whoever joins hears how far it is, and since when; and only those who ask. */
static void stages_for_those_who_join(void **state)
{
    world_t *w = *state;
    close(w->listener);
    w->listener = make_port(&w->port, false);
    tell(w, "a", BOX_PAUSED, NULL);
    waker_ask(w->waker, 0, label(w, "a"), WAKE_WISH_WAKE);
    assert_int_equal(wake_stage_of(stage_told(w, 0)), WAKE_RESUMING);
    pass(w, 1200);
    waker_ask(w->waker, 1, label(w, "a"), WAKE_WISH_WATCH);
    uint64_t told = stage_told(w, 1);
    assert_int_equal(wake_stage_of(told), WAKE_RESUMING);
    assert_in_range(wake_stage_elapsed_ms(told), 1200, 10000);
    assert_int_equal(stage_told(w, 0), 0); /* knows already */
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    answer(w, PROVIDER_OK, NULL);
    settle(w);
    assert_int_equal(wake_stage_of(stage_told(w, 0)), WAKE_STARTING);
    assert_int_equal(wake_stage_of(stage_told(w, 1)), WAKE_STARTING);
    waker_ask(w->waker, 2, label(w, "a"), WAKE_WISH_WATCH);
    assert_int_equal(wake_stage_of(stage_told(w, 2)), WAKE_STARTING);
}

static void a_failure_is_remembered(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    tell(w, "a", BOX_PAUSED, NULL);
    waker_ask(w->waker, 0, label(w, "a"), WAKE_WISH_WAKE);
    answer(w, PROVIDER_FAILED, "It is broken.");
    assert_int_equal(ended(w, 0, &got, 200), WAKE_FAILED);
    assert_string_equal(got.sentence, "It is broken.");
    assert_in_range(got.retry_after_ms, 4000, 5000);
    waker_ask(w->waker, 1, label(w, "a"), WAKE_WISH_WAKE);
    assert_int_equal(ended(w, 1, &got, 0), WAKE_FAILED); /* at once */
    assert_string_equal(got.sentence, "It is broken.");
    assert_int_equal(w->resumes, 1);
    assert_int_equal(atomic_load(&shm_wakes(w->shm)->failures), 1);
    /* The watcher of a page is told of it too. */
    waker_ask(w->waker, 1, label(w, "a"), WAKE_WISH_WATCH);
    assert_int_equal(ended(w, 1, &got, 0), WAKE_FAILED);
}

/* Each failure in a row is remembered for twice as long, up to a minute; a success ends that. */
static void failures_are_remembered_for_longer(void **state)
{
    static const uint32_t remembered[] = {5000, 10000, 20000, 40000, 60000, 60000};
    world_t *w = *state;
    wake_answer_t got;
    tell(w, "a", BOX_PAUSED, NULL);
    for (unsigned i = 0; i < sizeof(remembered) / sizeof(remembered[0]); i++) {
        waker_ask(w->waker, 0, label(w, "a"), WAKE_WISH_WAKE);
        assert_int_equal(w->resumes, i + 1);
        answer(w, PROVIDER_FAILED, "It is broken.");
        assert_int_equal(ended(w, 0, &got, 200), WAKE_FAILED);
        pass(w, remembered[i] - 500);
        waker_ask(w->waker, 0, label(w, "a"), WAKE_WISH_WAKE);
        assert_int_equal(ended(w, 0, &got, 0), WAKE_FAILED);
        assert_int_equal(w->resumes, i + 1);
        pass(w, 600);
    }
    waker_ask(w->waker, 0, label(w, "a"), WAKE_WISH_WAKE);
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    answer(w, PROVIDER_OK, NULL);
    assert_int_equal(ended(w, 0, &got, 200), WAKE_OK);
    tell(w, "a", BOX_PAUSED, NULL);
    waker_ask(w->waker, 0, label(w, "a"), WAKE_WISH_WAKE);
    answer(w, PROVIDER_FAILED, "It is broken again.");
    assert_int_equal(ended(w, 0, &got, 200), WAKE_FAILED);
    assert_in_range(got.retry_after_ms, 4000, 5000);
}

static void the_provider_is_away(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    tell(w, "a", BOX_PAUSED, NULL);
    waker_ask(w->waker, 0, label(w, "a"), WAKE_WISH_WAKE);
    answer(w, PROVIDER_UNAVAILABLE, "Nobody answers.");
    assert_int_equal(ended(w, 0, &got, 200), WAKE_UNAVAILABLE);
    assert_string_equal(got.sentence, "Nobody answers.");
}

static void a_port_that_never_listens(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    uint16_t silent;
    int fd = make_port(&silent, false);
    char text[80];
    snprintf(text, sizeof text, "a-%u", silent);
    w->conf->wake.timeout = 30000;
    waker_set_conf(w->waker, w->conf);
    tell(w, "a", BOX_PAUSED, NULL);
    waker_ask(w->waker, 0, str_from(text), WAKE_WISH_WAKE);
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    answer(w, PROVIDER_OK, NULL);
    settle(w); /* the store's thread has a clock of its own */
    pass(w, 25000);
    assert_int_equal(ended(w, 0, &got, 0), 0); /* still asking */
    pass(w, 5000);
    assert_int_equal(ended(w, 0, &got, 0), WAKE_FAILED);
    assert_non_null(strstr(got.sentence, "nothing can be reached on its port"));
    settle(w);
    /* Until it may be asked again, workers ask rather than connect. */
    assert_true(known(w, "a")->settles_at_ms > loop_wall_us(w->loop) / 1000 + 4000);
    waker_ask(w->waker, 0, str_from(text), WAKE_WISH_WAKE);
    assert_int_equal(ended(w, 0, &got, 0), WAKE_FAILED);
    /* Another port of the same box is not concerned. */
    waker_ask(w->waker, 0, label(w, "a"), WAKE_WISH_WAKE);
    assert_int_equal(ended(w, 0, &got, 200), WAKE_OK);
    assert_int_equal(w->resumes, 1);
    close(fd);
}

static void gone_while_waiting(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    tell(w, "a", BOX_PAUSED, NULL);
    waker_ask(w->waker, 0, label(w, "a"), WAKE_WISH_WAKE);
    tell(w, "a", BOX_GONE, NULL);
    answer(w, PROVIDER_GONE, NULL);
    assert_int_equal(ended(w, 0, &got, 200), WAKE_GONE);
    assert_int_equal(known(w, "a")->state, BOX_GONE);
}

static void nobody_knows_it(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    waker_ask(w->waker, 0, label(w, "never-heard-of"), WAKE_WISH_WAKE);
    assert_int_equal(ended(w, 0, &got, 200), WAKE_GONE);
    assert_int_equal(w->resumes, 0);
}

static void paused_again_and_again(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    close(w->listener);
    w->listener = make_port(&w->port, false);
    tell(w, "a", BOX_PAUSED, NULL);
    waker_ask(w->waker, 0, label(w, "a"), WAKE_WISH_WAKE);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(w->resumes, i);
        tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
        answer(w, PROVIDER_OK, NULL);
        settle(w);
        tell(w, "a", BOX_PAUSED, NULL);
        settle(w);
    }
    assert_int_equal(w->resumes, 3);
    assert_int_equal(ended(w, 0, &got, 200), WAKE_FAILED);
}

static void addresses_that_are_not_allowed(void **state)
{
    static const char *const addresses[] = {"::ffff:192.0.2.7", "::ffff:169.254.1.1", "fe80::1", NULL};
    world_t *w = *state;
    wake_answer_t got;
    char id[2] = "b";
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++, id[0]++) {
        tell(w, id, BOX_PAUSED, NULL);
        waker_ask(w->waker, 0, label(w, id), WAKE_WISH_WAKE);
        tell(w, id, BOX_RUNNING, addresses[i]);
        answer(w, PROVIDER_OK, NULL);
        assert_int_equal(ended(w, 0, &got, 200), WAKE_FAILED);
        assert_true(got.sentence[0] != '\0');
        assert_int_equal(known(w, id)->state, BOX_PAUSED); /* nobody connects */
    }
    /* Containers: what origins.allow has, and never the machine itself. */
    provider_t docker = w->provider;
    docker.kind = PROVIDER_DOCKER;
    boxes_set_provider(w->boxes, PROVIDER_DOCKER, &docker);
    provider_box_t box = box_at("x", BOX_RUNNING, "::ffff:127.0.0.1");
    w->provider.handlers->box(w->boxes, &docker, &box);
    assert_int_equal(known(w, "x")->state, BOX_PAUSED);
    /* Also where all of IPv4 is allowed: 0.0.0.0 is this machine. */
    conf_network_t all = {.bits = 96};
    all.address.s6_addr[10] = all.address.s6_addr[11] = 0xff;
    conf_network_t *origins = w->conf->origins;
    size_t count = w->conf->origin_count;
    w->conf->origins = &all;
    w->conf->origin_count = 1;
    static const char *const here[] = {
        "::ffff:0.0.0.0", "::ffff:0.1.2.3", "::ffff:127.1.2.3", "::", "::1", "::ffff:169.254.169.254"};
    for (size_t i = 0; i < sizeof here / sizeof here[0]; i++) {
        box = box_at("y", BOX_RUNNING, here[i]);
        w->provider.handlers->box(w->boxes, &docker, &box);
        assert_int_equal(known(w, "y")->state, BOX_PAUSED);
    }
    w->conf->origins = origins;
    w->conf->origin_count = count;
    boxes_set_provider(w->boxes, PROVIDER_DOCKER, NULL);
}

static void generations(void **state)
{
    world_t *w = *state;
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    uint64_t first = known(w, "a")->generation;
    assert_true(first > 1000);
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    assert_int_equal(known(w, "a")->generation, first); /* nothing happened */
    tell(w, "a", BOX_PAUSED, "::ffff:127.0.0.1");
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    uint64_t second = known(w, "a")->generation;
    assert_true(second > first);
    provider_box_t box = box_at("a", BOX_RUNNING, "::ffff:127.0.0.1");
    box.renewed = true;
    w->provider.handlers->box(w->boxes, &w->provider, &box);
    assert_true(known(w, "a")->generation > second);
    uint64_t third = known(w, "a")->generation;
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.2");
    assert_true(known(w, "a")->generation > third);
}

static void what_a_listing_lacks_is_gone(void **state)
{
    world_t *w = *state;
    tell(w, "a", BOX_PAUSED, NULL);
    tell(w, "b", BOX_PAUSED, NULL);
    w->provider.handlers->sync_began(w->boxes, &w->provider);
    tell(w, "b", BOX_PAUSED, NULL);
    tell(w, "c", BOX_PAUSED, NULL);
    w->provider.handlers->sync_ended(w->boxes, &w->provider);
    assert_int_equal(known(w, "a")->state, BOX_GONE);
    assert_int_equal(known(w, "b")->state, BOX_PAUSED);
    assert_int_equal(known(w, "c")->state, BOX_PAUSED);
}

static void watching_wakes_nothing(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    tell(w, "a", BOX_PAUSED, NULL);
    waker_ask(w->waker, 0, label(w, "a"), WAKE_WISH_WATCH);
    assert_int_equal(ended(w, 0, &got, 0), WAKE_ASLEEP);
    assert_int_equal(w->resumes, 0);
    waker_ask(w->waker, 1, label(w, "a"), WAKE_WISH_WAKE);
    waker_ask(w->waker, 0, label(w, "a"), WAKE_WISH_WATCH);
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    answer(w, PROVIDER_OK, NULL);
    assert_int_equal(ended(w, 0, &got, 200), WAKE_OK);
    assert_int_equal(ended(w, 1, &got, 200), WAKE_OK);
}

static void a_port_that_is_not_exposed(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    provider_box_t box = box_at("a", BOX_RUNNING, "::ffff:127.0.0.1");
    box.ports[0] = w->port == 1 ? 2 : 1;
    box.port_count = 1;
    w->provider.handlers->box(w->boxes, &w->provider, &box);
    waker_ask(w->waker, 0, label(w, "a"), WAKE_WISH_WAKE);
    assert_int_equal(ended(w, 0, &got, 0), WAKE_REFUSED);
}

static void nonsense_from_a_worker(void **state)
{
    world_t *w = *state;
    static const char *const labels[] = {"", "-", "a", "a-", "a-0", "a-65536", "../a-1", "a b-1"};
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++)
        waker_ask(w->waker, 0, str_from(labels[i]), WAKE_WISH_WAKE);
    waker_ask(w->waker, SHM_WORKERS_MAX, STR("a-1"), WAKE_WISH_WAKE);
    assert_int_equal(atomic_load(&shm_wakes(w->shm)->boxes), 0);
}

/* Its provider goes with the configuration while it is asked: nobody waits for the answer that never comes.
 */
static void the_provider_goes(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    tell(w, "a", BOX_PAUSED, NULL);
    waker_ask(w->waker, 0, label(w, "a"), WAKE_WISH_WAKE);
    assert_int_equal(w->resumes, 1);
    boxes_set_provider(w->boxes, PROVIDER_PROCESS, NULL);
    assert_int_equal(ended(w, 0, &got, 200), WAKE_GONE);
    boxes_set_provider(w->boxes, PROVIDER_PROCESS, &w->provider);
    /* The next one is asked. */
    tell(w, "a", BOX_PAUSED, NULL);
    settle(w);
    waker_ask(w->waker, 0, label(w, "a"), WAKE_WISH_WAKE);
    assert_int_equal(w->resumes, 2);
    answer(w, PROVIDER_OK, NULL);
}

typedef struct read_job {
    store_job_t job;
    store_result_t result;
    store_box_t box;
} read_job_t;

static void run_read(store_job_t *job, store_t *store)
{
    read_job_t *read = H2O_STRUCT_FROM_MEMBER(read_job_t, job, job);
    read->result = store_get_box(store, STR("a"), &read->box);
}

static void ignore_job(store_job_t *job)
{
    (void)job;
}

/* The configuration takes the id of a box that a provider has: what is said of that one is not written. */
static void the_configuration_takes_its_id(void **state)
{
    world_t *w = *state;
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    settle(w);
    assert_int_equal(boxes_recorded(w->boxes, STR("a"))->state, BOX_RUNNING);
    conf_errors_t *errors = conf_errors_new();
    conf_t *next = conf_parse("test.yaml", STR(CONF "boxes:\n  - {id: a, address: 10.1.2.3}\n"), errors);
    conf_errors_free(&errors);
    assert_non_null(next);
    w->provider.set_conf = ignore_conf;
    boxes_set_conf(w->boxes, next);
    conf_release(&next);
    /* A listing without it: gone, but not in the store, where the configuration's is. */
    w->provider.handlers->sync_began(w->boxes, &w->provider);
    w->provider.handlers->sync_ended(w->boxes, &w->provider);
    settle(w);
    assert_int_equal(known(w, "a")->state, BOX_GONE);
    assert_null(boxes_recorded(w->boxes, STR("a")));
    read_job_t read = {.job = {.run = run_read, .done = ignore_job}};
    assert_true(store_thread_add(w->store, &read.job));
    settle(w);
    assert_int_equal(read.result, STORE_OK);
    assert_int_equal(read.box.state, BOX_RUNNING);
    /* Given back, it is written again, though nothing about it changed. */
    boxes_set_conf(w->boxes, w->conf);
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    settle(w);
    assert_non_null(boxes_recorded(w->boxes, STR("a")));
}

/* More boxes than there is room for: they are refused, and forgotten again. */
static void too_many_boxes(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    provider_t http = w->provider;
    http.kind = PROVIDER_HTTP;
    store_box_t *many = calloc(BOXES_MAX, sizeof *many);
    assert_non_null(many);
    for (size_t i = 0; i < BOXES_MAX; i++) {
        many[i] = (store_box_t){.state = BOX_PAUSED, .provider = PROVIDER_HTTP, .generation = 1};
        snprintf(many[i].id, sizeof many[i].id, "b%zu", i);
    }
    boxes_t *full = boxes_new(w->loop, w->conf, w->store, w->peers, many, BOXES_MAX, 1000);
    waker_t *waker = waker_new(w->loop, w->conf, full, w->peers, shm_wakes(w->shm));
    boxes_set_provider(full, PROVIDER_HTTP, &http);
    free(many);
    for (unsigned i = 0; i < 2; i++) { /* asked again, it is known at once */
        waker_ask(waker, 0, label(w, "one-too-many"), WAKE_WISH_WAKE);
        assert_int_equal(ended(w, 0, &got, 0), WAKE_UNAVAILABLE);
    }
    assert_int_equal(w->resumes, 0);
    boxes_stop(full);
    waker_free(&waker);
    boxes_free(&full);
}

/* What the store does not have yet is nothing that workers, who read the store, could go on with. */
static void answered_once_the_store_has_it(void **state)
{
    world_t *w = *state;
    wake_answer_t got;
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.1");
    settle(w);
    waker_ask(w->waker, 0, label(w, "a"), WAKE_WISH_WAKE);
    assert_int_equal(ended(w, 0, &got, 200), WAKE_OK);
    waker_ask(w->waker, 0, label(w, "a"), WAKE_WISH_WAKE);
    assert_int_equal(ended(w, 0, &got, 0), WAKE_OK);
    /* Anew, at another address: the record of before counts for nothing, nor the new one before it is there.
     */
    tell(w, "a", BOX_RUNNING, "::ffff:127.0.0.2");
    boxes_set_listening(w->boxes, STR("a"), known(w, "a")->generation, w->port, 0, NULL, NULL);
    waker_ask(w->waker, 0, label(w, "a"), WAKE_WISH_WAKE);
    assert_int_equal(ended(w, 0, &got, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_resume_for_all, setup, teardown),
        cmocka_unit_test_setup_teardown(stages_for_those_who_join, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failure_is_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_are_remembered_for_longer, setup, teardown),
        cmocka_unit_test_setup_teardown(the_provider_is_away, setup, teardown),
        cmocka_unit_test_setup_teardown(a_port_that_never_listens, setup, teardown),
        cmocka_unit_test_setup_teardown(gone_while_waiting, setup, teardown),
        cmocka_unit_test_setup_teardown(nobody_knows_it, setup, teardown),
        cmocka_unit_test_setup_teardown(paused_again_and_again, setup, teardown),
        cmocka_unit_test_setup_teardown(addresses_that_are_not_allowed, setup, teardown),
        cmocka_unit_test_setup_teardown(generations, setup, teardown),
        cmocka_unit_test_setup_teardown(the_provider_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(too_many_boxes, setup, teardown),
        cmocka_unit_test_setup_teardown(the_configuration_takes_its_id, setup, teardown),
        cmocka_unit_test_setup_teardown(answered_once_the_store_has_it, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_listing_lacks_is_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(watching_wakes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_port_that_is_not_exposed, setup, teardown),
        cmocka_unit_test_setup_teardown(nonsense_from_a_worker, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
