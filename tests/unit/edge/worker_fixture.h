/* A worker without a process around it, for tests of what runs in one: a loop, counters, a configuration. */
#ifndef BOXEDGE_WORKER_FIXTURE_H
#define BOXEDGE_WORKER_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>

#include <cmocka.h>

#include "client.h"
#include "worker.h"

#define FIXTURE_CONF                                                                                         \
    "preview_domain: preview.test\n"                                                                         \
    "node: here\n"                                                                                           \
    "public_port: 443\n"                                                                                     \
    "trusted_proxies: [10.0.0.0/8]\n"                                                                        \
    "listeners:\n  - {address: \"127.0.0.1:8080\", kind: plain}\n"

typedef struct worker_fixture {
    worker_t worker;
    counters_t counters;
    client_t client;
} worker_fixture_t;

static inline worker_fixture_t *worker_fixture_new(void)
{
    worker_fixture_t *f = calloc(1, sizeof(*f));
    conf_errors_t *errors = conf_errors_new();
    f->worker.conf = conf_parse("test.yaml", STR(FIXTURE_CONF), errors);
    if (f->worker.conf == NULL)
        conf_errors_print(errors, stderr);
    assert_non_null(f->worker.conf);
    conf_errors_free(&errors);
    f->worker.loop = loop_new();
    f->worker.counters = &f->counters;
    account_root_init(&f->worker.memory, NULL);
    f->worker.random = random_source_new();
    f->worker.scratch = malloc(CONN_TURN_BYTES);
    h2o_linklist_init_anchor(&f->worker.clients);
    f->client.worker = &f->worker;
    f->client.account.parent = &f->worker.memory.account;
    f->client.kind = CONF_LISTENER_PLAIN;
    f->client.local_port = 8080;
    f->client.local = true;
    assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", &f->client.address), 1);
    return f;
}

static inline void worker_fixture_free(worker_fixture_t *f)
{
    assert_int_equal(f->worker.memory.held, 0);
    assert_int_equal(f->counters.exchanges_open, 0);
    loop_turn(f->worker.loop, 0);
    loop_free(&f->worker.loop);
    random_source_free(&f->worker.random);
    conf_release(&f->worker.conf);
    free(f->worker.scratch);
    free(f);
}

#endif
