#include "worker_fixture.h"

#include "list.h"
#include "pipeline.h"

worker_fixture_t *worker_fixture_new(void)
{
    worker_fixture_t *f = calloc(1, sizeof(*f));
    conf_errors_t *errors = conf_errors_new();
    f->worker.conf = conf_parse("test.yaml", STR(FIXTURE_CONF), errors);
    if (f->worker.conf == NULL)
        conf_errors_print(errors, stderr);
    assert_non_null(f->worker.conf);
    conf_errors_free(&errors);
    f->worker.loop = loop_new();
    f->worker.pipeline = &edge_pipeline;
    f->worker.counters = &f->counters;
    account_root_init(&f->worker.memory, NULL);
    f->worker.random = random_source_new();
    f->worker.scratch = malloc(CONN_TURN_BYTES);
    list_init(&f->worker.clients);
    f->client.worker = &f->worker;
    f->client.account.parent = &f->worker.memory.account;
    f->client.kind = CONF_LISTENER_PLAIN;
    f->client.local_port = 8080;
    f->client.local = true;
    assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.1", &f->client.address), 1);
    return f;
}

void worker_fixture_free(worker_fixture_t *f)
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
