/* When the admin API ends tunnels: before it answers, also when its client has gone; not when the disk is
 * overloaded. */
#include "store_fixture.h"

#include <sys/un.h>

#include "admin.h"
#include "store_gate.h"
#include "worker_fixture.h"

#define DELETE(query)                                                                                        \
    "DELETE /v1/previews/my-box/3000" query " HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n\r\n"

typedef struct world {
    fixture_t dirs;
    loop_t *loop;
    shm_t *shm;
    conf_t *conf;
    store_thread_t *thread;
    admin_t *admin;
    int client;
    unsigned told;
    char which[128];
    uint64_t below;
    bool answered_before; /* an answer was out when the message arrived */
} world_t;

static bool has_answer(const world_t *w)
{
    char byte;
    return recv(w->client, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static void end_tunnels(void *owner, const char *which, uint64_t below)
{
    world_t *w = owner;
    w->told++;
    snprintf(w->which, sizeof(w->which), "%s", which);
    w->below = below;
    w->answered_before |= w->client >= 0 && has_answer(w);
}

static const admin_controls_t controls = {.end_tunnels = end_tunnels};

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static int setup(void **state)
{
    static const uint8_t seed[16];
    world_t *w = calloc(1, sizeof(*w));
    assert_non_null(w);
    fixture_make(&w->dirs);
    fixture_open(&w->dirs, FIXTURE_MAP_BYTES);
    store_preview_t preview = fixture_preview("my-box", 3000);
    assert_int_equal(store_put_preview(w->dirs.store, &preview), STORE_OK);
    conf_errors_t *errors = conf_errors_new();
    w->conf = conf_parse("test.yaml", STR(FIXTURE_CONF), errors);
    assert_non_null(w->conf);
    conf_errors_free(&errors);
    w->loop = loop_new();
    w->shm = shm_new(seed);
    assert_non_null(w->shm);
    w->thread = store_thread_new(w->loop, w->dirs.store, w->shm);
    assert_non_null(w->thread);
    w->dirs.store = NULL; /* the thread's */
    char path[96];
    snprintf(path, sizeof(path), "%s/s", w->dirs.root);
    w->admin = admin_new(w->loop, w->conf, w->shm, w->thread, listen_at(path), &controls, w);
    w->client = connect_to(path);
    (void)unlink(path);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    world_t *w = *state;
    if (w->client >= 0)
        close(w->client);
    admin_free(&w->admin);
    store_thread_free(&w->thread);
    loop_turn(w->loop, 0);
    loop_free(&w->loop);
    shm_free(&w->shm);
    conf_release(&w->conf);
    fixture_remove(&w->dirs);
    free(w);
    return 0;
}

static void ask(world_t *w, const char *request)
{
    assert_int_equal(write(w->client, request, strlen(request)), strlen(request));
}

static void turn_until_answered(world_t *w)
{
    for (int i = 0; i < 2000 && !has_answer(w); i++)
        loop_turn(w->loop, 10);
    assert_true(has_answer(w));
}

static void before_the_answer(void **state)
{
    world_t *w = *state;
    ask(w, DELETE("?kill_tunnels=1"));
    turn_until_answered(w);
    assert_int_equal(w->told, 1);
    assert_string_equal(w->which, "preview my-box-3000");
    assert_int_equal(w->below, 2); /* the deleted preview was number 1 */
    assert_false(w->answered_before);
}

static void only_where_asked(void **state)
{
    world_t *w = *state;
    ask(w, DELETE(""));
    turn_until_answered(w);
    assert_int_equal(w->told, 0);
}

/* The change is made and announced even if the API has ended meanwhile. */
static void after_the_end(void **state)
{
    world_t *w = *state;
    store_gate_t gate;
    store_gate_shut(w->thread, &gate);
    ask(w, DELETE("?kill_tunnels=1"));
    for (int i = 0; i < 100; i++)
        loop_turn(w->loop, 1); /* the request is read: its job waits behind the other one */
    assert_int_equal(w->told, 0);
    admin_free(&w->admin);
    close(w->client);
    w->client = -1;
    store_gate_open(&gate);
    store_thread_free(&w->thread);
    assert_int_equal(w->told, 1);
    assert_string_equal(w->which, "preview my-box-3000");
}

static void nothing_run(store_job_t *job, store_t *store)
{
    (void)job;
    (void)store;
}

static void nothing_done(store_job_t *job)
{
    (void)job;
}

/* A full queue refuses a request immediately, and no part of it is done. */
static void with_a_full_queue(void **state)
{
    world_t *w = *state;
    static store_job_t jobs[STORE_JOBS_MAX];
    char answer[512] = "";
    store_gate_t gate;
    store_gate_shut(w->thread, &gate);
    for (size_t i = 0; store_thread_pending(w->thread) < STORE_JOBS_MAX; i++) {
        jobs[i] = (store_job_t){.run = nothing_run, .done = nothing_done};
        assert_true(store_thread_add(w->thread, &jobs[i]));
    }
    ask(w, DELETE("?kill_tunnels=1"));
    turn_until_answered(w);
    assert_true(recv(w->client, answer, sizeof(answer) - 1, MSG_DONTWAIT) > 0);
    assert_int_equal(strncmp(answer, "HTTP/1.1 503 ", 13), 0);
    assert_non_null(strstr(answer, "\"busy\""));
    store_gate_open(&gate);
    for (int i = 0; i < 2000 && store_thread_pending(w->thread) != 0; i++)
        loop_turn(w->loop, 10);
    assert_int_equal(w->told, 0);
    ask(w, DELETE("?kill_tunnels=1"));
    turn_until_answered(w);
    assert_int_equal(w->told, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(before_the_answer, setup, teardown),
        cmocka_unit_test_setup_teardown(only_where_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(after_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(with_a_full_queue, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
