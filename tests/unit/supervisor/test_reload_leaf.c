/* The leaf of the local authority is replaced while the edge serves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>

#include "supervisor_internal.h"

static char dir[64];
static const listener_sources_t nothing_open;

static uint16_t free_port(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    close(fd);
    return ntohs(in.sin_port);
}

/* A supervisor that serves, without processes. Its leaf was made at `made_unix`. */
static supervisor_t *supervisor_new(uint64_t made_unix)
{
    static const uint8_t seed[16];
    char path[128], error[512];
    supervisor_t *s = calloc(1, sizeof(*s));
    snprintf(dir, sizeof(dir), "/tmp/boxedge-test-XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/edge.yaml", dir);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fprintf(
        file,
        "preview_domain: preview.example\npublic_port: 8443\nuser: \"\"\nworkers: 1\nstate_dir: %s/state\n"
        "run_dir: %s/run\nlisteners: [{address: \"127.0.0.1:%u\", kind: tls}]\n",
        dir, dir, free_port());
    fclose(file);
    s->snapshot = snapshot_load(path, NULL, stderr);
    assert_non_null(s->snapshot);
    assert_true(snapshot_load_keys(s->snapshot, made_unix, stderr));
    s->listeners = listener_set_open(s->snapshot->conf, &nothing_open, 0, error, sizeof(error));
    assert_non_null(s->listeners);
    s->shm = shm_new(seed);
    s->state = SUPERVISOR_SERVING;
    s->generation = 1;
    s->descriptors = 65536;
    s->logger = LOGGER_NONE;
    s->upgrade_fd = s->predecessor_fd = s->segment_fd = -1;
    s->log.fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    child_init(&s->controller, s->shm, CHILD_CONTROLLER, 0);
    child_init(&s->runner, s->shm, CHILD_RUNNER, 0);
    for (unsigned i = 0; i < SHM_WORKERS_MAX; i++)
        child_init(&s->workers[i], s->shm, CHILD_WORKER, i);
    return s;
}

static void supervisor_free(supervisor_t **s)
{
    static const char *const names[] = {
        "edge.yaml", "state/ca/ca.pem", "state/ca/ca.key", "state/ca/leaf.pem", "state/ca/leaf.key",
        "state/ca",  "state/store",     "state",           "run/store",         "run"};
    char name[128];
    close((*s)->log.fd);
    listener_set_free(&(*s)->listeners);
    snapshot_free(&(*s)->snapshot);
    shm_free(&(*s)->shm);
    free(*s);
    *s = NULL;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(name, sizeof(name), "%s/%s", dir, names[i]);
        (void)remove(name);
    }
    assert_int_equal(rmdir(dir), 0);
}

static void one_that_is_about_to_expire(void **state)
{
    (void)state;
    supervisor_t *s = supervisor_new((uint64_t)time(NULL) - 396u * 86400);
    const conf_t *conf = s->snapshot->conf;
    char *before = strdup(s->snapshot->pems[0].chain);
    reload_local_certificate(s);
    assert_int_equal(s->generation, 2);
    assert_string_not_equal(s->snapshot->pems[0].chain, before);
    assert_ptr_equal(s->snapshot->conf, conf); /* nothing else changes */
    assert_int_equal(s->listeners->count, 1);
    assert_true(s->log.fd >= 0 && fcntl(s->log.fd, F_GETFD) >= 0);
    assert_int_equal(s->workers[0].state, CHILD_WAITING);
    const snapshot_t *renewed = s->snapshot;
    reload_local_certificate(s);
    assert_ptr_equal(s->snapshot, renewed);
    assert_int_equal(s->generation, 2);
    free(before);
    supervisor_free(&s);
}

static void not_beside_a_new_binary(void **state)
{
    (void)state;
    supervisor_t *s = supervisor_new((uint64_t)time(NULL) - 396u * 86400);
    s->state = SUPERVISOR_UPGRADING;
    reload_local_certificate(s);
    assert_int_equal(s->generation, 1);
    supervisor_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_that_is_about_to_expire),
        cmocka_unit_test(not_beside_a_new_binary),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
